"""What an edit changed, in words that add up."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from app.compare.edit_view import change_in_words, changed_words
from app.session.engine import FeatureNote
from sarm_core.features import FeatureMatrix


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("I'm sorry, but no.", "no.", "Without “I'm sorry, but”"),
        ("No.", "No. Sorry.", "With “Sorry.”"),
        ("A small cat sat.", "A large cat sat.", "“large” for “small”"),
        ("one  two", "one two", "Other spaces"),
        ("a b c d e f g h i", "1 b 2 d 3 f 4 h 5", "With 5 changes"),
    ],
)
def test_the_words_that_went_or_came_are_named(before: str, after: str, said: str) -> None:
    assert changed_words(before, after) == said


def test_the_change_of_the_reward_and_its_largest_parts_are_named() -> None:
    dense = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 2.0]], np.float32)
    matrix = FeatureMatrix(sparse.csr_matrix(dense), np.array([0.5, 0.25, 1.0], np.float32))
    notes = {0: FeatureNote("refusals", "suggested")}
    said = change_in_words("a b", "a", matrix, (0, 1), notes)
    assert said == "Without “b”: +0.25, mostly #0 refusals (suggested, +0.5), #1 (−0.25)"
    assert "same words" in change_in_words("a", "a", matrix, (0, 1), notes)
