"""The curve of a planted sparse head: few features are found, chosen and kept to; flipped labels are seen."""

import numpy as np
import pytest
from scipy import sparse, special

from sarm_core.errors import SarmError
from sarm_core.train.doubtful_pairs import contradicting, cross_fitted, doubtful
from sarm_core.train.head_fit import Part, pick_head
from sarm_core.train.held_out import HeldOut
from sarm_core.train.selection import chosen_by_validation, curve_of, finished, with_exactly

PLANTED = np.array([3, 17, 40, 61])


@pytest.fixture(scope="module")
def fitted():
    """1,500 pairs over 80 features of which four decide: (train, validation, curve)."""
    rng = np.random.default_rng(0)
    d = rng.normal(size=(1500, 80)) * (rng.random((1500, 80)) < 0.3)
    margins = d[:, PLANTED] @ [3.0, -3.0, 2.0, -2.0]
    d *= np.where(rng.random(1500) < special.expit(2 * margins), 1, -1)[:, None]
    train, validation = (Part(sparse.csc_matrix(rows), np.ones(len(rows))) for rows in (d[:1000], d[1000:]))
    return train, validation, curve_of(train, validation, pick_head(train, validation))


def test_the_first_features_in_are_the_planted_ones(fitted):
    _, _, curve = fitted
    four = next(point for point in curve if point.n_features >= 4)
    assert set(PLANTED) <= set(four.features)
    assert four.how == "relaxed"  # L1 shrinks the four it keeps
    assert curve[-1].how == "ridge" and curve[-1].n_features == 80
    assert four.loss < curve[-1].loss


def test_validation_takes_few_features_that_are_as_good_as_the_best(fitted):
    train, validation, curve = fitted
    held_out = HeldOut(np.ones(500), [str(i) for i in range(500)], ["s"] * 500)
    point = finished(chosen_by_validation(curve, validation, held_out), train, validation)
    assert 4 <= point.n_features <= 20 and set(PLANTED) <= set(point.features)
    best = min(each.loss for each in curve)
    assert point.loss < best + 0.02
    head = point.head(80)
    assert np.count_nonzero(head) == point.n_features
    np.testing.assert_array_equal(np.flatnonzero(head), point.features)


def test_any_number_of_features_can_be_asked_for(fitted):
    train, validation, curve = fitted
    for n in (1, 2, 4, 33, 80):
        point = with_exactly(curve, n, train, validation)
        assert point.n_features == n and len(point.weights) == n
        if n >= 4:
            assert set(PLANTED) <= set(point.features)
    with pytest.raises(SarmError, match="--features 81: no more than 80 features"):
        with_exactly(curve, 81, train, validation)


def test_flipped_labels_have_the_most_negative_cross_fitted_margins():
    rng = np.random.default_rng(1)
    d = np.abs(rng.normal(size=(400, 3))) + 1  # every feature speaks for the chosen answer
    flipped = np.array([5, 77, 200])
    d[flipped] *= -1
    prompts = [str(i // 2) for i in range(400)]
    margins = cross_fitted(Part(sparse.csc_matrix(d), np.ones(400)), prompts, 1e-2, np.zeros(3), 0)
    listed = doubtful(margins, np.arange(400), np.arange(400, 800))
    assert {each.pair for each in listed} == set(flipped) and {each.why for each in listed} == {"against"}
    assert [each.margin for each in listed] == sorted(each.margin for each in listed)


def test_a_pair_has_no_say_in_its_own_margin():
    """A feature that one prompt alone has cannot speak for that prompt's label."""
    d = np.eye(6)
    margins = cross_fitted(Part(d, np.ones(6)), list("abcdef"), 1e-3, np.zeros(6), 0)
    np.testing.assert_allclose(margins, 0, atol=1e-9)


def test_pairs_that_state_the_opposite_are_found_whatever_their_order():
    chosen, rejected = np.array([1, 4, 2, 5, 7]), np.array([2, 5, 1, 6, 7])
    np.testing.assert_array_equal(contradicting(chosen, rejected), [0, 2])
