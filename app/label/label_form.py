"""The form beside the evidence: text, category, verdict, confidence, note, and the buttons with their keys."""

from __future__ import annotations

import streamlit as st

from app.components.draft_watch import draft_watch
from app.draw.plain_text import cut, plain
from app.label.guidelines import RUBRIC
from app.label.label_check import start_check
from app.label.label_fields import Fields
from app.label.standing_labels import score_words
from app.label.work import Item, Work
from app.session.engine import Engine
from app.session.who import Me
from feature_db.features.evidence import StoredExample
from feature_db.label.label_tests import TEXTS, LabelTests
from feature_db.label.labels import categories
from feature_db.label_values import LONGEST_TEXT

__all__ = ["label_form"]

SHORT = {1: "none", 2: "several", 3: "one mixed", 4: "nearly one", 5: "one"}
SURE = {0.25: "guess", 0.5: "unsure", 0.75: "fairly sure", 1.0: "sure"}
SKIPS = ("No pattern I can name", "Too few texts", "Not my field", "Text is broken or offensive")
FLAGS = ("Two features in one", "Looks like a bug", "Text is broken or offensive", "Needs an expert")


def label_form(
    engine: Engine, me: Me, work: Work, item: Item, fields: Fields, top: list[StoredExample]
) -> None:
    """The right column; `top` are texts that can be named as evidence."""
    source = fields.seed()
    if source == "draft":
        st.caption("Your draft is back: nothing of it was submitted yet.")
    elif source == "browser":
        st.caption("What you typed when the connection was lost is back; nothing of it was submitted yet.")
    elif source == "label":
        st.caption("You labelled this feature; what you submit now is an edit.")
    with st.container(key="label_text_box"):
        st.text_area(
            "What does it fire on? (T)",
            key=fields.key("text"),
            max_chars=LONGEST_TEXT,
            height=96,
            on_change=fields.save_draft,
            placeholder="so exactly that somebody else could say of a new text whether it fires",
        )
    _watch(fields)
    with engine.store() as store:
        known = categories(store)
    held = st.session_state[fields.key("category")]
    st.pills(
        "Category",
        known + ([held] if held and held not in known else []),
        format_func=plain,
        key=fields.key("category"),
        on_change=fields.save_draft,
        wrap=True,
    )
    verdict = st.session_state.get(fields.key("verdict"))
    with st.container(gap="xsmall"):
        st.markdown(":small[Verdict: has it one meaning?]")
        with st.container(horizontal=True, gap="xsmall", key="label_verdict"):
            for value, words in RUBRIC.items():
                st.button(
                    SHORT[value],
                    key=f"label_verdict_{value}",
                    shortcut=str(value),
                    help=words,
                    type="primary" if verdict == value else "secondary",
                    on_click=fields.put,
                    args=("verdict", None if verdict == value else value),
                )
        st.caption(
            f"**{verdict}** · {RUBRIC[verdict]}"
            if verdict in RUBRIC
            else "none given, so it makes no name yet · keys 1 to 5"
        )
    st.segmented_control(
        "Confidence in the text",
        list(SURE)
        if st.session_state[fields.key("confidence")] in (None, *SURE)
        else [
            *SURE,
            st.session_state[fields.key("confidence")],
        ],
        format_func=lambda value: SURE.get(value, f"{value:.0%}"),
        key=fields.key("confidence"),
        on_change=fields.save_draft,
    )
    hashes = [example.text.hash for example in top]
    kept = [h for h in st.session_state[fields.key("evidence")] if h not in hashes]
    if hashes or kept:
        places = {text_hash: f"{place}" for place, text_hash in enumerate(hashes, start=1)}
        st.pills(
            "Top texts that show it",
            [*hashes, *kept],
            selection_mode="multi",
            format_func=lambda text_hash: places.get(text_hash, str(text_hash)[:8]),
            key=fields.key("evidence"),
            on_change=fields.save_draft,
        )
    st.text_input("Note", key=fields.key("note"), max_chars=2_000, on_change=fields.save_draft)
    _buttons(engine, me, work, item, fields)


@st.fragment
def _watch(fields: Fields) -> None:
    """In a fragment, so that saving while somebody types runs nothing else."""
    draft_watch(
        fields.boxes(),
        fields.found,
        fields.save_draft,
        focus=fields.key("text"),
        group="label_verdict",
        group_name="Verdict: has it one meaning?",
        key="label_draft_watch",
    )
    if fields.redraw():
        st.rerun()


def _buttons(engine: Engine, me: Me, work: Work, item: Item, fields: Fields) -> None:
    text = st.session_state[fields.key("text")] or ""
    with engine.store() as store:
        tests = LabelTests(store, me.name)
        check, attempts, left = (
            tests.score(item.feature, text),
            tests.attempts(item.feature),
            tests.left(item.feature),
        )
    if check is not None:
        st.caption(f"{score_words(check.as_data()).capitalize()}; kept beside the label.")
    elif attempts:
        st.caption(
            "The test was of another wording; it is not kept beside this one. Test again, or submit without."
        )
    st.button(
        "Submit and next" if work.queue is not None else "Submit",
        key="label_submit",
        type="primary",
        shortcut="Ctrl+Enter",
        on_click=work.submit,
        args=(item, fields),
        width="stretch",
    )
    with st.container(horizontal=True, gap="small"):
        if left.enough:
            st.button(
                "Test this label",
                key="label_test",
                shortcut="X",
                on_click=start_check,
                args=(engine, item.feature, me.name, text),
            )
        st.button("Skip", key="label_skip", shortcut="S", on_click=_ask, args=("skip",))
        st.button("Flag", key="label_flag", shortcut="F", on_click=_ask, args=("flag",))
    if not left.enough:
        st.caption(
            f"No test: of the texts kept for testing, {left.firing} that fire and {left.silent} silent ones are "
            f"unseen; a test takes {TEXTS // 2} of each. "
            + (
                "You have seen the others in earlier tests."
                if left.seen
                else "A larger harvest would keep more."
            )
        )
    asking = st.session_state.get("label_ask")
    if asking:
        reasons = SKIPS if asking == "skip" else FLAGS
        note = (st.session_state.get(fields.key("note")) or "").strip()
        if note:
            reasons = (*reasons[:3], note)
        st.caption(f"Why {asking} it? A text in the note is offered as a reason too.")
        for place, reason in enumerate(reasons, start=6):
            call, args = (
                (work.skip, (item, fields, reason)) if asking == "skip" else (work.flag, (item, reason))
            )
            st.button(
                _button_text(reason),
                key=f"label_reason_{place}",
                shortcut=str(place),
                on_click=call,
                args=args,
            )


def _button_text(reason: str) -> str:
    return plain(cut(reason, 60))


def _ask(what: str) -> None:
    """Callback: show the reasons, or put them away again."""
    if st.session_state.get("label_ask") == what:
        st.session_state.pop("label_ask")
    else:
        st.session_state["label_ask"] = what
