"""The ways answers get onto the compare page: examples, paste, upload, sampling; and steering files."""

from __future__ import annotations

import streamlit as st

from app import session
from app.comparison import Comparison, corpus, from_corpus, from_paste, from_texts, from_upload
from app.engine import Engine
from sarm_core.errors import SteeringError
from sarm_core.steering import Steering

__all__ = ["input_row", "load_steering_form"]


def input_row(current: Engine) -> None:
    """Example picker, paste, upload and sample, side by side."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _examples()
        with st.popover("Paste", icon=":material/content_paste:"):
            _paste()
        with st.popover("Upload", icon=":material/upload_file:"):
            _upload()
        with st.popover("Sample answers", icon=":material/casino:"):
            _sample(current)


def _examples() -> None:
    rows = corpus()
    now = session.comparison()
    origin = now.origin.removeprefix("example ") if now else ""
    if st.session_state.get("example") != origin:
        st.session_state["example"] = origin if origin in rows else None

    def choose() -> None:
        picked = st.session_state["example"]
        if picked:
            session.set_comparison(from_corpus(picked))

    st.selectbox(
        "Example prompt",
        list(rows),
        format_func=lambda i: f"{rows[i]['category']}: {rows[i]['prompt'][:90]}",
        key="example",
        placeholder="Choose one of the prompts that come with the tool",
        on_change=choose,
    )


def _paste() -> None:
    with st.form("paste", border=False):
        prompt = st.text_area("Prompt", height=80, key="paste_prompt")
        text = st.text_area(
            "Answers, separated by lines of three dashes",
            height=220,
            placeholder="First answer\n---\nSecond answer",
            key="paste_answers",
        )
        if st.form_submit_button("Compare", type="primary"):
            made = session.guarded(from_paste, prompt, text)
            if made is not None:
                session.set_comparison(made)
            st.rerun()


def _upload() -> None:
    st.caption(
        "JSONL, up to 20 MB. Rows of `prompt` + `response`, `messages`, `prompt` + `chosen` + `rejected`, "
        "or `prompt` + `answers`."
    )
    file = st.file_uploader("File", type=["jsonl", "json"], key="upload", label_visibility="collapsed")
    if file is None:
        return
    key = (file.file_id, file.size)
    if st.session_state.get("upload_read") != key:
        st.session_state["upload_read"] = key
        read = session.guarded(from_upload, file.getvalue(), file.name)
        st.session_state["upload_found"] = read or []
        if read:
            session.set_comparison(read[0])
        st.rerun()
    found: list[Comparison] = st.session_state.get("upload_found", [])
    if len(found) > 1:
        picked = st.selectbox(
            f"{len(found)} prompts in the file",
            range(len(found)),
            format_func=lambda i: f"{i + 1}. {found[i].question[:80]} ({len(found[i].answers)} answers)",
        )
        st.button("Compare these answers", on_click=session.set_comparison, args=(found[picked],))


def _sample(current: Engine) -> None:
    st.caption("The embedded SmolLM2-135M answers your prompt several times. It is small: expect mistakes.")
    with st.form("sample", border=False):
        prompt = st.text_area("Prompt", height=80, key="sample_prompt")
        left, middle, right = st.columns(3)
        n = left.number_input("Answers", 2, 16, 6)
        temperature = middle.number_input("Temperature", 0.1, 2.0, 0.9, step=0.1)
        seed = right.number_input("Seed", 0, 2**31 - 1, 0)
        length = st.slider("Tokens at most", 32, 256, 120, step=8)
        if not st.form_submit_button("Sample", type="primary"):
            return
    from sarm_core.demo.sampling import load_sampler

    bar = st.progress(0.0, text="Loading the language model …")

    def draw() -> Comparison:
        sampler = load_sampler()
        answers = sampler.sample(
            prompt,
            int(n),
            max_new_tokens=int(length),
            temperature=float(temperature),
            seed=int(seed),
            progress=lambda done, total: bar.progress(done / total, text=f"token {done} of at most {total}"),
        )
        notes = ["" if answer.finished else "cut off" for answer in answers]
        return from_texts(
            prompt, [answer.text for answer in answers], notes, f"sampled, seed {seed}, temperature {temperature:g}"
        )

    made = session.guarded(draw)
    bar.empty()
    if made is not None:
        session.set_comparison(made)
    st.rerun()


def load_steering_form(current: Engine) -> None:
    """Read a steering file; a wrong one leaves everything as it is."""
    file = st.file_uploader("Steering file", type=["json"], key="steering_file", label_visibility="collapsed")
    if file is None or st.session_state.get("steering_read") == file.file_id:
        return
    st.session_state["steering_read"] = file.file_id

    def read() -> None:
        try:
            text = file.getvalue().decode("utf-8")
        except UnicodeDecodeError:
            raise SteeringError(f"{file.name}: is not UTF-8 text") from None
        steering = Steering.from_json(text, file.name)
        steering.check(current.scorer.n_features)
        session.steering().load(steering)
        session.say(f"{file.name}: {len(steering.features())} features steered.", "success")

    session.guarded(read)
    st.rerun()
