"""A drift is exact, has the interval of its prompts, and what is only length is told from it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.steering import Steering
from sarm_core.watch.drift import Answers, drift_of
from sarm_core.watch.words import drift_json, headline

HEAD = np.array([0.5, -1.0, 2.0, 0.25, 1.0], dtype=np.float32)
LIST, LONG = 2, 3


def run(z, point, prompts, lengths=None, steering=None, **how):
    """The drift of dense activations z [n, 5]."""
    matrix = FeatureMatrix(sparse.csr_matrix(np.asarray(z, dtype=np.float32)), HEAD)
    matrix = steering.apply(matrix) if steering else matrix
    point = np.asarray(point)
    long = np.full(len(point), 10.0) if lengths is None else np.asarray(lengths, dtype=np.float64)
    steps = [(int(at),) for at in range(point.max() + 1)]
    return drift_of(Answers(matrix, point, np.asarray(prompts), long), steps, **how)


def noisy(n_prompts, n_each, n_points, seed=0):
    """Answers of `n_points` points without a drift: z, point, prompt."""
    rng = np.random.default_rng(seed)
    n = n_prompts * n_each * n_points
    z = np.maximum(rng.normal(0.5, 1, (n, 5)), 0)
    point = np.repeat(np.arange(n_points), n_prompts * n_each)
    return z, point, np.tile(np.repeat(np.arange(n_prompts), n_each), n_points)


def at(drift, feature):
    return int(np.flatnonzero(drift.features == feature)[0])


def test_a_planted_drift_is_first_with_its_share_and_an_interval_around_it():
    z, point, prompts = noisy(40, 4, 3)
    z[point == 1, LIST] += 0.5
    z[point == 2, LIST] += 1.0  # w 2: the reward rises by 2
    z[point == 2, 4] += 0.5  # w 1: by 0.5
    drift = run(z, point, prompts)
    assert drift.features[0] == LIST
    row = at(drift, LIST)
    assert drift.change[row] == pytest.approx([0, 1.0, 2.0], abs=0.25)
    assert drift.change_low[row, 2] < 2.0 < drift.change_high[row, 2]
    assert 0.3 < drift.change_high[row, 2] - drift.change_low[row, 2] < 1.2
    assert drift.share[row, 2] == pytest.approx(0.8, abs=0.1)
    assert drift.share[at(drift, 4), 2] == pytest.approx(0.2, abs=0.1)
    assert np.isnan(drift.share[:, 0]).all()  # nothing has risen yet
    assert drift.z[row, 2] > 10
    told = headline(drift)
    assert "rose by +" in told and "from step 0 to 2" in told and f"% of that is #{LIST}" in told
    assert [(a.feature, a.point) for a in drift.alarms(share=0.5)] == [(LIST, 1)]
    assert [a.feature for a in drift.alarms(z=8)] == [LIST]
    assert drift.alarms(share=1.5) == [] and drift.alarms() == []


def test_what_does_not_drift_raises_no_alarm_and_has_no_share():
    drift = run(*noisy(40, 4, 2, seed=3))
    assert not drift.points[1].rise.is_apart
    assert np.isnan(drift.share).all() and drift.alarms(share=0.1) == []
    assert "not told apart from 0" in headline(drift)


def test_intervals_cover_the_truth_as_often_as_they_say():
    """100 runs without a drift: about 95 of the intervals of the rise hold 0."""
    held = 0
    for seed in range(100):
        drift = run(*noisy(30, 2, 2, seed=seed), resamples=200, features=1)
        held += not drift.points[1].rise.is_apart
    assert 88 <= held <= 100


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_contributions_add_up_to_the_rise_at_every_point(data):
    n_points = data.draw(st.integers(1, 4))
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=n_points, max_size=n_points))
    point = np.repeat(np.arange(n_points), sizes)
    seed = data.draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    z = np.where(rng.random((point.size, 5)) < 0.6, rng.normal(0, 2, (point.size, 5)), 0)
    steering = data.draw(
        st.sampled_from([None, Steering(scale={2: 0.0}), Steering(set={1: 0.5}, offset={0: 3.0})])
    )
    lengths = rng.integers(1, 50, point.size)
    drift = run(
        z,
        point,
        rng.integers(0, 3, point.size),
        lengths,
        steering,
        resamples=0,
        features=data.draw(st.integers(1, 9)),
    )
    rewards = drift.answers.matrix.exact_rewards
    for t in range(n_points):
        rise = rewards[point == t].mean() - rewards[point == 0].mean()
        assert drift.points[t].rise.value == pytest.approx(rise, abs=1e-9)
        assert drift.change[:, t].sum() + drift.others[t] == pytest.approx(rise, abs=1e-9)
        assert drift.points[t].reward.value == pytest.approx(rewards[point == t].mean(), abs=1e-9)
    assert drift.error < 1e-9
    if drift.features.size == 5:  # all are listed: the matched changes add up as well
        matched = drift.matched.sum(axis=0)
        stated = [p.matched_rise.value for p in drift.points]
        np.testing.assert_allclose(matched, stated, atol=1e-8)


def test_length_matching_removes_a_drift_that_is_only_length_and_leaves_one_that_is_not():
    rng = np.random.default_rng(1)
    z, point, prompts = noisy(30, 4, 2)
    lengths = rng.integers(20, 60, point.size).astype(float)
    lengths[point == 1] *= 1.6  # answers become longer ...
    z[:, LONG] = lengths / 10  # ... and this feature says nothing but how long one is
    z[point == 1, LIST] += 1.0  # this one drifts at any length
    drift = run(z, point, prompts, lengths)
    long, other = at(drift, LONG), at(drift, LIST)
    assert drift.change[long, 1] > 0.4 and drift.change_low[long, 1] > 0
    assert abs(drift.matched[long, 1]) < 1e-6
    assert drift.matched[other, 1] == pytest.approx(2.0, abs=0.3) and drift.matched_low[other, 1] > 1
    assert "1.6 times as long" in headline(drift) and "remains at equal length" in headline(drift)


def test_length_matching_is_the_regression_that_its_formula_says():
    rng = np.random.default_rng(2)
    z, point, prompts = noisy(12, 3, 2, seed=5)
    lengths = rng.integers(5, 90, point.size).astype(float)
    drift = run(z, point, prompts, lengths)
    groups = point * 100 + prompts
    for row, feature in enumerate(drift.features):
        c = z[:, feature].astype(np.float32).astype(float) * float(HEAD[feature])
        # Ordinary least squares with a dummy for each group of answers to one prompt at one point.
        dummies = (groups[:, None] == np.unique(groups)).astype(float)
        slope = np.linalg.lstsq(np.column_stack([lengths, dummies]), c, rcond=None)[0][0]
        longer = lengths[point == 1].mean() - lengths[point == 0].mean()
        assert drift.matched[row, 1] == pytest.approx(drift.change[row, 1] - slope * longer, abs=1e-6)


def test_answers_that_all_have_one_length_have_nothing_to_match_unless_it_changes():
    z, point, prompts = noisy(12, 2, 2)
    drift = run(z, point, prompts)
    np.testing.assert_array_equal(drift.matched, drift.change)
    drift = run(z, point, prompts, np.where(point == 1, 20, 10))
    assert np.isnan(drift.matched[:, 1]).all() and not np.isnan(drift.change).any()


def test_one_answer_a_prompt_is_matched_about_the_point_s_mean():
    rng = np.random.default_rng(4)
    z, point, prompts = noisy(60, 1, 2)
    lengths = rng.integers(20, 60, point.size) * np.where(point == 1, 1.5, 1)
    z[:, LONG] = lengths / 10
    drift = run(z, point, prompts, lengths)
    assert abs(drift.matched[at(drift, LONG), 1]) < 1e-6


def test_the_same_prompts_make_a_sharper_interval_than_other_ones():
    """Prompts differ by far more than the points do: compared prompt by prompt that falls out."""
    rng = np.random.default_rng(0)
    z, point, prompts = noisy(30, 2, 2)
    z[:, 4] = rng.normal(0, 5, 30)[prompts] ** 2
    same = run(z, point, prompts)
    other = run(z, point, prompts + 1000 * point)
    widths = [d.points[1].rise.high - d.points[1].rise.low for d in (same, other)]
    assert widths[0] < widths[1] / 3
    assert (same.points[1].common, other.points[1].common) == (1.0, 0.0)


def test_too_few_prompts_have_no_interval_and_still_a_share():
    z, point, prompts = noisy(5, 4, 2)
    z[point == 1, LIST] += 2
    drift = run(z, point, prompts)
    assert np.isnan(drift.change_low).all() and np.isnan(drift.points[1].rise.low)
    assert drift.share[at(drift, LIST), 1] > 0.5
    assert "interval" not in headline(drift)
    assert drift.alarms(share=0.5) == []  # nobody knows whether it moved


def test_features_that_drifted_on_the_way_are_listed_too():
    z, point, prompts = noisy(12, 2, 3)
    z[point == 1, 0] += 9
    drift = run(z, point, prompts, features=1)
    assert 0 in drift.features and drift.features.size > 1
    z[:, 4] = 0  # it never fires
    quiet = run(z, point, prompts, features=1, also=[4])
    assert not quiet.change[at(quiet, 4)].any()
    with pytest.raises(SarmError, match="no feature 5: this model's run from 0 to 4"):
        run(z, point, prompts, also=[5])


def test_frame_html_and_json_hold_all_of_it():
    z, point, prompts = noisy(12, 2, 3)
    drift = run(z, point, prompts)
    frame = drift.frame()
    assert len(frame) == drift.features.size * 3 and set(frame["step"]) == {0, 1, 2}
    assert frame["change"].to_numpy() == pytest.approx(drift.change.ravel())
    html = drift._repr_html_()
    assert "<script" not in html and "add up to the rise" in html
    made = drift_json(drift, {"model": "m"}, Steering(), [])
    assert made["points"][1]["rise"]["value"] == drift.points[1].rise.value
    assert made["features"][0]["share"][0] is None and made["steering"] == {}


def test_hostile_names_stay_text():
    from dataclasses import replace

    drift = run(*noisy(12, 2, 2))
    named = replace(drift, names={int(drift.features[0]): "<img src=x onerror=alert(1)>"})
    assert "<img" not in named._repr_html_()


def test_a_point_without_answers_is_refused():
    matrix = FeatureMatrix(sparse.csr_matrix(np.ones((2, 5), dtype=np.float32)), HEAD)
    answers = Answers(matrix, np.array([0, 0]), np.array([0, 1]), np.ones(2))
    with pytest.raises(SarmError, match="at every point"):
        drift_of(answers, [(0,), (1,)])
