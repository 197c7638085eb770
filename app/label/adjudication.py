"""One disputed feature: its labels side by side, and what an adjudicator settles on."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.components.draft_watch import Box, box_item, draft_watch, whose
from app.draw.plain_text import cut, plain
from app.label.evidence_column import evidence, read_evidence
from app.label.guidelines import RUBRIC
from app.label.standing_labels import history, settled_label, standing_labels
from app.session import session
from app.session.engine import Engine
from app.session.who import Me
from feature_db.label.events import Event
from feature_db.label.labels import LONGEST_TEXT, Labels, categories

__all__ = ["disputed_feature"]

OWN_WORDS = "a text of my own"
_STYLE = """<style>
@media (max-width: 640px) {
  .st-key-dispute_panes > * > [data-testid=stHorizontalBlock],
  .st-key-dispute_panes > [data-testid=stHorizontalBlock] { flex-direction: column-reverse }
}
@media (min-width: 901px) {
  .st-key-dispute_panes > * > [data-testid=stHorizontalBlock] > [data-testid=stColumn]:last-child > * {
    position: sticky; top: 3.5rem; max-height: calc(100dvh - 4rem); overflow-y: auto; flex-wrap: nowrap }
  .st-key-dispute_panes > * > [data-testid=stHorizontalBlock] > [data-testid=stColumn]:last-child > * > * {
    flex-shrink: 0 }
}
</style>"""
"""The labels stay in sight beside the texts, which are long; on a phone they come first."""


def disputed_feature(engine: Engine, me: Me, feature: int, choice: str, then: int | None) -> None:
    """What it fires on, and beside it its labels, votes, adjudication and history.

    Once it is settled, the feature `then` is chosen under the state's key `choice`; None where none waits.
    """
    with engine.store() as store:
        labels = Labels(store, me.name)
        standing = labels.current(feature)
        settled = labels.adjudication(feature)
        known = categories(store)
    if settled is not None:
        settled_label(settled)
    st.html(_STYLE)
    with st.container(key="dispute_panes"):
        left, right = st.columns([3, 2], gap="large")
    with left, st.container(key="label_evidence"):
        _evidence(engine, me, feature)
    with right:
        standing_labels(engine, me, standing, "disputed")
        if me.may("adjudicate"):
            _settle_form(engine, me, feature, standing, known, (choice, then))
            _watch(engine, me, feature, settled)
    history(engine, me, feature)


def _evidence(engine: Engine, me: Me, feature: int) -> None:
    """What the labels are about; a suggestion that is used goes into the adjudicator's own text."""

    def use(method: str, text: str) -> None:
        st.session_state[f"settle_{feature}_on"] = OWN_WORDS
        st.session_state[f"settle_{feature}_text_{whose(me.name)}"] = text

    try:
        view, found = read_evidence(engine, feature)
    except session.Errors as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    evidence(engine, me, view, found, use)


def _settle_form(
    engine: Engine,
    me: Me,
    feature: int,
    standing: Sequence[Event],
    known: Sequence[str],
    then: tuple[str, int | None],
) -> None:
    with st.form(f"adjudicate_{feature}"):
        st.markdown(
            "**Adjudicate.** The labels stay as they are; this says what the feature is called everywhere else."
        )
        options = [event.uid for event in standing]
        names = {e.uid: f"{e.annotator}: {cut(e.text or '', 80)}" for e in standing}
        st.radio(
            "Settle on",
            [*options, OWN_WORDS],
            format_func=lambda uid: plain(names.get(uid) or str(uid)),
            key=f"settle_{feature}_on",
        )
        st.text_input("Own text", key=f"settle_{feature}_text_{whose(me.name)}", max_chars=LONGEST_TEXT)
        row = st.columns(2)
        row[0].selectbox(
            "Verdict",
            list(RUBRIC),
            index=None,
            key=f"settle_{feature}_verdict",
            placeholder="as chosen",
            format_func=lambda verdict: f"{verdict} · {RUBRIC[verdict]}",
        )
        row[1].selectbox(
            "Category", list(known), index=None, key=f"settle_{feature}_category", placeholder="as chosen"
        )
        st.text_input("Reason", key=f"settle_{feature}_note_{whose(me.name)}", max_chars=LONGEST_TEXT)
        st.form_submit_button(
            "Settle and next" if then[1] is not None else "Settle",
            type="primary",
            on_click=_settle,
            args=(engine, me, feature, *then),
            key=f"settle_{feature}_go",
        )


def _watch(engine: Engine, me: Me, feature: int, settled: Event | None) -> None:
    own = settled if settled is not None and settled.annotator == me.name else None
    saved = {"text": own.text if own else None, "note": own.note if own else None}
    boxes = [
        Box(
            f"settle_{feature}_{name}_{whose(me.name)}",
            box_item(engine.fingerprint, me.name, f"settle:{feature}:{name}"),
            text or "",
            LONGEST_TEXT,
        )
        for name, text in saved.items()
    ]
    draft_watch(boxes, st.session_state.update, key="settle_watch")


def _settle(engine: Engine, me: Me, feature: int, choice: str, then: int | None) -> None:
    held = {n: st.session_state.get(f"settle_{feature}_{n}") for n in ("on", "verdict", "category")}
    held |= {n: st.session_state.get(f"settle_{feature}_{n}_{whose(me.name)}") for n in ("text", "note")}
    own = held["on"] == OWN_WORDS

    def settle() -> bool:
        with engine.store() as store:
            Labels(store, me.name).adjudicate(
                feature,
                label=None if own else held["on"],
                text=(held["text"] or "") if own else None,
                category=held["category"],
                verdict=held["verdict"],
                note=held["note"] or "",
            )
        return True

    if session.guarded(settle):
        if then is not None:
            st.session_state[choice] = then
        follows = f"Feature {then} is next." if then is not None else "Nothing else in this list waits."
        session.say(f"Feature {feature} is settled. {follows}", "success")
