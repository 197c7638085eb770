"""Why one answer is above another: exact, against dense arithmetic, in numbers, words and bars."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import sparse

from app.compare.why import bars, decide, feature_title, in_words, separating_features, signed
from app.components.feature_bars import _command
from app.session.engine import FeatureNote
from sarm_core.features import FeatureMatrix
from sarm_core.steering import Steering

M = 12
values = st.floats(-5, 5, width=32).map(lambda x: round(x, 2))


@st.composite
def matrices(draw: Any, rows: int = 3) -> FeatureMatrix:
    z = np.array([[draw(values) if draw(st.booleans()) else 0.0 for _ in range(M)] for _ in range(rows)])
    head = np.array([draw(values) for _ in range(M)], dtype=np.float32)
    return FeatureMatrix(sparse.csr_matrix(z.astype(np.float32)), head)


def dense(matrix: FeatureMatrix) -> np.ndarray:
    return matrix.csr.toarray().astype(float) * matrix.head.astype(float)


@given(matrices(), st.booleans())
def test_the_decision_is_the_dense_difference_row_by_row(matrix: FeatureMatrix, steered: bool) -> None:
    if steered:
        steering = Steering(scale={0: -1.5, 1: 0.0}, set={2: 0.5}, offset={3: 2.0})
        matrix = steering.apply(matrix)
    decision = decide(matrix, 0, 2)
    wz = dense(matrix)
    margin = wz[0].sum() - wz[2].sum()
    assert decision.margin == pytest.approx(margin, abs=1e-4)
    assert decision.error < 1e-4
    assert decision.table["difference"].abs().is_monotonic_decreasing
    seen = set()
    for row in decision.table.to_dict("records"):
        i = int(row["feature"])
        seen.add(i)
        assert row["difference"] == pytest.approx(wz[0, i] - wz[2, i], abs=1e-5)
        if i != 3:
            assert (row["left"], row["right"]) == (
                pytest.approx(wz[0, i], abs=1e-5),
                pytest.approx(wz[2, i], abs=1e-5),
            )
            assert row["left"] == pytest.approx(row["weight"] * row["z_left"], abs=1e-5)
    missing = set(range(M)) - seen
    assert all(abs(wz[0, i] - wz[2, i]) < 1e-6 for i in missing)


@given(matrices())
def test_turning_the_sides_turns_the_signs(matrix: FeatureMatrix) -> None:
    there, back = decide(matrix, 0, 1), decide(matrix, 1, 0)
    assert there.margin == pytest.approx(-back.margin)
    forth = dict(zip(there.table["feature"], there.table["difference"], strict=True))
    assert dict(zip(back.table["feature"], -back.table["difference"], strict=True)) == pytest.approx(forth)


@given(matrices())
def test_the_words_name_the_upper_answer_and_only_supporting_features_first(matrix: FeatureMatrix) -> None:
    decision = decide(matrix, 0, 1)
    assume(abs(decision.margin) > 1e-3)
    said = in_words(decision, "A", "B", {})
    above, below = ("A", "B") if decision.margin > 0 else ("B", "A")
    assert said.startswith(f"{above} is above {below} by {abs(decision.margin):.3g}")
    support, _, against = said.partition("Against it speak")
    towards = dict(
        zip(decision.table["feature"], decision.table["difference"] * np.sign(decision.margin), strict=True)
    )
    assert all(towards[int(i)] > 0 for i in re.findall(r"#(\d+)", support))
    assert all(towards[int(i)] < 0 for i in re.findall(r"#(\d+)", against))


def test_a_suggestion_is_called_one_in_words_and_behind_every_cut() -> None:
    z = sparse.csr_matrix(np.array([[1.0, 2.0], [0.0, 0.0]], dtype=np.float32))
    decision = decide(FeatureMatrix(z, np.ones(2, dtype=np.float32)), 0, 1)
    notes = {0: FeatureNote("cut off mid-sentence or line of code", True), 1: FeatureNote("refusal", False)}
    assert in_words(decision, "A", "B", notes) == (
        "A is above B by 3, most of all through #1 refusal (+2), "
        "#0 cut off mid-sentence or line o… (suggested, +1)."
    )
    assert feature_title(0, notes[0], 20) == "#0 cut off mid-sent… (suggested)"
    assert feature_title(1, notes[1], 20) == "#1 refusal" and feature_title(2, FeatureNote()) == "#2"


def test_equal_answers_are_called_equal() -> None:
    z = sparse.csr_matrix(np.array([[1.0, 2.0], [1.0, 2.0]], dtype=np.float32))
    decision = decide(FeatureMatrix(z, np.ones(2, dtype=np.float32)), 0, 1)
    assert "exactly the same reward" in in_words(decision, "A", "B", {})


@given(matrices(rows=4), st.integers(1, 6))
def test_offered_features_are_those_whose_contribution_varies_most(matrix: FeatureMatrix, n: int) -> None:
    spread = dense(matrix).var(axis=0)
    found = separating_features(matrix, n)
    assert len(found) == len(set(found)) <= n
    assert all(spread[i] > 0 for i in found)
    if found:
        others = [i for i in range(M) if i not in found]
        assert min(spread[i] for i in found) >= max((spread[i] for i in others), default=0.0) - 1e-5
    assert len(found) == min(n, int((spread > 1e-6).sum())) or (spread[spread > 0] <= 1e-6).any()


def test_a_feature_alike_in_all_answers_separates_none() -> None:
    z = sparse.csr_matrix(np.array([[0.1, 3.0], [0.1, 1.0], [0.1, 2.0]], dtype=np.float32))
    matrix = FeatureMatrix(z, np.array([7.7, 0.01], dtype=np.float32))
    assert separating_features(matrix, 4) == [1]
    assert separating_features(FeatureMatrix(z[:1], matrix.head), 4) == []


def test_bars_carry_names_as_they_are_and_say_what_is_on_the_sliders() -> None:
    z = sparse.csr_matrix(np.array([[1.5, 0.0, 2.0], [0.0, -4.0, 2.0]], dtype=np.float32))
    matrix = FeatureMatrix(z, np.array([1.0, -0.5, 3.0], dtype=np.float32))
    notes = {0: FeatureNote('<b onclick="x">&', True, 0.0612), 1: FeatureNote()}
    drawn = bars(decide(matrix, 0, 1, notes).table, ("left", "right", "difference"), notes, panel=[1])
    first, second, alike = drawn
    assert alike.values == (6.0, 6.0, 0.0)
    assert (first.feature, first.values, first.on_panel) == (1, (0.0, 2.0, -2.0), True)
    assert first.facts == "z 0 / −4 · w −0.5"
    assert (second.name, second.suggested, second.on_panel) == ('<b onclick="x">&', True, False)
    assert second.facts == "z 1.5 / 0 · w 1 · fires in 6.12 %"


@pytest.mark.parametrize(
    ("value", "shown"), [(0.8312, "+0.831"), (-2.56, "−2.56"), (1e-5, "+1e−05"), (0.0, "+0")]
)
def test_signs_are_shown(value: float, shown: str) -> None:
    assert signed(value) == shown


def test_titles_are_cut_to_their_width() -> None:
    assert feature_title(5, None) == "#5"
    assert feature_title(5, FeatureNote("a" * 100), 20) == "#5 " + "a" * 16 + "…"


@pytest.mark.parametrize(
    "raw",
    [
        None,
        3,
        {},
        {"name": "add"},
        {"name": "add", "feature": 9},
        {"name": "add", "feature": True},
        {"name": "drop", "feature": 1},
        {"name": "add", "feature": "1"},
        {"name": "add", "feature": [1]},
    ],
)
def test_commands_about_what_is_not_shown_are_dropped(raw: Any) -> None:
    assert _command(raw, {1, 2}) is None
    assert _command({"name": "add", "feature": 2, "edit": 1}, {1, 2}) == ("add", 2)
