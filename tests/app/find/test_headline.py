"""What the page says before any table follows from the figures, and shows names as they are typed."""

from __future__ import annotations

import numpy as np
import pytest

from app.find.headline import sentences
from app.session.engine import FeatureNote
from sarm_core.find.preference import Preference

NAMES = ("over-refusing", "*helpful*")


def answer(**changed: object) -> Preference:
    figures: dict[str, object] = {
        "n": 62, "won": 40, "tied": 2, "share": 41 / 62, "low": 0.53, "high": 0.78, "lead": 0.4,
        "parts": ((7, 0.5), (9, -0.2), (3, 0.1)), "without": (7, 3), "turned": 12,
    }  # fmt: skip
    return Preference(**(figures | changed))  # type: ignore[arg-type]


def test_it_says_who_wins_by_how_much_and_because_of_what():
    said = sentences(answer(), NAMES, {7: FeatureNote("a [link](x)", "suggested")})
    assert said[0] == "The reward prefers “over\\-refusing”."
    assert "in 40 of 62 pairs, “\\*helpful\\*” in 20, 2 are ties" in said[1]
    assert "95 % interval 53% to 78%" in said[1] and "0.4, for “over\\-refusing”" in said[1]
    assert "a \\[link\\]\\(x\\)" in said[2] and "suggested" in said[2] and "(0.5)" in said[2]
    assert said[3].startswith("Most for “\\*helpful\\*”: \\#9")
    assert said[4] == "Silencing \\#7 and \\#3 turns 12 of the 62 pairs."


@pytest.mark.parametrize(
    ("changed", "first"),
    [
        ({"low": 0.2, "high": 0.4, "share": 0.3}, "The reward prefers “\\*helpful\\*”."),
        ({"low": 0.4}, "The reward does not clearly prefer “over\\-refusing” or “\\*helpful\\*”."),
        ({"low": np.nan, "high": np.nan}, "Too few prompts to say which side the reward prefers."),
    ],
)
def test_what_is_not_told_apart_is_not_told(changed: dict[str, float], first: str):
    assert sentences(answer(**changed), NAMES, {})[0] == first


def test_answers_that_score_alike_have_no_lead():
    said = sentences(answer(won=0, tied=62, lead=0.0, parts=(), without=(), turned=0), NAMES, {})
    assert said[1].endswith("there is no lead.") and len(said) == 2
