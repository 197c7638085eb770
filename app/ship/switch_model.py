"""Another model instead of the one that runs."""

from __future__ import annotations

import streamlit as st

from app.draw.plain_text import cut, plain
from app.session import session
from app.session.engine import Choice, load_engine

__all__ = ["switch"]

OF_ONE_MODEL = (
    *("steering_state", "offered", "offered_for", "trace", "traced", "comparison_saved", "feature"),
    *("find_run", "evaluation_run", "learned_run", "eval_made_by", "slice_in_hand"),
)
"""What a session holds about one model's features and store; the prompt and the answers stay."""


def switch() -> None:
    """A form that loads another checkpoint; the one in use stays until that is loaded."""
    st.header("Switch to another model", anchor=False)
    now = session.choice()
    with st.form("switch"):
        source = st.text_input(
            "Checkpoint",
            now.source,
            help='"demo", a folder on this machine, or a Hub id such as Schrieffer/Llama-SARM-4B',
            key="switch_source",
        )
        left, right = st.columns(2)
        devices, dtypes = ["auto", "cpu", "cuda"], ["auto", "float32", "bfloat16", "float16"]
        device = left.selectbox(
            "Device", devices, index=devices.index(now.device) if now.device in devices else 0
        )
        dtype = right.selectbox(
            "Backbone dtype", dtypes, index=dtypes.index(now.dtype) if now.dtype in dtypes else 0
        )
        asked = st.form_submit_button("Load", type="primary")
    if not asked:
        return
    if not source.strip():
        st.error('Name a checkpoint: "demo", a folder, or a Hub id.', icon=":material/error:")
        return
    wanted = Choice(source.strip(), device, dtype)
    try:
        session.check_may_write("switching to another model")
        with st.spinner(f"Loading {plain(cut(wanted.source, 80))} …"):
            load_engine(wanted)
    except session.Errors as error:
        st.error(f"{plain(str(error))}. The model in use has not changed.", icon=":material/error:")
        return
    if wanted == now:
        session.say(f"{plain(wanted.source)} is in use already.", "info")
    else:
        st.session_state["choice"] = wanted
        for name in OF_ONE_MODEL:
            st.session_state.pop(name, None)
        session.say(
            f"Now using {plain(wanted.source)}. The steering was reset: its feature numbers mean nothing here.",
            "success",
        )
    st.rerun()
