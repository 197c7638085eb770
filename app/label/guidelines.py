"""How to label: the written rubric of the verdict in a dialog, and the frame that shows where the keyboard is."""

from __future__ import annotations

import streamlit as st

__all__ = ["FOCUS_STYLE", "RUBRIC", "guidelines"]

RUBRIC = {
    1: "No pattern: the texts have nothing in common that I can name",
    2: "Several unrelated meanings, none of them in most texts",
    3: "One main meaning in most strong texts; the weaker bands are mixed",
    4: "One meaning with few exceptions: at most one text in ten",
    5: "One meaning in every text I read, the weaker bands included",
}

KEYS = {
    "Ctrl+Enter": "submits, wherever the cursor is",
    "T, Esc": "into the text, and out of it",
    "1 to 5": "the verdict",
    "6 to 9": "the confidence, from guess to sure",
    "Shift+1 to Shift+9": "the category, in the order they stand in",
    "A": "takes the suggestion over",
    "X": "tests the label",
    "S, F": "skip and flag; then 6 to 9 give the reason",
    "U, B, N": "undo; back to the one before; on to the queue",
    "G": "this page",
}

FOCUS_STYLE = """<style>
a:focus-visible, [role=tab]:focus-visible, summary:focus-visible, [role=radio]:focus-visible,
input[type=radio]:focus-visible + div {
  outline: 2px solid #4f7fe6 !important; outline-offset: 2px; border-radius: 0.3rem }
</style>"""
"""Streamlit frames focused buttons and boxes, but neither links nor tabs."""


@st.dialog("How to label", width="large")
def guidelines() -> None:
    """The dialog."""
    st.markdown(
        "**What to write.** What the texts have in common *where the colour is*, so exactly that somebody else could "
        "say of a new text whether the feature fires: “refuses and points to a professional” rather than “safety”. "
        "Name what it reads (wording, format, topic), not what you think the reward should be.\n\n"
        "**Read the bands.** The strongest texts often agree; a name has to hold in the weaker bands and the random "
        "sample too. Suggested descriptions were made by a program from the strongest texts: check them, do not "
        "trust them. *Use it* takes one over as the beginning of yours; that it began so is kept with the label.\n\n"
        "**Verdict: has the feature one meaning?**\n\n"
        + "\n".join(f"{verdict}. {words}" for verdict, words in RUBRIC.items())
        + "\n\n**Confidence** is how sure you are of your text, whatever the verdict.\n\n"
        "**Test the label** on texts you have not seen before you submit: tick those in which your text says the "
        "feature fires. The score is kept beside the label; of several attempts, each on other texts, all are, the "
        "first one in front.\n\n"
        "**Skip** what you cannot judge and say why; others still get it. **Flag** what others should look at. "
        "You see other people's labels of a feature once yours is in.\n\n"
        "**Keys**\n\n| key | does |\n|---|---|\n"
        + "\n".join(f"| {key} | {what} |" for key, what in KEYS.items())
    )
    st.caption("All but Ctrl+Enter and Esc work while no box has the cursor.")
