"""The ways answers get onto the compare page: examples, paste, upload, sampling; and the link back to it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.compare.open_shared import other_model, read_shared, take_over
from app.draw.columns import assigned, columns_form, first_rows, first_values, without_options
from app.draw.files import UPLOADS
from app.draw.plain_text import cut, plain
from app.draw.popovers import close_popover, popover
from app.session import session
from app.session.comparison import (
    Comparison,
    corpus,
    from_corpus,
    from_paste,
    from_texts,
    from_upload,
)
from app.session.engine import Engine
from app.session.pages import Page
from sarm_core.errors import SteeringError
from sarm_core.share.shared import Shared, is_shared
from sarm_core.steering import Steering
from sarm_core.text.answers import Reader

__all__ = ["input_row"]


def input_row(current: Engine) -> Any:
    """Example picker, paste, upload and sample, side by side; gives the popover for sharing, still empty."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="inputs"):
        _examples()
        with popover("paste", "Paste", icon=":material/content_paste:"):
            _paste()
        with popover("upload", "Upload", icon=":material/upload_file:"):
            _upload(current)
        with popover("sample", "Sample answers", icon=":material/casino:"):
            _sample()
        return popover(
            "share",
            "Share",
            icon=":material/share:",
            help="An address, a page to send, a file to open elsewhere",
        )


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
        format_func=lambda i: f"{rows[i]['category']}: {cut(rows[i]['prompt'], 90)}",
        key="example",
        placeholder="Your own answers are on the page; choose an example",
        on_change=choose,
    )


def _show_error(key: str) -> None:
    """What went wrong in a popover is said in it, where the person is looking."""
    if st.session_state.get(key):
        st.error(plain(st.session_state[key]), icon=":material/error:")


def _paste() -> None:
    def read() -> None:
        try:
            made = from_paste(st.session_state["paste_prompt"], st.session_state["paste_answers"])
        except session.Errors as error:
            st.session_state["paste_error"] = str(error)
        else:
            st.session_state.pop("paste_error", None)
            session.set_comparison(made)
            close_popover("paste")

    with st.form("paste", border=False):
        st.text_area("Prompt", height=80, key="paste_prompt")
        st.text_area(
            "Answers, separated by lines of three dashes; or rows, without a prompt",
            height=220,
            placeholder="First answer\n---\nSecond answer",
            key="paste_answers",
        )
        _show_error("paste_error")
        st.form_submit_button("Compare", type="primary", on_click=read)


