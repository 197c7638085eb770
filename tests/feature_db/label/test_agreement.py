"""Agreement agrees with published figures and with independent implementations, and says where it is undefined."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from typing import Any

import krippendorff
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_db import FeatureFilter, Store, StoreError
from feature_db.label.agreement import (
    Level,
    alpha,
    by_pair,
    cohens_kappa,
    disagreements,
    over_time,
    percent,
    ratings,
    standing_ratings,
)
from feature_db.label.events import Event, insert_event
from feature_db.label.labels import Labels
from feature_db.label.ratings import ratings_at
from feature_db.roles import People

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", the example with missing data: 4 people, 12 units.
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


def as_ratings(rows: list[list[Any]]) -> dict[int, dict[str, Any]]:
    rated: dict[int, dict[str, Any]] = {}
    for person, row in enumerate(rows):
        for feature, value in enumerate(row):
            if value is not None:
                rated.setdefault(feature, {})[f"p{person}"] = value
    return rated


def test_alpha_of_the_published_example():
    nominal, ordinal = (alpha(as_ratings(PUBLISHED), level, resamples=50) for level in ("nominal", "ordinal"))
    assert nominal.value == pytest.approx(0.743, abs=5e-4)
    assert ordinal.value == pytest.approx(0.815, abs=5e-4)
    assert (nominal.n_features, nominal.n_ratings) == (11, 40)


def test_kappa_of_the_textbook_example():
    # 50 proposals: both yes 20, only the first 5, only the second 10, both no 15; p_o 0.7, p_e 0.5.
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    rated = {i: {"a": a, "b": b, **({"c": "y"} if i % 2 else {})} for i, (a, b) in enumerate(pairs)}
    figure = cohens_kappa(rated, "a", "b", resamples=200)
    assert figure.value == pytest.approx(0.4) and (figure.n_features, figure.n_ratings) == (50, 100)
    assert figure.low is not None and figure.high is not None and figure.low < 0.4 < figure.high
    assert cohens_kappa(rated, "b", "a").value == figure.value


tables = st.lists(st.lists(st.none() | st.integers(1, 5), min_size=6, max_size=6), min_size=2, max_size=5)


@pytest.mark.slow
@given(tables)
@settings(max_examples=60, deadline=None)
def test_figures_equal_an_independent_computation(rows: list[list[int | None]]):
    rated = as_ratings(rows)
    pairs = [
        (a, b)
        for values in rated.values()
        for i, a in enumerate(values.values())
        for j, b in enumerate(values.values())
        if i != j
    ]
    figure = percent(rated, resamples=5)
    assert figure.value == (pytest.approx(np.mean([a == b for a, b in pairs])) if pairs else None)
    table = np.array([[np.nan if v is None else float(v) for v in row] for row in rows])
    for level in ("nominal", "ordinal"):
        ours = alpha(rated, level, resamples=2).value
        paired = table[:, (~np.isnan(table)).sum(axis=0) > 1]
        if paired.size == 0 or np.unique(paired[~np.isnan(paired)]).size < 2:
            assert ours is None
        else:
            assert ours == pytest.approx(krippendorff.alpha(paired, level_of_measurement=level), abs=1e-9)


def test_undefined_is_said_with_its_reason():
    for rated, reason in (
        ({}, "no feature was rated by two"),
        ({1: {"a": 3}, 2: {"b": 3}}, "no feature was rated by two"),
        ({1: {"a": 3, "b": 3}, 2: {"a": 3, "b": 3}}, "one value"),
    ):
        figure = alpha(rated, "ordinal")
        assert figure.value is None and reason in figure.reason and figure.low is None
    same = cohens_kappa({1: {"a": 3, "b": 3}}, "a", "b")
    assert same.value is None and "same one value" in same.reason
    assert cohens_kappa({1: {"a": 3}}, "a", "b").reason == "there is no feature that both rated"
    assert percent({1: {"a": 3, "b": 3}}).value == 1.0
    assert percent({}).value is None


def test_the_interval_is_repeatable_and_narrows_with_n():
    rng = np.random.default_rng(0)

    def rated(n: int) -> dict[int, dict[str, int]]:
        values = rng.integers(1, 6, n)
        return {
            i: {"a": int(v), "b": int(v if rng.random() < 0.7 else rng.integers(1, 6))}
            for i, v in enumerate(values)
        }

    few, many = rated(20), rated(500)
    assert alpha(few, "nominal", seed=3, resamples=200) == alpha(few, "nominal", seed=3, resamples=200)
    width = {}
    for name, sample in (("few", few), ("many", many)):
        figure = alpha(sample, "nominal", resamples=200)
        assert figure.low is not None and figure.high is not None and figure.value is not None
        assert figure.low <= figure.value <= figure.high
        width[name] = figure.high - figure.low
    assert width["many"] < width["few"] / 2


def test_labels_that_stand_are_what_is_compared_as_they_were_before_reading(store: Store):
    People(store).set_role(None, "judge", "admin")
    ann, bob, eve = (Labels(store, name) for name in ("ann", "bob", "eve"))
    for feature, (a, b) in enumerate([(1, 1), (2, 4), (5, 5), (3, 3), (2, 1)]):
        ann.label(feature, "x", verdict=a, category="safety")
        bob.label(feature, "y", verdict=b, category="style" if feature == 1 else "safety")
    eve.label(1, "z", verdict=4)
    bob.label(4, "better", verdict=2)  # to agree with ann, whose label he can read by now
    eve.label(0, "gone", verdict=5)
    eve.undo()
    rated = ratings(store, "verdict")
    assert rated[4] == {"ann": 2, "bob": 1} and rated[0] == {"ann": 1, "bob": 1}
    assert percent(rated).value == pytest.approx((3 + 1) / (4 + 3))
    standing = standing_ratings(store, "verdict")
    assert standing == rated | {4: {"ann": 2, "bob": 2}}
    assert percent(standing).value == pytest.approx((4 + 1) / (4 + 3))
    pairs = by_pair(rated, resamples=10)
    assert (
        pairs.keys() == {("ann", "bob"), ("ann", "eve"), ("bob", "eve")}
        and pairs["ann", "bob"].n_features == 5
    )
    assert [d.feature for d in disagreements(store, "category")] == [1]
    (found,) = disagreements(store, "verdict")
    assert found.values == {"ann": 2, "bob": 4, "eve": 4} and not found.adjudicated
    Labels(store, "judge").adjudicate(1, text="settled", verdict=4)
    assert disagreements(store, "verdict")[0].adjudicated
    steps = over_time(store, "verdict", points=4, resamples=5)
    assert steps[-1][1].value == alpha(rated, "ordinal").value
    counts = [figure.n_ratings for _, figure in steps]
    assert all(b >= a - 1 for a, b in pairwise(counts)), "eve takes one back, maybe between two steps"
    with pytest.raises(StoreError, match="verdict or category"):
        ratings(store, "text; DROP TABLE label_events")


class TakenBack(Exception):
    """Ends a transaction, so that the next example begins with no event."""


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.sampled_from(["ann", "bob", "eve"]),
            st.none() | st.integers(1, 3),
            st.none() | st.sampled_from(["style", "safety"]),
            st.integers(1, 4),
        ),
        max_size=25,
    ),
    st.sets(st.integers(0, 4), max_size=2),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_the_list_of_features_calls_those_disputed_on_which_people_disagree(
    store: Store, labels: list[Any], settled: set[int]
):
    """Of labels as merges leave them: several of one person, some at the same time."""
    with contextlib.suppress(TakenBack), store.write():
        for place, (feature, who, verdict, category, time) in enumerate(labels):
            event = Event(f"u{place}", feature, who, "label", time, "x", category, verdict)
            insert_event(store, event)
        for feature in settled:
            insert_event(store, Event(f"s{feature}", feature, "judge", "adjudicate", 9, "settled"))
        found = [d for measure in ("verdict", "category") for d in disagreements(store, measure)]
        disputed = store.features_page("id", filters=FeatureFilter(disputed=True)).rows
        assert {row.id for row in disputed} == {d.feature for d in found if not d.adjudicated}
        raise TakenBack


def test_nothing_labelled_is_undefined_everywhere(store: Store):
    assert over_time(store, "verdict") == [] and disagreements(store, "verdict") == []
    assert by_pair(ratings(store, "category")) == {}


def test_labels_changed_after_reading_others_make_no_agreement(store: Store):
    """Two who see different things; then one reads the other's labels and edits his own to match."""
    ann, bob = Labels(store, "ann"), Labels(store, "bob")
    for feature in range(12):
        ann.label(feature, "a", verdict=1 + feature % 5)
        bob.label(feature, "b", verdict=5 - feature % 5)
    apart = alpha(ratings(store, "verdict"), "ordinal")
    before = over_time(store, "verdict", points=3)
    halfway = store.value("SELECT max(time) FROM label_events")
    assert apart.value is not None and apart.value < 0
    for feature in range(12):
        bob.label(feature, "as ann says", verdict=1 + feature % 5)
    assert alpha(ratings(store, "verdict"), "ordinal") == apart
    assert alpha(standing_ratings(store, "verdict"), "ordinal").value == 1.0
    assert ratings_at(store, "verdict", [halfway]) == [ratings(store, "verdict")]
    assert (
        before[-1][1]
        == over_time(store, "verdict", points=3)[-1][1]
        == alpha(ratings(store, "verdict"), "ordinal", resamples=200)
    )


