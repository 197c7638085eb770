"""What fires in a text of one's own: a prompt and an answer that stay in the session and in the address."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.draw.plain_text import plain
from app.draw.popovers import close_popover, popover
from app.features.actions import feature_actions
from app.features.table import columns_shown, firing_frame, numbers
from app.features.view import open_feature
from app.session import session
from app.session.comparison import Comparison, from_json, from_texts
from app.session.engine import Engine
from feature_db import StoreError
from feature_db.saved_work import FeatureList

__all__ = ["own_text", "own_text_form", "show_own_text"]


def own_text(engine: Engine) -> Comparison | None:
    """The prompt and answer whose features are listed: from this session, or from the link."""
    address = st.query_params.get("text")
    kept: Comparison | None = st.session_state.get("own_text")
    if kept is None and address:
        try:
            with engine.store() as store:
                kept = from_json(store.open_session(address, "own text"))
        except session.Errors as error:
            st.warning(f"The text of this link could not be opened: {plain(str(error))}")
            del st.query_params["text"]
            return None
        st.session_state["own_text"] = kept
        st.session_state["own_text_saved"] = address
    if kept is not None and not address and st.session_state.get("own_text_saved"):
        st.query_params["text"] = st.session_state["own_text_saved"]
    return kept


def own_text_form(engine: Engine) -> None:
    """A popover with the two boxes."""
    with (
        popover("own", "Run your own text", icon=":material/play_arrow:", help="See what fires in it"),
        st.form("own", border=False),
    ):
        prompt = st.text_area("Prompt", height=80, key="own_prompt")
        answer = st.text_area("Answer", height=160, key="own_answer")
        if st.form_submit_button("Show what fires", type="primary"):
            if _run(engine, prompt, answer):
                close_popover("own")
            st.rerun()


def _run(engine: Engine, prompt: str, answer: str) -> bool:
    """Keep the text; False where it says why there is none."""
    made = session.guarded(from_texts, prompt, [answer], (), "own text")
    if made is None:
        return False
    st.session_state["own_text"] = made
    try:
        with engine.store() as store:
            st.session_state["own_text_saved"] = store.save_session(made.to_json(), "own text")
    except StoreError as error:
        session.say(f"This text cannot be linked to: {plain(str(error))}", "warning")
        st.session_state["own_text_saved"] = None
    return True


def _leave() -> None:
    """Callback."""
    for name in ("own_text", "own_text_saved"):
        st.session_state.pop(name, None)
    st.query_params.pop("text", None)


def show_own_text(
    engine: Engine, text: Comparison, lists: Sequence[FeatureList], me: str, hide_dense: bool
) -> None:
    """The text, and every feature that is active at its scored token."""
    scored = session.score(engine, text)
    made_of = scored.matrix.table(0)
    notes = engine.notes(made_of.features.tolist())
    shown, hidden = firing_frame(scored.matrix, 0, notes, hide_dense=hide_dense)
    with st.container(border=True):
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.caption("Your text: prompt, then answer")
        left.text(text.question)
        left.text(text.answers[0].text)
        right.button("Back to all features", on_click=_leave, icon=":material/close:")
    st.caption(
        f":green-badge[exact] {len(made_of)} features are active at the scored token; together they give the reward "
        f"{made_of.reward:+.4f} (error {made_of.error:.0e})."
        + (f" {hidden} dense {'ones are' if hidden > 1 else 'one is'} hidden." if hidden else "")
    )
    if shown.empty:
        st.info("Every active feature is dense: switch “Hide dense features” off to see them.")
        return

    def open_clicked() -> None:
        """Callback: the number of a row was clicked."""
        feature = int(str(st.session_state["feature_clicked"]["label"]).removeprefix("#"))
        rows, z = scored.matrix.column(feature)
        open_feature(feature, {"title": "your own text", "activation": float(z[0])} if len(rows) else None)

    selection = st.dataframe(
        shown,
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"own_table_{text.key}_{hide_dense}",
        column_config=columns_shown(open_clicked),
        placeholder="",
        height=min(640, 38 + 35 * len(shown)),
    )
    feature_actions(engine, lists, me, numbers(shown, selection.selection.rows), None)
