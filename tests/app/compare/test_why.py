"""Why one answer is above another: exact, against dense arithmetic, in numbers and words."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import sparse

from app.compare.why import decide, in_words, signed
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


@pytest.mark.slow
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


@pytest.mark.slow
@given(matrices())
def test_turning_the_sides_turns_the_signs(matrix: FeatureMatrix) -> None:
    there, back = decide(matrix, 0, 1), decide(matrix, 1, 0)
    assert there.margin == pytest.approx(-back.margin)
    forth = dict(zip(there.table["feature"], there.table["difference"], strict=True))
    assert dict(zip(back.table["feature"], -back.table["difference"], strict=True)) == pytest.approx(forth)


@pytest.mark.slow
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


def test_a_suggestion_is_called_one_in_words() -> None:
    z = sparse.csr_matrix(np.array([[1.0, 2.0], [0.0, 0.0]], dtype=np.float32))
    decision = decide(FeatureMatrix(z, np.ones(2, dtype=np.float32)), 0, 1)
    notes = {0: FeatureNote("cut off mid-sentence or line of code", "suggested"), 1: FeatureNote("refusal")}
    assert in_words(decision, "A", "B", notes) == (
        "A is above B by 3, most of all through #1 refusal (+2), "
        "#0 cut off mid-sentence or line o… (suggested, +1)."
    )


def test_equal_answers_are_called_equal() -> None:
    z = sparse.csr_matrix(np.array([[1.0, 2.0], [1.0, 2.0]], dtype=np.float32))
    decision = decide(FeatureMatrix(z, np.ones(2, dtype=np.float32)), 0, 1)
    assert "exactly the same reward" in in_words(decision, "A", "B", {})


@pytest.mark.parametrize(
    ("value", "shown"), [(0.8312, "+0.831"), (-2.56, "−2.56"), (1e-5, "+1e−05"), (0.0, "+0")]
)
def test_signs_are_shown(value: float, shown: str) -> None:
    assert signed(value) == shown


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
