"""A feature's title on one line: its number always, its name as far as there is room, and who named it."""

from __future__ import annotations

from app.session.engine import FeatureNote
from app.session.feature_title import feature_title, marked_name


def test_titles_are_cut_to_their_width() -> None:
    assert feature_title(5, None) == "#5"
    assert feature_title(5, FeatureNote("a" * 100), 20) == "#5 " + "a" * 16 + "…"


def test_a_title_says_of_a_suggestion_behind_every_cut_that_it_is_one() -> None:
    suggested = FeatureNote("cut off mid-sentence or line of code", "suggested")
    assert feature_title(0, suggested, 20) == "#0 cut off mid-sent… (suggested)"
    assert feature_title(1, FeatureNote("refusal"), 20) == "#1 refusal"
    assert feature_title(2, FeatureNote()) == "#2"


def test_a_name_in_a_column_keeps_the_mark_behind_its_cut() -> None:
    suggested = FeatureNote("cut off mid-sentence or line of code", "suggested")
    assert marked_name(suggested, 12) == "cut off mid… (suggested)"
    assert marked_name(FeatureNote("refusal")) == "refusal"
    assert marked_name(None) == ""
    assert marked_name(FeatureNote("", "disputed")) == "(disputed)"