def test_a_rating_can_be_changed_until_there_is_another_to_read(store: Store):
    ann, bob = Labels(store, "ann"), Labels(store, "bob")
    ann.label(3, "slip of the key", verdict=1)
    ann.label(3, "meant", verdict=4)
    bob.label(3, "x", verdict=2)
    ann.label(3, "after reading", verdict=2)
    assert ratings(store, "verdict") == {3: {"ann": 4, "bob": 2}}
    bob.undo()
    bob.label(3, "takes it back, having read", verdict=4)
    assert ratings(store, "verdict") == {3: {"ann": 4, "bob": 2}}
    bob.undo()
    assert ratings(store, "verdict") == {3: {"ann": 4}}, "without a label one rates nothing"
    ann.label(5, "no verdict yet")
    bob.label(5, "x", verdict=2)
    ann.label(5, "a verdict, having read", verdict=2)
    assert ratings(store, "verdict")[5] == {"bob": 2}


def test_each_point_in_time_shows_what_stood_then(store: Store):
    names = ("ann", "bob", "eve")
    rng = np.random.default_rng(5)
    known: list[tuple[int, dict[int, dict[str, Any]]]] = []
    for _ in range(60):
        labels = Labels(store, names[rng.integers(3)])
        if rng.random() < 0.25:
            with contextlib.suppress(StoreError):
                labels.undo()
        else:
            labels.label(int(rng.integers(4)), "x", verdict=int(rng.integers(1, 6)))
        if store.value("SELECT count(*) FROM label_events"):
            known.append((store.value("SELECT max(time) FROM label_events"), ratings(store, "verdict")))
    assert ratings_at(store, "verdict", [time for time, _ in known]) == [rated for _, rated in known]
    standing = standing_ratings(store, "verdict")
    assert {i: values.keys() for i, values in known[-1][1].items()} == {
        i: values.keys() for i, values in standing.items()
    }


