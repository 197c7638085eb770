"""One run against another, held against counting it by hand."""

from __future__ import annotations

import numpy as np
import pytest

from app.runs.comparing import against, in_words
from feature_db.runs import Decided


def decided(keys, before, after, units=None) -> Decided:
    n = len(keys)
    return Decided(
        np.array(keys, dtype=np.int64),
        np.arange(n, dtype=np.int32) if units is None else np.array(units, dtype=np.int32),
        np.array(before, dtype=np.float32),
        np.array(after, dtype=np.float32),
    )


def test_wins_and_losses_are_shared_out_over_the_decisions_both_have() -> None:
    here = decided([1, 2, 3, 4, 5, 9], [0, 0, 1, 1, 0, 1], [1, 1, 0, 1, 0, 1])
    there = decided([5, 4, 3, 2, 1, 8], [0, 1, 1, 0, 0, 0], [1, 1, 0, 0, 1, 1])
    found = against(here, there)
    assert found is not None
    assert (found.common, found.apart, found.right, found.right_there) == (5, 2, 3, 3)
    assert found.won == (1, 1, 1) and found.lost == (1, 0, 0)
    assert found.difference == 0 and found.kind == "few prompts"
    text = " ".join(in_words(found, "the baseline"))
    assert "right in 3 and the baseline in 3" in text
    assert "1 by both, 1 by this run only, 1 by the baseline only" in text
    assert "2 decisions of one of them" in text
    assert against(here, decided([100], [0], [1])) is None


def test_the_interval_is_that_of_prompts_redrawn() -> None:
    rng = np.random.default_rng(0)
    n = 600
    keys, units = np.arange(n), np.repeat(np.arange(n // 3), 3)
    after, other = rng.random(n) < 0.7, rng.random(n) < 0.6
    zeros = np.zeros(n)
    found = against(decided(keys, zeros, after, units), decided(keys, zeros, other, units), resamples=5000)
    assert found is not None
    by_prompt = (after.astype(float) - other).reshape(-1, 3).sum(1)
    draws = rng.integers(0, n // 3, (5000, n // 3))
    low, high = np.quantile(by_prompt[draws].sum(1) / n, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)
    assert found.kind == ("better" if found.low > 0 else "not told apart")


def test_a_run_against_itself_is_not_better() -> None:
    rng = np.random.default_rng(1)
    same = decided(np.arange(50), np.zeros(50), rng.random(50) < 0.5)
    found = against(same, same)
    assert found is not None and found.difference == 0 and found.kind == "not told apart"
    assert found.won[1:] == (0, 0)
