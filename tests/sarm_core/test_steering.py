"""Steering is exact arithmetic on activations: against a dense oracle, and by its identities."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sarm_core.errors import SarmError, SteeringError
from sarm_core.features import FeatureMatrix
from sarm_core.steering import Group, Steering

WIDTH = 10
features = st.integers(0, WIDTH - 1)
numbers = st.one_of(st.floats(-5, 5, allow_nan=False, width=32), st.sampled_from([0.0, 1.0, -1.0, 2.0, 0.5]))
changes = st.dictionaries(features, numbers, max_size=5)
groups = st.dictionaries(
    st.text(min_size=1, max_size=5),
    st.builds(Group, st.lists(features, unique=True, max_size=4).map(tuple), numbers),
    max_size=2,
)
steerings = st.builds(Steering, scale=changes, set=changes, offset=changes, groups=groups)


@st.composite
def matrices(draw):
    """Signed sparse activations of 1 to 6 answers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 6))
    z = rng.normal(size=(n, WIDTH)) * (rng.random((n, WIDTH)) < 0.4)
    return FeatureMatrix(sparse.csr_matrix(z.astype(np.float32)), rng.normal(size=WIDTH).astype(np.float32))


def oracle(steering: Steering, matrix: FeatureMatrix) -> np.ndarray:
    """Rewards by a loop over every cell of the dense matrix, straight from the definitions."""
    active = np.zeros(matrix.csr.shape, dtype=bool)
    z = matrix.csr.toarray().astype(np.float64)
    for row in range(len(matrix)):
        active[row, matrix.activations(row)[0]] = True
    for row, i in np.ndindex(*z.shape):
        if active[row, i]:
            z[row, i] *= steering.scale.get(i, 1.0)
            for group in steering.groups.values():
                if i in group.features:
                    z[row, i] *= group.scale
            if i in steering.set:
                z[row, i] = steering.set[i]
        z[row, i] += steering.offset.get(i, 0.0)
    return z @ matrix.head.astype(np.float64)


@pytest.mark.slow
@given(steerings, matrices())
def test_both_ways_to_steer_equal_the_dense_oracle(steering, matrix):
    wanted = oracle(steering, matrix)
    size = 1e-5 * (1 + np.abs(wanted).max())
    np.testing.assert_allclose(steering.rewards(matrix), wanted, atol=size)
    np.testing.assert_allclose(steering.apply(matrix).rewards, wanted, atol=size)


@pytest.mark.slow
@given(steerings, matrices())
def test_steered_contributions_sum_to_the_steered_reward(steering, matrix):
    steered = steering.apply(matrix)
    for row in range(len(matrix)):
        assert steered.contributions(row)[1].sum() == pytest.approx(steered.exact_rewards[row], abs=1e-5)


@given(matrices(), features, numbers)
def test_scaling_moves_active_answers_by_m_minus_one_and_leaves_silent_ones_bit_identical(matrix, i, m):
    steering = Steering(scale={i: m})
    rows, z = matrix.column(i)
    silent = np.setdiff1d(np.arange(len(matrix)), rows)
    for after in (steering.rewards(matrix), steering.apply(matrix).rewards):
        np.testing.assert_array_equal(after[silent], matrix.rewards[silent])
        moved = (m - 1) * float(matrix.head[i]) * z.astype(np.float64)
        np.testing.assert_allclose(after[rows] - matrix.exact_rewards[rows], moved, atol=1e-5)


@pytest.mark.slow
@given(matrices(), changes)
def test_offsets_move_all_answers_alike_and_never_rerank(matrix, offset):
    steering = Steering(offset=offset)
    assert not steering.can_rerank()
    exact = steering.apply(matrix).exact_rewards
    np.testing.assert_array_equal(
        np.argsort(-exact, kind="stable"), np.argsort(-matrix.exact_rewards, kind="stable")
    )
    for left in range(len(matrix)):
        assert steering.apply(matrix).difference(0, left)[1].sum() == matrix.difference(0, left)[1].sum()


@given(steerings)
def test_a_steering_survives_its_file(steering):
    back = Steering.from_json(steering.to_json())
    assert back == steering


def test_the_reference_format_is_read_and_written_byte_for_byte_in_meaning():
    text = '{"16720": ["*", 2.0], "12222": ["+", 3.0]}'
    steering = Steering.from_json(text)
    assert steering.scale == {16720: 2.0} and steering.offset == {12222: 3.0}
    assert json.loads(steering.to_json()) == json.loads(text)


