"""Model: which checkpoint runs, its shape, fingerprint and speed; and how to switch to another."""

from __future__ import annotations

import streamlit as st

from app import session
from app.engine import Choice, Engine, load_engine

st.title("Model", anchor=False)
st.caption("Which reward model is being read here, and is it the one you think it is?")
session.show_messages()


def facts(engine: Engine) -> None:
    scorer, checkpoint = engine.scorer, engine.scorer.checkpoint
    shape = checkpoint.shape
    st.subheader(checkpoint.name or checkpoint.source, anchor=False)
    figures = st.columns(4)
    figures[0].metric("Blocks used", f"{shape.layer}")
    figures[1].metric("Features", f"{shape.n_features:,}")
    figures[2].metric("Active per answer", f"{shape.k:,}" if shape.k else "all (no TopK)")
    speed = f"{engine.tokens_per_second:,.0f} tokens/s" if engine.tokens_per_second else "not yet measured"
    figures[3].metric("Last scoring", speed)
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
        "Reads text": "yes" if scorer.format else "no: the checkpoint ships no tokenizer, only token ids score",
        "Loaded in": f"{engine.seconds_to_load:.1f} s",
        "Feature store": str(engine.store_path),
    }
    st.table({"": list(rows.keys()), " ": list(rows.values())}, hide_index=True)
    card = checkpoint.folder / "README.md"
    if card.is_file():
        with st.expander("Model card"):
            st.markdown(card.read_text(encoding="utf-8"))


def switch() -> None:
    st.subheader("Switch to another model", anchor=False)
    now = session.choice()
    with st.form("switch"):
        source = st.text_input(
            "Checkpoint",
            now.source,
            help='"demo", a folder on this machine, or a Hub id such as Schrieffer/Llama-SARM-4B',
        )
        left, right = st.columns(2)
        devices, dtypes = ["auto", "cpu", "cuda"], ["auto", "float32", "bfloat16", "float16"]
        device = left.selectbox("Device", devices, index=devices.index(now.device) if now.device in devices else 0)
        dtype = right.selectbox("Backbone dtype", dtypes, index=dtypes.index(now.dtype) if now.dtype in dtypes else 0)
        if not st.form_submit_button("Load", type="primary"):
            return
    wanted = Choice(source.strip(), device, dtype)
    try:
        with st.spinner(f"Loading {wanted.source} …"):
            load_engine(wanted)
    except session.Errors as error:
        st.error(f"{error} The model in use has not changed.", icon=":material/error:")
        return
    if wanted != now:
        st.session_state["choice"] = wanted
        for name in ("steering_state", "panel_offered", "trace"):
            st.session_state.pop(name, None)
        session.say(
            f"Now using {wanted.source}. The steering was reset: its feature numbers mean nothing here.", "success"
        )
    st.rerun()


try:
    with st.spinner("Loading the model …"):
        engine = load_engine(session.choice())
except session.Errors as error:
    st.error(str(error), icon=":material/error:")
else:
    facts(engine)
switch()
