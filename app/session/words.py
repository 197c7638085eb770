"""What the words of the pages mean, one click away: docs/terminology.md for whoever has no file at hand."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.draw.plain_text import plain

__all__ = ["WORDS", "matching", "words_button"]

WORDS: Mapping[str, str] = {
    "reward": "The number a reward model gives an answer. Only differences between answers to one prompt mean "
    "anything.",
    "margin": "How far one answer's reward is above another's.",
    "feature": "One of the model's thousands of detectors, with a number. Labels and suggestions say what it "
    "responds to.",
    "activation": "How strongly a feature responds to an answer (z); 0 when it is silent.",
    "head weight": "What one unit of a feature adds to the reward (w). Negative: it takes away.",
    "contribution": "Weight times activation (w z): what one feature adds to one answer's reward. All of them sum "
    "to it.",
    "scored position": "The end of the answer, where the reward is read. Most features speak of the whole answer "
    "there.",
    "exact, estimated": "Exact: arithmetic that adds up, with its rounding printed. Estimated: about what in the text "
    "caused it.",
    "steering": "Changed weights of features. The model does not run again: answers re-rank at once.",
    "scale": "A slider: ×0 silences a feature, ×1 is as trained, ×2 doubles it, below 0 reverses it.",
    "set": "A fixed activation wherever the feature is active.",
    "offset": "A constant for every answer: it never changes an order.",
    "group": "Several features on one slider.",
    "suggestion": "A name by a program: what tells, on prompts it was not made from, which of two answers has more of "
    "the feature. Nobody has confirmed it.",
    "label": "A person's description of a feature, with a verdict on how clear the pattern is.",
    "settled": "An adjudicator decided what a feature is called.",
    "fires in, density": "In what share of texts a feature fires. Above a tenth it rarely means one thing.",
    "salience": "Which of two kinds of answers a feature is more active in (s), from −1 to 1.",
    "target, complement": "The answers you mean to change, and all others. What changes there is collateral.",
    "pair, flip": "Two answers to one prompt; a pair flips when the order of their rewards changes.",
    "few prompts": "Below 10 prompts no interval is drawn: a few prompts are always too sure of themselves.",
    "occlusion": "Leaving out a piece of an answer and scoring again: which words does the reward hang on?",
    "harvest": "One pass over many texts that collects what each feature fires on.",
    "store": "The file with harvested features, examples, labels and saved work; one a model.",
    "fold": "Writing a steering into the model's weights, so that others can use it without this tool.",
    "fingerprint": "A checksum of all weights that take part in a score.",
}
"""By the word of docs/terminology.md"""


def words_button() -> None:
    """A button in the sidebar, and the dialog it opens."""
    with st.sidebar:
        if st.button("What the words mean", icon=":material/help:", type="tertiary", key="words_button"):
            _dialog()


def matching(sought: str) -> dict[str, str]:
    """The words that hold `sought`, or whose meaning does."""
    return {word: text for word, text in WORDS.items() if sought.lower() in f"{word} {text}".lower()}


@st.dialog("What the words mean", width="medium", icon=":material/help:")
def _dialog() -> None:
    sought = (
        st.text_input("Find a word", key="words_sought", placeholder="margin, density, flip …")
        .strip()
        .lower()
    )
    found = matching(sought)
    if not found:
        st.caption(f"“{plain(sought)}” is none of the {len(WORDS)} words here.")
    for word, text in found.items():
        st.markdown(f"**{plain(word)}**: {plain(text)}")
