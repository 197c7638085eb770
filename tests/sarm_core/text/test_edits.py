"""Changes that are asked for by name: what goes, and what stays as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarm_core.text.edits import EDITS, half_as_long, without_apology


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("I'm sorry, but I can't help with that. Try again.", "I can't help with that. Try again."),
        ("I’m really sorry for the confusion. Here it is: 4.", "Here it is: 4."),
        ("Sure. I apologize, but no. Done.", "Sure. No. Done."),
        ("My apologies.\n\nThe answer is 4.", "The answer is 4."),
        ("Sorry, I meant 4. Sorry!", "I meant 4."),
        ("I'm sorry.", None),
        ("They were sorry to hear it. Fine.", None),
        ("```\nI'm sorry, but\n```", None),
        ("", None),
    ],
)
def test_an_apology_goes_and_what_it_introduced_stays(text, changed):
    assert without_apology(text) == changed


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("One is here. Two is here. Three is here. Four is here.", "One is here. Two is here."),
        ("A very long first sentence that fills it. Short.", "A very long first sentence that fills it."),
        ("one two three four", "one two"),
        ("one", None),
        ("", None),
    ],
)
def test_half_as_long_keeps_whole_sentences_from_the_start(text, changed):
    assert half_as_long(text) == changed


@given(st.text(alphabet="aI'm sorry, but.!?\n`-é", max_size=80))
def test_a_change_is_a_change_and_never_empty(text):
    for change in EDITS.values():
        found = change(text)
        assert found is None or (found.strip() and found != text)