def _upload(current: Engine) -> None:
    # A new key empties the box once its file is on the page.
    key = f"upload_{st.session_state.setdefault('uploads', 0)}"

    def read() -> None:
        file = st.session_state[key]
        st.session_state.pop("upload_error", None)
        if file is None:
            return
        take(file.name, file.getvalue())

    def take(name: str, data: bytes, reader: Reader | None = None) -> None:
        for state in ("upload_unknown", "upload_other"):
            st.session_state.pop(state, None)
        if is_shared(data):
            open_file(name, data)
            return
        reader = reader or Reader()
        try:
            found = from_upload(data, name, reader)
        except session.Errors as error:
            steering = _is_steering(data)
            st.session_state["upload_error"] = (
                f"{name}: holds a steering, no answers; its place is “Load” in the steering panel"
                if steering
                else without_options(error)
            )
            if not steering and (columns := first_values(first_rows([(name, data)]))):
                st.session_state["upload_unknown"] = (name, data, columns)
            return
        st.session_state.pop("upload_error", None)
        st.session_state["upload_found"] = found
        st.session_state["upload_said"] = " ".join(f"{line}." for line in reader.said())
        st.session_state["uploads"] += 1
        session.set_comparison(found[0])
        if len(found) == 1:
            close_popover("upload")

    def open_file(name: str, data: bytes) -> None:
        try:
            shared = read_shared(data, name)
            if other_model(current, shared):
                st.session_state["upload_other"] = (name, shared)
            else:
                open_shared(name, shared)
        except session.Errors as error:
            st.session_state["upload_error"] = str(error)

    def open_shared(name: str, shared: Shared) -> None:
        take_over(current, shared, name)
        for state in ("upload_other", "upload_found", "upload_said"):
            st.session_state.pop(state, None)
        st.session_state["uploads"] += 1
        close_popover("upload")

    def assign() -> None:
        name, data, columns = st.session_state["upload_unknown"]
        take(name, data, Reader(**assigned("upload", columns)))

    def show(number: int) -> None:
        session.set_comparison(found[number])
        close_popover("upload")

    st.caption(
        "JSONL, CSV, Parquet or Arrow, up to 20 MB. Rows of `prompt` + `response`, `messages`, `prompt` + `chosen` + "
        "`rejected`, `prompt` + `answers` or of a public data set. Rows with one prompt are compared with each other. "
        "Or what *Share* wrote, page or file."
    )
    st.file_uploader("File", type=[*UPLOADS, "html"], key=key, label_visibility="collapsed", on_change=read)
    _show_error("upload_error")
    if "upload_other" in st.session_state:
        other = st.session_state["upload_other"]
        st.warning(other_model(current, other[1]), icon=":material/swap_horiz:")
        st.button(
            "Score its texts with the model at hand",
            on_click=open_shared,
            args=other,
            key="upload_anyway",
            type="primary",
        )
    if "upload_unknown" in st.session_state:
        columns_form("upload", st.session_state["upload_unknown"][2], assign)
    st.page_link(
        Page.DATASETS.path,
        label="Data sets: keep a file, see every prompt with its margin, go through them",
        icon=Page.DATASETS.icon,
    )
    if st.session_state.get("upload_said"):
        st.caption(plain(st.session_state["upload_said"]))
    found: list[Comparison] = st.session_state.get("upload_found", [])
    if len(found) > 1:
        picked = st.selectbox(
            f"{len(found):,} prompts in {plain(cut(found[0].origin.removeprefix('file '), 60))}",
            range(len(found)),
            format_func=lambda i: f"{i + 1}. {cut(found[i].question, 80)} ({len(found[i].answers)})",
            key=f"upload_pick_{st.session_state['uploads']}",
        )
        st.button("Compare these answers", on_click=show, args=(picked,), key="upload_show", type="primary")


def _is_steering(data: bytes) -> bool:
    """Whether a file that holds no answers is one that belongs to the other box on this page."""
    try:
        return bool(Steering.from_json(data.decode("utf-8")))
    except (SteeringError, UnicodeDecodeError):
        return False


def _sample() -> None:
    st.caption("The embedded SmolLM2-135M answers your prompt several times. It is small: expect mistakes.")
    with st.form("sample", border=False):
        prompt = st.text_area("Prompt", height=80, key="sample_prompt")
        left, middle, right = st.columns(3)
        n = left.number_input("Answers", 2, 16, 6, key="sample_n")
        temperature = middle.number_input("Temperature", 0.1, 2.0, 0.9, step=0.1, key="sample_temperature")
        seed = right.number_input("Seed", 0, 2**31 - 1, 0, key="sample_seed")
        length = st.slider("Tokens at most", 32, 256, 120, step=8, key="sample_length")
        asked = st.form_submit_button("Sample", type="primary")
    if asked:
        try:
            made = _drawn(prompt, int(n), float(temperature), int(seed), int(length))
        except session.Errors as error:
            st.error(plain(str(error)), icon=":material/error:")
        else:
            session.set_comparison(made)
            close_popover("sample")
            st.rerun()


def _drawn(prompt: str, n: int, temperature: float, seed: int, length: int) -> Comparison:
    """Answers from the embedded model, with a progress bar. Raises SarmError."""
    bar = st.progress(0.0, text="Loading the language model …")

    def show(done: int, total: int) -> None:
        bar.progress(done / total, text=f"Token {done} of at most {total}")

    try:
        from sarm_core.demo.sampling import load_sampler

        answers = load_sampler().sample(
            prompt,
            n,
            max_new_tokens=length,
            temperature=temperature,
            seed=seed,
            progress=show,
        )
        return from_texts(
            prompt,
            [answer.text for answer in answers],
            ["" if answer.finished else "cut off" for answer in answers],
            f"sampled, seed {seed}, temperature {temperature:g}",
        )
    finally:
        bar.empty()
