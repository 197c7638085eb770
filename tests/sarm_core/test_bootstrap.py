"""The one bootstrap: the stated generator replayed by hand, blocks that change nothing, kinds that are never lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sarm_core import bootstrap
from sarm_core.bootstrap import KeptDraws, draws, interval, redrawn


def by_hand(n, resamples, rng):
    """One resample after the other, one draw after the other."""
    counts = np.zeros((resamples, n), np.int64)
    for r in range(resamples):
        for unit in rng.integers(0, n, n):
            counts[r, unit] += 1
    return counts


@given(n=st.integers(1, 9), resamples=st.integers(1, 7), seed=st.integers(0, 99), block=st.integers(1, 999))
def test_draws_are_those_of_the_generator_whatever_the_block(n, resamples, seed, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "BLOCK_BYTES", block)
        found = np.concatenate([counts for _, counts in draws(n, resamples, np.random.default_rng(seed))])
    assert (found == by_hand(n, resamples, np.random.default_rng(seed))).all()
    assert (found.sum(axis=1) == n).all()


@given(n=st.integers(1, 9), seed=st.integers(0, 99), block=st.integers(1, 999))
def test_sums_are_those_of_the_redrawn_units(n, seed, block):
    sums = np.random.default_rng(seed).normal(size=(3, n))
    counts = by_hand(n, 5, np.random.default_rng([seed, 1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "BLOCK_BYTES", block)
        found = redrawn(sums, 5, np.random.default_rng([seed, 1]))
        kept = KeptDraws(np.zeros(n, np.int64), 5, seed).totals(sparse.csc_matrix(sums.T))
    np.testing.assert_allclose(found, sums @ counts.T)
    np.testing.assert_allclose(kept, sums @ by_hand(n, 5, np.random.default_rng(seed)).T)


@given(kinds=st.lists(st.integers(0, 3), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_each_kind_is_drawn_within_itself_in_order(kinds, seed):
    of = np.array(kinds)
    found, rng = KeptDraws(of, 4, seed).counts, np.random.default_rng(seed)
    for kind in sorted(set(kinds)):
        assert (by_hand(int((of == kind).sum()), 4, rng) == found[of == kind].T).all()


def test_an_interval_leaves_undefined_resamples_out():
    values = [np.nan, *np.linspace(0, 1, 101)]
    assert interval(values, 0.9) == pytest.approx((0.05, 0.95))
    assert np.isnan(interval([np.nan, np.nan], 0.9)).all()
