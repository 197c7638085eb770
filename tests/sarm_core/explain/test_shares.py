"""Shares by group: they add up exactly, every feature counts once, and no percentage misleads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sarm_core.errors import SarmError
from sarm_core.explain.shares import Partition, Shares, margin_shares, reward_shares, reward_table
from sarm_core.features import FeatureMatrix
from sarm_core.steering import Steering

WIDTH = 10
members = st.lists(st.integers(0, WIDTH - 1), max_size=6)
grouped = st.dictionaries(st.text(max_size=4), members, max_size=4)


@st.composite
def matrices(draw):
    """Signed sparse activations of 2 to 6 answers, at times under an offset."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(2, 6))
    z = rng.normal(size=(n, WIDTH)) * (rng.random((n, WIDTH)) < 0.4)
    matrix = FeatureMatrix(sparse.csr_matrix(z.astype(np.float32)), rng.normal(size=WIDTH).astype(np.float32))
    return Steering(offset=draw(st.sampled_from([{}, {3: 2.0, 7: -1.5}]))).apply(matrix)


def oracle(matrix, groups):
    """Dense [n, G + 1]: the first group that names a feature gets it, the last cell the rest."""
    z = matrix.csr.toarray().astype(np.float64)
    z[:, matrix.offset_ids] += matrix.offset_values
    parts = z * matrix.head.astype(np.float64)
    table = np.zeros((len(matrix), len(groups) + 1))
    for feature in range(WIDTH):
        cell = next((i for i, ids in enumerate(groups.values()) if feature in ids), len(groups))
        table[:, cell] += parts[:, feature]
    return table


@pytest.mark.slow
@given(matrices(), grouped)
def test_the_groups_sum_to_the_reward_and_to_the_margin(matrix, groups):
    partition = Partition.of_groups(groups, WIDTH)
    wanted = oracle(matrix, groups)
    np.testing.assert_allclose(reward_table(matrix, partition), wanted, atol=1e-12)
    np.testing.assert_allclose(wanted.sum(axis=1), matrix.rewards, rtol=1e-6, atol=1e-6)
    for row in range(len(matrix)):
        found = reward_shares(matrix, row, partition)
        np.testing.assert_allclose(found.signed, wanted[row], atol=1e-12)
        assert found.error <= 1e-6 * (1 + abs(found.total))
        assert (found.absolute >= np.abs(found.signed) - 1e-12).all()
    margin = margin_shares(matrix, 0, 1, partition)
    np.testing.assert_allclose(margin.signed, wanted[0] - wanted[1], atol=1e-12)
    assert margin.total == float(matrix.rewards[0]) - float(matrix.rewards[1])
    assert margin.error <= 1e-6 * (1 + np.abs(matrix.rewards).max())


@pytest.mark.slow
@given(matrices(), grouped)
def test_a_percentage_is_given_only_where_all_groups_pull_one_way(matrix, groups):
    found = margin_shares(matrix, 0, 1, Partition.of_groups(groups, WIDTH))
    share = found.of_absolute
    assert ((share >= 0) & (share <= 1)).all()
    assert share.sum() == pytest.approx(1.0 if found.absolute.any() else 0.0)
    if found.caveat:
        assert found.of_total is None
    else:
        assert ((found.of_total >= 0) & (found.of_total <= 1 + 1e-9)).all()
        assert found.of_total.sum() == pytest.approx(1.0)


def test_every_feature_counts_once_in_the_first_group_that_names_it():
    partition = Partition.of_groups({"style": [1, 2, 2], "safety": [2, 3], "none": []}, 5)
    assert partition.of.tolist() == [3, 0, 0, 1, 3]
    assert partition.shared == (2,)


@pytest.mark.parametrize(
    ("signed", "absolute", "words"),
    [
        ([2.0, 1.0], [2.0, 1.0], ""),
        ([2.0, 0.0], [9.0, 9.0], ""),
        ([2.0, -1.0], [2.0, 1.0], "both ways"),
        ([1.0, -1.0], [1.0, 1.0], "near zero"),
        ([0.01, 0.01], [5.0, 5.0], "near zero"),
        ([0.0, 0.0], [0.0, 0.0], "near zero"),
    ],
)
def test_what_would_mislead_as_a_percentage_is_said(signed, absolute, words):
    found = Shares(np.array(signed), np.array(absolute), np.array([1, 1]), sum(signed))
    assert (words in found.caveat) if words else not found.caveat


def test_groups_of_another_dictionary_are_refused():
    matrix = FeatureMatrix.from_topk([[0], [1]], [[1.0], [2.0]], np.ones(WIDTH))
    with pytest.raises(SarmError, match="feature 10 does not exist"):
        Partition.of_groups({"x": [10]}, WIDTH)
    other = Partition.of_groups({"x": [10]}, 11)
    for call in (lambda: reward_table(matrix, other), lambda: margin_shares(matrix, 0, 1, other)):
        with pytest.raises(SarmError, match="dictionary of 11 features"):
            call()
