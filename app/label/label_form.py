"""The form beside the evidence: text, category, verdict, confidence, note, and the buttons with their keys."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.components.draft_watch import draft_watch
from app.draw.plain_text import plain
from app.label.guidelines import RUBRIC
from app.label.label_check import start_check
from app.label.label_fields import Fields
from app.label.panes import CATEGORY_KEYS, CONFIDENCE_KEYS, VERDICT_KEYS, Panes
from app.label.set_aside import ask_why_flag, ask_why_skip
from app.label.standing_labels import score_words
from app.label.work import REFUSED, Item, Work
from app.session.engine import Engine
from app.session.who import Me
from feature_db.features.evidence import StoredExample
from feature_db.label.label_tests import TEXTS, LabelTests
from feature_db.label.labels import categories
from feature_db.label_values import LONGEST_TEXT

__all__ = ["SHORT", "label_form"]

SHORT: Mapping[int, str] = {1: "none", 2: "several", 3: "one mixed", 4: "nearly one", 5: "one"}
SURE = {0.25: "guess", 0.5: "unsure", 0.75: "fairly sure", 1.0: "sure"}


def label_form(
    engine: Engine, me: Me, work: Work, item: Item, fields: Fields, top: list[StoredExample], place: Panes
) -> None:
    """The form; `top` are texts that can be named as evidence."""
    refused = st.session_state.pop(REFUSED, "")
    with place.body:
        _fields(engine, me, fields, item, top, work.required(item))
    with place.foot:
        if refused:
            st.caption(f":material/error: {refused}")
        _buttons(work, item, fields)
    place.watch(fields, item, bool(refused))


def _fields(
    engine: Engine, me: Me, fields: Fields, item: Item, top: list[StoredExample], required: tuple[str, ...]
) -> None:
    def titled(name: str, title: str) -> str:
        return f"{title} · required" if name in required else title

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
            height=80,
            on_change=fields.save_draft,
            placeholder="so exactly that somebody else could say of a new text whether it fires",
        )
    _watch(fields)
    with engine.store() as store:
        known = categories(store)
    held = st.session_state[fields.key("category")]
    st.pills(
        titled("category", "Category"),
        known + ([held] if held and held not in known else []),
        format_func=plain,
        key=fields.key("category"),
        on_change=fields.save_draft,
        wrap=True,
        help=f"Keys {CATEGORY_KEYS[0]} to {CATEGORY_KEYS[-1]}, in this order.",
    )
    verdict = st.segmented_control(
        titled("verdict", "Verdict: has it one meaning?"),
        list(RUBRIC),
        format_func=lambda value: SHORT[value],
        key=fields.key("verdict"),
        on_change=fields.save_draft,
        help=f"Keys {VERDICT_KEYS[0]} to {VERDICT_KEYS[-1]}.  \n"
        + "  \n".join(f"{SHORT[value]}: {words}" for value, words in RUBRIC.items()),
    )
    st.caption(
        f"**{verdict}** · {RUBRIC[verdict]}" if verdict in RUBRIC else "none given, so it makes no name yet"
    )
    st.segmented_control(
        titled("confidence", "Confidence in the text"),
        list(SURE)
        if st.session_state[fields.key("confidence")] in (None, *SURE)
        else [
            *SURE,
            st.session_state[fields.key("confidence")],
        ],
        format_func=lambda value: SURE.get(value, f"{value:.0%}"),
        key=fields.key("confidence"),
        on_change=fields.save_draft,
        help=f"Keys {CONFIDENCE_KEYS[0]} to {CONFIDENCE_KEYS[-1]}, in this order.",
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
    st.text_input(
        titled("note", "Note"), key=fields.key("note"), max_chars=2_000, on_change=fields.save_draft
    )
    _test(engine, me, item, fields)


@st.fragment
def _watch(fields: Fields) -> None:
    """In a fragment, so that saving while somebody types runs nothing else."""
    draft_watch(
        fields.boxes(),
        fields.found,
        fields.save_draft,
        focus=fields.key("text"),
        key="label_draft_watch",
    )
    if fields.redraw():
        st.rerun()


def _test(engine: Engine, me: Me, item: Item, fields: Fields) -> None:
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
    if left.enough:
        st.button(
            "Test this label",
            key="label_test",
            shortcut="X",
            on_click=start_check,
            args=(engine, item.feature, me.name, text),
        )
        return
    seen = "You have seen the others in earlier tests." if left.seen else "A larger harvest would keep more."
    st.caption(
        "No test of it: too few unseen texts are left.",
        help=f"Of the texts kept for testing, {left.firing} that fire and {left.silent} silent ones are unseen; a test "
        f"takes {TEXTS // 2} of each. {seen}",
    )


def _buttons(work: Work, item: Item, fields: Fields) -> None:
    with st.container(horizontal=True, gap="small", wrap=False):
        st.button(
            "Submit and next" if work.queue is not None else "Submit",
            key="label_submit",
            type="primary",
            shortcut="Ctrl+Enter",
            on_click=work.submit,
            args=(item, fields),
            width="stretch",
        )
        if st.button("Skip", key="label_skip", shortcut="S", help="Pass over it, with a reason"):
            ask_why_skip(work, item, fields)
        if st.button("Flag", key="label_flag", shortcut="F", help="Ask others to look at it"):
            ask_why_flag(work, item, fields)