@pytest.mark.parametrize("level", ["ordinal", "nominal"])
def test_the_interval_is_that_of_the_package_on_each_resample(level: Level):
    rng = np.random.default_rng(1)
    rated = {
        i: {f"p{who}": int(rng.integers(1, 6)) for who in rng.choice(6, rng.integers(2, 5), replace=False)}
        for i in range(40)
    }
    figure = alpha(rated, level, seed=9, resamples=150)
    counts = np.array([np.bincount(list(v.values()), minlength=6)[1:] for v in rated.values()])
    kinds, often = np.unique(counts, axis=0, return_counts=True)
    drawn = np.random.default_rng(9).multinomial(40, often / 40, 150)
    values = [
        krippendorff.alpha(value_counts=np.repeat(kinds, times, axis=0), level_of_measurement=level)
        for times in drawn
    ]
    assert (figure.low, figure.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=1e-9)


def test_drawing_kinds_in_parts_changes_no_figure(monkeypatch: pytest.MonkeyPatch):
    rated = as_ratings(PUBLISHED)
    whole = [percent(rated, resamples=100), alpha(rated, "ordinal", resamples=100)]
    monkeypatch.setattr("feature_db.label.agreement.LARGEST_DRAW", 200)
    parts = [percent(rated, resamples=100), alpha(rated, "ordinal", resamples=100)]
    assert parts == whole


def test_pairs_are_those_of_each_two_people_alone():
    rng = np.random.default_rng(2)
    rated = {
        i: {f"p{who}": int(rng.integers(1, 4)) for who in rng.choice(5, 2, replace=False)} for i in range(60)
    }
    pairs = by_pair(rated, seed=4, resamples=50)
    assert len(pairs) == 10
    for (first, second), figure in pairs.items():
        assert figure == cohens_kappa(rated, first, second, seed=4, resamples=50)