@pytest.mark.slow
@given(steerings, steerings, matrices())
def test_then_equals_one_after_the_other(first, second, matrix):
    try:
        both = first.then(second)
    except SteeringError:
        assert set(first.offset) & set(second.set)
        return
    # An offset also reaches answers in which the feature is silent, so scaling it has to be done densely.
    z = matrix.csr.toarray().astype(np.float64)
    active = z != 0

    def step(steering, z):
        factor = np.ones(WIDTH)
        for i, m in steering.multipliers().items():
            factor[i] = m
        z = z * factor
        for i, v in steering.set.items():
            z[active[:, i], i] = v
        for i, v in steering.offset.items():
            z[:, i] += v
        return z

    wanted = step(second, step(first, z)) @ matrix.head.astype(np.float64)
    np.testing.assert_allclose(both.rewards(matrix), wanted, atol=1e-4 * (1 + np.abs(wanted).max()))


@pytest.mark.slow
@given(changes, groups, matrices())
def test_a_folded_head_gives_the_steered_rewards(scale, groups, matrix):
    steering = Steering(scale=scale, groups=groups)
    folded = FeatureMatrix(matrix.csr, steering.fold(matrix.head))
    steered = steering.rewards(matrix)
    np.testing.assert_allclose(folded.rewards, steered, atol=1e-5 * (1 + np.abs(steered).max()))


def test_what_a_head_cannot_express_is_refused_with_the_reason():
    head = np.ones(WIDTH, np.float32)
    with pytest.raises(SteeringError, match="feature 4 is set to a value, which no head weight can express"):
        Steering(set={4: 1.0}).fold(head)
    with pytest.raises(SteeringError, match=r"feature 5 has an offset.*bias"):
        Steering(offset={2: 0.0, 5: 1.0}).fold(head)
    np.testing.assert_array_equal(Steering(offset={5: 0.0}).fold(head), head)
    with pytest.raises(SteeringError, match="feature 10 does not exist"):
        Steering(scale={10: 2.0}).fold(head)


@pytest.mark.slow
@given(steerings, matrices())
def test_features_names_everything_that_changes(steering, matrix):
    rest = [i for i in range(WIDTH) if i not in steering.features()]
    z, after = matrix.csr.toarray(), steering.apply(matrix).csr.toarray()
    np.testing.assert_array_equal(after[:, rest], z[:, rest])
    assert bool(steering) == bool(steering.features())


def test_a_group_scales_its_features_together_and_on_top_of_their_own_scale():
    steering = Steering(scale={3: 2.0}, groups={"style": Group((3, 3, 7), 0.5)})
    assert steering.multipliers() == {3: 1.0, 7: 0.5}
    assert steering.features() == (7,)


def test_with_scale_changes_one_feature_and_one_removes_it():
    steering = Steering(scale={1: 2.0})
    assert steering.with_scale(4, 0.0).scale == {1: 2.0, 4: 0.0}
    assert steering.with_scale(1, 1.0).scale == {}
    assert steering.scale == {1: 2.0}


def test_diff_says_what_each_side_does():
    left = Steering(scale={1: 2.0, 2: 3.0}, offset={2: 1.0})
    right = Steering(scale={1: 2.0}, set={5: 0.0})
    assert left.diff(right) == {2: ("x 3, + 1", "unchanged"), 5: ("unchanged", "= 0")}
    assert left.diff(left) == {}


def test_diff_tells_any_two_float32_values_apart():
    near = float(np.nextafter(np.float32(0.7), np.float32(1)))
    assert Steering(scale={1: float(np.float32(0.7))}).diff(Steering(scale={1: near}))
    assert Steering(scale={1: 0.1 * 3}).described() == {1: "x 0.3"}


def test_diff_of_groups_names_what_treats_every_feature_alike_and_yet_differs():
    left = Steering(groups={"style": Group((1, 2)), "same": Group((5, 6), 2.0), "gone": Group((9,), 0.5)})
    right = Steering(groups={"style": Group((1, 3)), "same": Group((6, 5), 2.0), "new": Group((9,), 0.5)})
    assert left.diff(right) == {}
    assert left.diff_groups(right) == {
        "style": (Group((1, 2)), Group((1, 3))),
        "gone": (Group((9,), 0.5), None),
        "new": (None, Group((9,), 0.5)),
    }


def test_composing_keeps_the_sliders_of_groups():
    first = Steering(scale={1: 2.0}, groups={"style": Group((1, 2), 0.5), "tone": Group((3,), 3.0)})
    second = Steering(
        groups={"style": Group((2, 1), 4.0), "tone": Group((3, 4), 0.5), "new": Group((5,), 0.0)}
    )
    both = first.then(second)
    assert both.groups == {"style": Group((1, 2), 2.0), "tone": Group((3,), 3.0), "new": Group((5,), 0.0)}
    assert both.multipliers() == {1: 4.0, 2: 2.0, 3: 1.5, 4: 0.5, 5: 0.0}


