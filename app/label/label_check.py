"""Testing a label before it is accepted: which of ten unseen texts does it predict?"""

from __future__ import annotations

import html

import streamlit as st

from app.draw.plain_text import plain
from app.features.example_view import examples_html
from app.session import session
from app.session.engine import Engine
from feature_db.features.evidence import StoredExample
from feature_db.label.label_tests import Attempt, LabelTest, LabelTests

__all__ = ["check_running", "draw_check", "start_check", "stop_check", "unmarked"]

LONGEST = 1_200  # characters of an answer; what is cut is said
STATE = "label_check"


def start_check(engine: Engine, feature: int, name: str, text: str) -> None:
    """Callback: draw ten texts to test `text` on that this person was not shown before."""
    if not text.strip():
        session.say("Write the label first: the test asks what your words predict.", "warning")
        return

    def draw() -> LabelTest:
        with engine.store() as store:
            return LabelTests(store, name).draw(feature)

    test = session.guarded(draw)
    if test is not None:
        of = (engine.fingerprint, feature, name)
        st.session_state[STATE] = {"of": of, "text": text, "test": test, "judged": None, "open": True}


def stop_check() -> None:
    """Callback: back to the evidence; the score stays."""
    if STATE in st.session_state:
        st.session_state[STATE]["open"] = False


def check_running(engine: Engine, feature: int, name: str) -> bool:
    """Whether the test of this feature is on the page."""
    state = st.session_state.get(STATE) or {}
    return state.get("of") == (engine.fingerprint, feature, name) and bool(state.get("open"))


def draw_check(engine: Engine, scale: float) -> None:
    """The ten texts with a box each; after scoring, which were right and where the feature fires."""
    state = st.session_state[STATE]
    test: LabelTest = state["test"]
    judged: Attempt | None = state["judged"]
    st.markdown("### Test of this label")
    st.caption(f"“{plain(state['text'])}”")
    stem = f"check_{engine.fingerprint[:8]}_{test.id}"
    if judged is None:
        st.caption(
            "Ten texts that you have not seen; the feature fires in some of them. Tick those in which your words say "
            "it fires, going by the words alone. Every attempt is kept; a further one is on other texts."
        )
        with st.form("label_check_form", border=False):
            for place, example in enumerate(test.examples, start=1):
                st.checkbox(f"Text {place}: the label says it fires", key=f"{stem}_{place}")
                st.html(unmarked(example))
            st.form_submit_button(
                "Score", type="primary", on_click=_score, args=(engine, stem), key="label_check_score"
            )
    else:
        st.markdown(f"**{judged.correct} of {len(judged.texts)} right** · guessing gets 5 on average")
        for place, (example, said, fires) in enumerate(
            zip(test.examples, judged.said, judged.fires, strict=True), start=1
        ):
            verdict = "right" if said == fires else "wrong"
            st.markdown(
                f"**{verdict}** · you said it {'fires' if said else 'is silent'}, "
                f"it {'fires' if fires else 'is silent'}"
            )
            st.html(examples_html([example], "chat", scale=scale, first=place))
    st.button("Back to the evidence", on_click=stop_check, key="label_check_stop")


def _score(engine: Engine, stem: str) -> None:
    state = st.session_state[STATE]
    if state["judged"] is not None:
        return  # the button was pressed twice: the first press judged this test
    test: LabelTest = state["test"]
    said = [bool(st.session_state.get(f"{stem}_{place}")) for place in range(1, len(test.examples) + 1)]

    def judge() -> Attempt:
        with engine.store() as store:
            return LabelTests(store, state["of"][2]).judge(test.id, state["text"], said)

    judged = session.guarded(judge)
    if judged is not None:
        state["judged"] = judged


def unmarked(example: StoredExample) -> str:
    """Prompt and answer of firing and silent texts alike: neither colours nor the cut may tell which it is."""
    turns = example.text.messages
    if turns:
        asked = str(turns[-2].get("content", "")) if len(turns) > 1 else ""
        said = str(turns[-1].get("content", ""))
    else:
        asked, said = "", "".join(example.text.tokens or [])
    rest = f" … ({len(said) - LONGEST:,} more characters)" if len(said) > LONGEST else ""
    return (
        f"<style>{_CSS}</style>"
        f'<div class="sarm-unmarked"><p>{html.escape(asked[:300])}{"…" if len(asked) > 300 else ""}</p>'
        f"{html.escape(said[:LONGEST])}{rest}</div>"
    )


_CSS = """
.sarm-unmarked { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.88rem; line-height: 1.55;
  max-height: 15rem; overflow-y: auto; padding: 0.1rem 0 0.6rem 1.8rem }
.sarm-unmarked p { opacity: 0.7; margin: 0 0 0.3rem; font-size: inherit }
"""
