"""Model: which checkpoint runs, its shape, fingerprint and speed; the steered model to take away; another one."""

from __future__ import annotations

import streamlit as st

from app.draw.plain_text import cut, plain
from app.session import session
from app.session.engine import Choice, Engine, load_engine
from app.ship.cache_view import encoded_section
from app.ship.export_view import export_section
from app.ship.model_card import card_text

# What a session holds about one model's features and store; the prompt and the answers stay.
OF_ONE_MODEL = ("steering_state", "offered", "offered_for", "trace", "traced", "comparison_saved", "feature")

st.title("Model", anchor=False)
st.caption("Which reward model is being read here, and is it the one you think it is?")
session.show_messages()


def facts(engine: Engine) -> None:
    scorer, checkpoint = engine.scorer, engine.scorer.checkpoint
    shape = checkpoint.shape
    st.subheader(plain(cut(checkpoint.name or checkpoint.source, 80)), anchor=False)
    with st.container(horizontal=True, gap="large"):
        st.metric("Blocks used", f"{shape.layer}", width="content")
        st.metric("Features", f"{shape.n_features:,}", width="content")
        st.metric("Active per answer", f"{shape.k:,}" if shape.k else "all (no TopK)", width="content")
        speed = (
            f"{engine.tokens_per_second:,.0f} tokens/s" if engine.tokens_per_second else "not yet measured"
        )
        st.metric("Last scoring", speed, width="content")
    rows = {
        "Source": checkpoint.source,
        "Folder": str(checkpoint.folder),
        "Layout": "this project's own" if checkpoint.layout == "own" else "reference",
        "Fingerprint": engine.fingerprint,
        "Device": str(scorer.device),
        "Backbone computes in": str(scorer.dtype).removeprefix("torch."),
        "SAE and head compute in": "float32",
        "Longest input": f"{scorer.max_length:,} tokens, cut on the left",
        "Scored token": checkpoint.rule,
        "Reads text": "yes"
        if scorer.format
        else "no: the checkpoint ships no tokenizer, only token ids score",
        "Loaded in": f"{engine.seconds_to_load:.1f} s",
        "Feature store": str(engine.store_path),
    }
    st.table(
        {"": list(rows), " ": [plain(str(value)) for value in rows.values()]},
        hide_index=True,
        hide_header=True,
    )
    card = checkpoint.folder / "README.md"
    if card.is_file():
        with st.expander("Model card"):
            st.markdown(card_text(card.read_text(encoding="utf-8", errors="replace")))


def switch() -> None:
    st.subheader("Switch to another model", anchor=False)
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


try:
    with st.spinner("Loading the model …"):
        engine = load_engine(session.choice())
except session.Errors as error:
    st.error(plain(str(error)), icon=":material/error:")
else:
    facts(engine)
    export_section(engine)
switch()
encoded_section()
