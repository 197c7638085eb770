"""Intervals against known values, and a share of false names that is kept."""

from __future__ import annotations

import numpy as np
import pytest

from sarm_core.name.scores import balanced_accuracy, holding, pairwise, wilson


def test_wilson_is_the_published_interval():
    # Newcombe 1998, table I, method 3: 81 of 263 and 15 of 148.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20)[0] == 0 and wilson(20, 20)[1] == 1 and wilson(0, 0) == (0.0, 1.0)


def test_balanced_accuracy_counts_both_sides_alike():
    found = balanced_accuracy([True, True, False, True], [True, True, True, False])
    assert found["value"] == pytest.approx((2 / 3 + 0) / 2, abs=1e-4)
    assert (found["n"], found["right"]) == (4, 2) and found["low"] <= found["value"] <= found["high"]
    assert balanced_accuracy([True], [True])["value"] is None
    wrong = balanced_accuracy([False] * 5 + [True] * 5, [True] * 5 + [False] * 5)
    assert wrong["value"] == 0 and wrong["low"] == 0 and 0 < wrong["high"] < 0.5


def test_the_interval_of_balanced_accuracy_covers():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        true = np.array([True] * 10 + [False] * 10)
        said = np.where(true, rng.random(20) < 0.8, rng.random(20) < 0.3)
        found = balanced_accuracy(said.tolist(), true.tolist())
        covered += found["low"] <= 0.75 <= found["high"]
    assert 0.92 < covered / 2000 < 0.99


def test_a_tie_is_half_a_right_one():
    found = pairwise(6, 2, 10)
    assert found["auc"] == 0.7 and found["ties"] == 2
    assert pairwise(0, 10, 10)["auc"] == 0.5
    assert pairwise(0, 0, 0)["auc"] is None


@pytest.mark.slow
def test_names_by_chance_seldom_hold_and_sure_ones_do():
    rng = np.random.default_rng(1)
    false = [sum(holding([(int(n), 10) for n in rng.binomial(10, 0.5, 50)])) for _ in range(60)]
    assert np.mean([n > 0 for n in false]) <= 0.12
    assert holding([(10, 10), (5, 10), (0, 0)]) == [True, False, False]
    assert holding([]) == []
