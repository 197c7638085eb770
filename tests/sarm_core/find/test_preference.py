"""The preference between two sides is a recount of the pairs, and its parts sum to the lead."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarm_core.features import FeatureMatrix
from sarm_core.find.preference import preference
from sarm_core.steering import Steering


def matrices(seed: int, n: int) -> tuple[FeatureMatrix, FeatureMatrix]:
    rng = np.random.default_rng(seed)
    head = rng.normal(size=30)
    return tuple(
        FeatureMatrix.from_topk(
            np.stack([rng.choice(30, 6, replace=False) for _ in range(n)]),
            rng.integers(0, 3, size=(n, 6)),
            head,
        )
        for _ in range(2)
    )  # type: ignore[return-value]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20), n=st.integers(1, 40), weighted=st.booleans())
def test_it_is_a_recount_of_the_pairs(seed: int, n: int, weighted: bool):
    chosen, rejected = matrices(seed, n)
    weights = np.random.default_rng(seed).uniform(0.1, 1, n) if weighted else np.ones(n)
    found = preference(chosen, rejected, list(range(n)), list(weights) if weighted else None, resamples=50)
    margins = chosen.rewards.astype(float) - rejected.rewards.astype(float)
    assert (found.won, found.tied) == ((margins > 0).sum(), (margins == 0).sum())
    assert found.share == pytest.approx(np.average(np.sign(margins) / 2 + 0.5, weights=weights))
    assert found.lead == pytest.approx(np.average(margins, weights=weights), abs=1e-5)
    assert sum(part for _, part in found.parts) == pytest.approx(found.lead, abs=1e-9)
    sizes = [abs(part) for _, part in found.parts]
    assert sizes == sorted(sizes, reverse=True)
    silenced = Steering(scale=dict.fromkeys(found.without, 0.0))
    after = silenced.rewards(chosen) - silenced.rewards(rejected)
    assert found.turned == (np.sign(after) != np.sign(margins)).sum()


def test_few_prompts_give_no_interval_and_many_pairs_of_one_are_few():
    chosen, rejected = matrices(1, 40)
    assert np.isnan(preference(chosen, rejected, ["p"] * 40).low)
    assert preference(chosen, rejected, ["p"] * 40).kind == "few"
    assert preference(chosen, rejected, [str(i % 9) for i in range(40)]).kind == "few"
    assert not np.isnan(preference(chosen, rejected, [str(i % 10) for i in range(40)]).low)


def test_the_better_side_is_told_and_equal_sides_are_not():
    head, n = np.ones(4), 60
    weak = FeatureMatrix.from_topk(np.zeros((n, 1)), np.ones((n, 1)), head)
    strong = FeatureMatrix.from_topk(np.ones((n, 1)), 2 * np.ones((n, 1)), head)
    assert preference(strong, weak, range(n)).kind == "first"
    found = preference(weak, strong, range(n))
    assert (found.kind, found.without, found.turned) == ("second", (1,), n)
    alternating = FeatureMatrix.from_topk(np.zeros((n, 1)), np.resize([0.0, 2.0], (n, 1)), head)
    assert preference(alternating, weak, range(n)).kind == "unclear"
