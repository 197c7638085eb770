"""A reward is a sum over active features: attributions add up to it, differences to the margin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sarm_core import features as features_module
from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix, separating_features
from sarm_core.steering import Steering

WIDTH = 12


@st.composite
def matrices(draw, n_min=1):
    """Signed sparse activations and a signed head, some answers empty."""
    n = draw(st.integers(n_min, 5))
    seed = draw(st.integers(0, 2**32 - 1))
    density = draw(st.sampled_from([0.0, 0.2, 0.6, 1.0]))
    scale = draw(st.sampled_from([1e-3, 1.0, 1e3]))
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, WIDTH)) * (rng.random((n, WIDTH)) < density) * scale
    head = rng.normal(size=WIDTH) * (rng.random(WIDTH) < 0.8)
    return FeatureMatrix(sparse.csr_matrix(z.astype(np.float32)), head.astype(np.float32))


def dense(matrix: FeatureMatrix):
    """z and w as float64 arrays: what the oracles compute with."""
    return matrix.csr.toarray().astype(np.float64), matrix.head.astype(np.float64)


@given(matrices())
def test_rewards_are_the_dense_product(matrix):
    z, w = dense(matrix)
    np.testing.assert_allclose(matrix.rewards, z @ w, rtol=1e-6, atol=1e-6)
    assert matrix.rewards.dtype == np.float32


@given(matrices())
def test_contributions_sum_to_the_reward(matrix):
    for row in range(len(matrix)):
        ids, values = matrix.contributions(row)
        assert np.float32(values.sum()) == pytest.approx(matrix.rewards[row], rel=1e-6, abs=1e-6)
        assert list(ids) == sorted(set(ids))
        assert len(ids) == matrix.n_active[row]


@given(matrices(n_min=2))
def test_differences_sum_to_the_margin_and_flip_sign_with_the_sides(matrix):
    ids, values = matrix.difference(0, 1)
    z, w = dense(matrix)
    assert values.sum() == pytest.approx((z[0] - z[1]) @ w, rel=1e-6, abs=1e-6)
    assert set(ids) == set(np.flatnonzero((z[0] != 0) | (z[1] != 0)))
    back, opposite = matrix.difference(1, 0)
    np.testing.assert_array_equal(back, ids)
    np.testing.assert_allclose(opposite, -values)


@given(matrices(), st.booleans())
def test_a_table_sums_to_the_reward_and_has_the_largest_first(matrix, steered):
    if steered:  # a constant on a feature that may be silent, and on another
        matrix = FeatureMatrix(matrix.csr, matrix.head, np.array([0, 5]), np.array([2.0, -0.5]))
    z, w = dense(matrix)
    offset = np.bincount(matrix.offset_ids, weights=matrix.offset_values, minlength=WIDTH)
    for row in range(len(matrix)):
        table = matrix.table(row)
        assert table.reward == matrix.rewards[row]
        assert table.error <= 1e-6 * max(1.0, np.abs(table.contributions).sum())
        assert sorted(table.features) == matrix.contributions(row)[0].tolist()
        sizes = np.abs(table.contributions)
        assert (np.diff(sizes) <= 0).all()
        assert (np.diff(table.features)[np.diff(sizes) == 0] > 0).all()  # ids ascend among equals
        np.testing.assert_array_equal(table.activations, z[row, table.features])
        np.testing.assert_array_equal(table.weights, w[table.features])
        np.testing.assert_allclose(
            table.contributions, (z[row] * w + offset * w)[table.features], rtol=1e-12, atol=1e-12
        )
        listed = list(table.rows(3))
        assert [entry["feature"] for entry in listed] == table.features[:3].tolist()
        assert all(type(value) in (int, float) for entry in listed for value in entry.values())
        assert len(list(table.rows())) == len(table)


@given(matrices(n_min=2))
def test_a_table_of_differences_sums_to_the_margin_and_holds_both_sides(matrix):
    matrix = FeatureMatrix(matrix.csr, matrix.head, np.array([1]), np.array([3.0]))
    table = matrix.difference_table(0, 1)
    z, _ = dense(matrix)
    assert table.margin == float(matrix.rewards[0]) - float(matrix.rewards[1])
    assert table.error <= 1e-6 * max(
        1.0, *(np.abs(side.contributions).sum() for side in (table.left, table.right))
    )
    assert (np.diff(np.abs(table.differences)) <= 0).all()
    assert sorted(table.features) == np.flatnonzero((z[:2] != 0).any(0)).tolist()
    for side, row in ((table.left, 0), (table.right, 1)):
        np.testing.assert_array_equal(side.features, table.features)
        np.testing.assert_array_equal(side.activations, z[row, table.features])
        assert side.reward == matrix.rewards[row]
    np.testing.assert_allclose(
        table.left.contributions - table.right.contributions, table.differences, rtol=1e-9, atol=1e-9
    )
    assert {name: len(values) for name, values in table.columns().items()} == dict.fromkeys(
        ["feature", "left", "right", "difference", "z_left", "z_right", "weight"], len(table)
    )


def test_an_answer_compared_with_itself_differs_in_nothing():
    matrix = FeatureMatrix.from_topk([[3, 1]], [[2.0, -1.0]], np.ones(5))
    assert not matrix.difference(0, 0)[1].any()


def test_topk_codes_in_any_order_give_the_same_answer():
    head = np.arange(8, dtype=np.float32)
    one = FeatureMatrix.from_topk([[5, 2, 7], [0, 1, 2]], [[0.5, -2.0, 1.0], [1, 2, 3]], head)
    other = FeatureMatrix.from_topk([[2, 7, 5], [2, 0, 1]], [[-2.0, 1.0, 0.5], [3, 1, 2]], head)
    assert (one.csr != other.csr).nnz == 0
    assert list(one.activations(0)[0]) == [2, 5, 7]
    np.testing.assert_array_equal(one.activations(0)[1], np.array([-2.0, 0.5, 1.0], np.float32))
    np.testing.assert_array_equal(one.rewards, np.array([-4 + 2.5 + 7, 0 + 2 + 6], np.float32))


def test_an_active_feature_with_activation_zero_stays_active():
    """TopK keeps k entries whatever their value: 'active' is a stored entry, not a nonzero one."""
    matrix = FeatureMatrix.from_topk([[1, 4]], [[0.0, 2.0]], np.ones(6))
    assert matrix.n_active[0] == 2
    assert list(matrix.activations(0)[0]) == [1, 4]


@given(matrices(n_min=2), st.lists(st.integers(0, 1), min_size=1, max_size=4))
def test_selecting_rows_keeps_their_rewards_in_that_order(matrix, rows):
    np.testing.assert_array_equal(matrix.select(rows).rewards, matrix.rewards[rows])


@given(matrices())
def test_a_column_holds_exactly_the_answers_where_the_feature_fires(matrix):
    z, _ = dense(matrix)
    for feature in range(WIDTH):
        rows, values = matrix.column(feature)
        np.testing.assert_array_equal(np.sort(rows), np.flatnonzero(z[:, feature]))
        np.testing.assert_array_equal(values, matrix.csr.toarray()[rows, feature])


def test_rows_count_from_the_end_like_any_sequence_and_never_silently_miss():
    matrix = FeatureMatrix.from_topk([[0], [1]], [[1.0], [2.0]], [1, 1])
    assert matrix.contributions(-1)[1] == [2.0]
    for call in (matrix.contributions, matrix.activations, matrix.column, matrix.table):
        with pytest.raises(IndexError):
            call(2)


def test_stacking_keeps_every_answer_and_refuses_other_heads_and_steered_parts():
    head = np.array([1.0, -1.0, 2.0], np.float32)
    a = FeatureMatrix.from_topk([[0]], [[3.0]], head)
    b = FeatureMatrix.from_topk([[2], [1]], [[0.5], [4.0]], head)
    np.testing.assert_array_equal(FeatureMatrix.concatenate([a, b]).rewards, [3.0, 1.0, -4.0])
    with pytest.raises(SarmError, match="different heads"):
        FeatureMatrix.concatenate([a, FeatureMatrix.from_topk([[0]], [[1.0]], head * 2)])
    steered = FeatureMatrix(a.csr, head, np.array([1]), np.array([5.0]))
    for parts in ([steered], [steered, a], [a, steered]):
        with pytest.raises(SarmError, match="stack first, then steer"):
            FeatureMatrix.concatenate(parts)
    with pytest.raises(SarmError, match="nothing to concatenate"):
        FeatureMatrix.concatenate([])


def test_a_head_of_another_model_is_refused():
    with pytest.raises(SarmError, match="different models"):
        FeatureMatrix(sparse.csr_matrix((2, 5), dtype=np.float32), np.zeros(6, np.float32))


def test_no_answers_is_a_valid_matrix():
    empty = FeatureMatrix(sparse.csr_matrix((0, 5), dtype=np.float32), np.ones(5, np.float32))
    assert empty.rewards.shape == (0,) and empty.n_active.shape == (0,)


values = st.floats(-5, 5, width=32).map(lambda x: round(x, 2))


@st.composite
def few_sized(draw, rows=4):
    """Values of about one size, so that a spread is either plain or nought."""
    z = np.array([[draw(values) if draw(st.booleans()) else 0.0 for _ in range(WIDTH)] for _ in range(rows)])
    head = np.array([draw(values) for _ in range(WIDTH)], dtype=np.float32)
    return FeatureMatrix(sparse.csr_matrix(z.astype(np.float32)), head)


@pytest.mark.slow
@given(few_sized(), st.integers(1, 6))
def test_separating_features_are_those_whose_contribution_varies_most(matrix, n):
    z, w = dense(matrix)
    spread = (z * w).var(axis=0)
    found = separating_features(matrix, n)
    assert len(found) == len(set(found)) <= n
    assert all(spread[i] > 0 for i in found)
    if found:
        others = [i for i in range(WIDTH) if i not in found]
        assert min(spread[i] for i in found) >= max((spread[i] for i in others), default=0.0) - 1e-5
    assert len(found) == min(n, int((spread > 1e-6).sum())) or (spread[spread > 0] <= 1e-6).any()


def test_a_feature_alike_in_all_answers_separates_none():
    z = sparse.csr_matrix(np.array([[0.1, 3.0], [0.1, 1.0], [0.1, 2.0]], dtype=np.float32))
    matrix = FeatureMatrix(z, np.array([7.7, 0.01], dtype=np.float32))
    assert separating_features(matrix, 4) == [1]
    assert separating_features(FeatureMatrix(z[:1], matrix.head), 4) == []


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_sums_by_blocks_are_the_sums(block: int, monkeypatch):
    monkeypatch.setattr(features_module, "_BLOCK", block)
    rng = np.random.default_rng(8)
    dense = rng.normal(size=(23, 40)) * (rng.random((23, 40)) < 0.2)
    dense[5] = 0  # an answer without a feature
    matrix = FeatureMatrix(
        sparse.csr_matrix(dense.astype(np.float32)), rng.normal(size=40).astype(np.float32)
    )
    products = matrix.csr.toarray().astype(float) * matrix.head.astype(float)
    np.testing.assert_allclose(matrix.exact_rewards, products.sum(1), atol=1e-12)
    np.testing.assert_allclose(matrix.carried, np.abs(products).mean(0), atol=1e-12)
    assert matrix.select([]).exact_rewards.shape == (0,)


def test_columns_asked_once_are_those_that_are_kept():
    rng = np.random.default_rng(9)
    dense = rng.normal(size=(30, 12)) * (rng.random((30, 12)) < 0.3)
    dense[:, 4] = 0
    kept, fresh = (
        FeatureMatrix(sparse.csr_matrix(dense.astype(np.float32)), np.ones(12, np.float32)) for _ in "ab"
    )
    assert kept.columns.shape == (30, 12)
    asked = [7, 4, 0, 11]
    for found in (fresh.columns_at(asked), kept.columns_at(asked)):
        for feature, (rows, z) in zip(asked, found, strict=True):
            np.testing.assert_array_equal(rows, kept.column(feature)[0])
            np.testing.assert_array_equal(z, kept.column(feature)[1])
    assert "columns" not in fresh.__dict__
    steering = Steering(scale={7: 0.3, 11: 2.0}, set={0: 1.5}, offset={3: 0.1})
    np.testing.assert_array_equal(steering.rewards(fresh, once=True), steering.rewards(kept))
