"""Accuracy on held-out pairs and its intervals, against plain counting and the bootstrap done by hand."""

import numpy as np
import pytest

from sarm_core.train.held_out import HeldOut


def test_accuracy_weighs_pairs_and_counts_ties_as_wrong():
    held_out = HeldOut(np.array([1.0, 0.5, 0.5, 1.0]), ["a", "b", "b", "c"], ["s", "s", "t", "t"])
    found = held_out.by_source(np.array([2.0, 1.0, -1.0, 0.0]))
    assert {name: row.accuracy for name, row in found.items()} == pytest.approx(
        {"all": 0.5, "s": 1.0, "t": 0.0}
    )
    assert (found["all"].n, found["all"].prompts, found["all"].ties) == (4, 3, 1)
    assert found["all"].low is None  # three prompts


def test_intervals_redraw_whole_prompts():
    rng = np.random.default_rng(0)
    prompt = np.repeat(np.arange(60), 4)
    right = np.repeat(rng.random(60) < 0.6, 4)  # all pairs of a prompt go together
    held_out = HeldOut(np.ones(240), [str(p) for p in prompt], ["s"] * 240)
    found = held_out.accuracy(np.where(right, 1.0, -1.0))
    spread = np.sqrt(found.accuracy * (1 - found.accuracy) / 60)  # of 60 units, not of 240
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.1)
    assert held_out.standard_error(right.astype(float)) == pytest.approx(spread, rel=0.05)


def test_a_head_differs_from_itself_by_nothing():
    rng = np.random.default_rng(0)
    held_out = HeldOut(np.ones(50), [str(i) for i in range(50)], ["s"] * 50)
    margins = rng.normal(size=50)
    same = held_out.difference(margins, margins)
    assert (same["difference"], same["low"], same["high"]) == (0.0, 0.0, 0.0)
    better = held_out.difference(np.ones(50), margins)
    assert better["difference"] == pytest.approx(np.mean(margins <= 0))
    assert better["low"] < better["difference"] < better["high"]