def test_a_composition_that_no_file_could_hold_is_refused():
    huge = Steering(scale={4: 1e20})
    with pytest.raises(SteeringError, match="feature 4: the two together make 1e\\+40"):
        huge.then(huge)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "expected an object"),
        ('{"a": ["*", 1]}', "'a' is not a feature number"),
        ('{"-1": ["*", 1]}', "not a feature number"),
        ('{"1.5": ["*", 1]}', "not a feature number"),
        ('{"١": ["*", 1]}', "not a feature number"),
        ('{"7": 2.0}', "feature 7: expected"),
        ('{"7": ["/", 2.0]}', "feature 7: expected"),
        ('{"7": ["*", "2"]}', "feature 7: '2' is not a number"),
        ('{"7": ["*", true]}', "is not a number"),
        ('{"7": ["*", NaN]}', "not a usable number"),
        ('{"7": ["*", 1e400]}', "not a usable number"),
        ('{"7": [["*", 1], ["*", 2]]}', "two '*' changes"),
        ('{"7": ["*", 2], "07": ["*", 3]}', "two '*' changes"),
        ('{"7": ["*", 2], "7": ["*", 3]}', "'7' appears twice"),
        ('{"format": "other/9", "features": {}}', "format 'other/9' is not"),
        ('{"features": []}', "'features' must be an object"),
        ('{"groups": {"g": {"features": "12"}}}', "group 'g'"),
        ('{"groups": {"g": {"features": [1], "scale": null}}}', "is not a number"),
        ('{"groups": {"g": {"features": [1]}}}', "group 'g': expected"),
        (
            '{"groups": {"g": {"features": [1], "scale": 1, "multiplier": 0}}}',
            "group 'g': the key 'multiplier'",
        ),
        ('{"format": "sarm-steering/1", "feature": {"7": ["*", 0]}}', "the key 'feature' is none of"),
        ('{"features": {}, "group": {}}', "the key 'group' is none of"),
        ('{"groups": []}', "'groups' must be"),
    ],
)
def test_a_bad_file_is_named_in_one_line(tmp_path, text, words):
    path = tmp_path / "s.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SteeringError) as caught:
        Steering.read(path)
    assert words in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_missing_file_and_a_place_that_cannot_be_written_are_one_line(tmp_path):
    with pytest.raises(SteeringError, match="cannot be read"):
        Steering.read(tmp_path / "absent.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SarmError, match="cannot be written"):
        Steering(scale={1: 2.0}).write(tmp_path / "folder")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "s.json"
    Steering(scale={1: 2.0}).write(path)
    Steering(set={1: 2.0}).write(path)
    assert Steering.read(path) == Steering(set={1: 2.0})
    assert [p.name for p in tmp_path.iterdir()] == ["s.json"]


def test_a_steering_for_another_model_is_refused_before_anything_is_computed():
    matrix = FeatureMatrix.from_topk([[0]], [[1.0]], np.ones(WIDTH))
    for steering in (
        Steering(scale={WIDTH: 2.0}),
        Steering(offset={99: 1.0}),
        Steering(groups={"g": Group((3, 500))}),
    ):
        for call in (steering.apply, steering.rewards):
            with pytest.raises(SteeringError, match="does not exist: this model has features 0 to 9"):
                call(matrix)
    assert math.isclose(Steering().rewards(matrix)[0], 1.0)


def test_factors_whose_product_is_no_number_are_refused_where_they_are_read_and_where_they_are_used(tmp_path):
    path = tmp_path / "steering.json"
    group = {"features": [1], "scale": 1e30}
    path.write_text(json.dumps({"features": {"1": ["*", 1e30]}, "groups": {"a": group}}))
    with pytest.raises(SteeringError, match=r"steering.json: feature 1: .* 1e\+60, which is too large"):
        Steering.read(path)
    made = Steering(scale={1: 1e30}, groups={"a": Group((1,), 1e30)})
    matrix = FeatureMatrix(sparse.csr_matrix(np.array([[1.0, 2.0]], np.float32)), np.ones(2, np.float32))
    for call in (made.apply, made.rewards, lambda m: made.fold(m.head)):
        with pytest.raises(SteeringError, match="too large"):
            call(matrix)


def test_a_folded_weight_beyond_float32_is_refused():
    head = np.array([1.0, 1e9], np.float32)
    assert np.isfinite(Steering(scale={0: 1e30}).fold(head)).all()
    with pytest.raises(SteeringError, match=r"feature 1: .* float32 cannot hold"):
        Steering(scale={1: -1e30}).fold(head)
