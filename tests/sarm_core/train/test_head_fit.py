"""The head's convex fits against independent optimisers, and the conditions that only an optimum meets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, sparse, special

from sarm_core.errors import SarmError
from sarm_core.train.head_fit import Part, fit_head, l1_path, largest_l1, pick_head, ridge_path


def skewed(rng, pairs=200, features=30, dtype=np.float64):
    """Pairs over features of which some fire in every pair and others in a few, as those of a dictionary do."""
    rates = np.geomspace(1, 0.03, features)
    d = (
        rng.normal(size=(pairs, features))
        * (rng.random((pairs, features)) < rates)
        * rng.gamma(2, 1, features)
    )
    d[:, -1] = 0.0  # never differs
    w = np.zeros(features)
    w[:4] = [1, -1, 0.5, 0.5]
    signs = np.where(rng.random(pairs) < special.expit(d @ w), 1, -1)
    return (d * signs[:, None]).astype(dtype), rng.random(pairs) + 0.1


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1e-2, 1e-1, 1.0]), st.booleans())
def test_the_head_is_the_optimum_an_independent_optimiser_finds(seed, decay, as_sparse):
    rng = np.random.default_rng(seed)
    d, v = skewed(rng, 40, 6)
    w = fit_head(Part(sparse.csc_matrix(d) if as_sparse else d, v), decay)

    def objective(w):
        return np.average(np.logaddexp(0, -d @ w), weights=v) + decay / 2 * w @ w

    other = optimize.minimize(
        objective, rng.normal(size=6), method="Powell", options={"xtol": 1e-9, "ftol": 1e-14}
    )
    assert objective(w) <= other.fun + 1e-7
    assert w[-1] == 0.0


@pytest.mark.parametrize("kind", ["dense", "csr", "csc"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_gradient_vanishes_at_the_head_whatever_holds_the_differences(kind, dtype):
    d, v = skewed(np.random.default_rng(0), dtype=dtype)
    part = Part({"dense": d, "csr": sparse.csr_matrix(d), "csc": sparse.csc_matrix(d)}[kind], v)
    w = fit_head(part, 1e-3)
    wide, share = d.astype(np.float64), v / v.sum()
    gradient = -wide.T @ (share * special.expit(-wide @ w)) + 1e-3 * w
    assert np.abs(gradient).max() < 1e-4 * np.abs(wide.T @ share).max()
    np.testing.assert_allclose(part.squares, share @ wide**2, rtol=1e-5)


@pytest.mark.parametrize("kind", ["dense", "csc"])
def test_a_margin_shifts_its_pair_and_a_tie_is_half_a_pair_in_each_order(kind):
    rng = np.random.default_rng(2)
    d, v = skewed(rng, 120)
    stated, tied = rng.normal(size=len(d)) * (rng.random(len(d)) < 0.5), rng.random(len(d)) < 0.3
    stated[tied] = 0
    rows = {"dense": d, "csc": sparse.csc_matrix(d)}[kind]
    part = Part(rows, v, stated=stated, tied=tied)
    w = fit_head(part, 1e-2, tolerance=1e-13)
    both = np.concatenate([d, -d[tied]])
    share = np.concatenate([np.where(tied, v / 2, v), v[tied] / 2])
    ahead = np.concatenate([stated, np.zeros(tied.sum())])

    def objective(w):
        return np.average(np.logaddexp(0, ahead - both @ w), weights=share) + 0.005 * w @ w

    other = optimize.minimize(objective, np.zeros(d.shape[1]), method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(w, other.x, atol=1e-4)
    assert part.loss(part.margins(w)) + 0.005 * w @ w == pytest.approx(other.fun, abs=1e-9)
    some = rng.random(len(d)) < 0.5
    np.testing.assert_array_equal(
        part.some(some).losses(part.margins(w)[some])
        if kind == "dense"
        else part.losses(part.margins(w))[some],
        part.losses(part.margins(w))[some],
    )


def test_squared_errors_give_ridge_regression():
    rng = np.random.default_rng(1)
    d, v = skewed(rng)
    targets, share = rng.normal(size=len(d)), v / v.sum()
    w = fit_head(Part(sparse.csc_matrix(d), v, targets), 0.01, tolerance=1e-14)
    normal = (d * share[:, None]).T @ d + 0.01 * np.eye(d.shape[1])
    np.testing.assert_allclose(w, np.linalg.solve(normal, d.T @ (share * targets)), atol=1e-4)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000))
def test_every_step_of_the_l1_path_meets_the_conditions_of_its_optimum(seed):
    """gradient = -penalty sign(w) where a feature is used, |gradient| <= penalty elsewhere: screening lost nothing."""
    d, v = skewed(np.random.default_rng(seed), 150, 40)
    part, share = Part(sparse.csc_matrix(d), v), v / v.sum()
    penalties = [largest_l1(part) * 0.7**step for step in range(12)]
    used = []
    for penalty, w in zip(penalties, l1_path(part, penalties, tolerance=1e-12), strict=True):
        gradient = -d.T @ (share * special.expit(-d @ w))
        inside = w != 0
        np.testing.assert_allclose(gradient[inside], -penalty * np.sign(w[inside]), atol=3e-3 * penalties[0])
        assert (np.abs(gradient[~inside]) <= penalty * 1.01 + 1e-6).all()
        used.append(int(inside.sum()))
    assert used[0] == 0 and used[-1] > used[3]


def test_a_weight_counts_like_copies_of_its_pair():
    d, _ = skewed(np.random.default_rng(2), 30)
    counts = np.arange(30) % 3 + 1
    once = fit_head(Part(d, counts), 0.1)
    copied = fit_head(Part(np.repeat(d, counts, axis=0), np.ones(counts.sum())), 0.1)
    np.testing.assert_allclose(once, copied, atol=1e-4)


def test_the_validation_part_chooses_the_decay():
    d = np.random.default_rng(1).normal(size=(20, 15))
    train, against = Part(d, np.ones(20)), Part(-d, np.ones(20))
    found = pick_head(train, against, [1e-4, 1e-2, 10.0])
    assert found.decay == 10.0  # validation contradicts training: the strongest decay loses least
    assert found.loss == pytest.approx(np.mean(np.log1p(np.exp(d @ found.w))))
    with pytest.raises(SarmError, match="decays is empty"):
        pick_head(train, train, [])


def test_without_decays_the_search_ends_behind_the_best_one():
    d, v = skewed(np.random.default_rng(3), 400)
    fits = ridge_path(Part(d[:200], v[:200]), Part(d[200:], v[200:]))
    losses = [fit.loss for fit in fits]
    assert 0 < int(np.argmin(losses)) < len(losses) - 1
    assert [fit.decay for fit in fits] == sorted((fit.decay for fit in fits), reverse=True)


@pytest.mark.parametrize("kind", ["dense", "csc"])
def test_the_l1_path_with_a_base_prices_and_bounds_meets_the_conditions_of_its_optimum(kind):
    """On top of what stands already: 0 where the gradient is below a feature's price, at a bound where it pulls on."""
    rng = np.random.default_rng(11)
    d, v = skewed(rng, 150, 20)
    base, tied = rng.normal(size=len(d)), rng.random(len(d)) < 0.2
    prices, low, high = rng.random(20) + 0.2, -rng.random(20) * 0.3, rng.random(20) * 0.3
    low[3] = high[4] = 0.0
    part = Part({"dense": d, "csc": sparse.csc_matrix(d)}[kind], v, tied=tied, base=base)
    largest, reached = largest_l1(part, prices), 0
    penalties = [largest * 0.6**step for step in range(10)]
    for penalty, w in zip(
        penalties, l1_path(part, penalties, 1e-13, prices=prices, bounds=(low, high)), strict=True
    ):
        lead = base + d @ w
        slope = np.where(tied, special.expit(lead) - 0.5, special.expit(lead) - 1) * v / v.sum()
        pull, cost = -(d.T @ slope), penalty * prices
        near = 1e-4 * largest
        assert ((w >= low) & (w <= high)).all()
        for f in range(20):
            if w[f] == 0:
                assert low[f] == 0 or pull[f] >= -cost[f] - near
                assert high[f] == 0 or pull[f] <= cost[f] + near
            elif w[f] in (low[f], high[f]):
                reached += 1
                assert np.sign(w[f]) * pull[f] >= cost[f] - near
            else:
                assert pull[f] == pytest.approx(np.sign(w[f]) * cost[f], abs=near)
    assert reached > 5
    some = rng.random(len(d)) < 0.5
    if kind == "dense":
        np.testing.assert_array_equal(part.some(some).margins(w), part.margins(w)[some])


def test_where_an_l1_path_starts_changes_no_result():
    rng = np.random.default_rng(12)
    d, v = skewed(rng, 120, 15)
    part = Part(sparse.csc_matrix(d), v)
    penalty = largest_l1(part) * 0.2
    found = [
        next(l1_path(part, [penalty], 1e-13, start=start))
        for start in (None, np.zeros(15), rng.normal(size=15))
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-4)
