"""Bars say what their numbers are, whatever a feature is called."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from app.compare.why import decide
from app.explain.bars import bars
from app.session.engine import FeatureNote
from sarm_core.features import FeatureMatrix


def test_bars_carry_names_as_they_are_and_say_what_is_on_the_sliders() -> None:
    z = sparse.csr_matrix(np.array([[1.5, 0.0, 2.0], [0.0, -4.0, 2.0]], dtype=np.float32))
    matrix = FeatureMatrix(z, np.array([1.0, -0.5, 3.0], dtype=np.float32))
    notes = {0: FeatureNote('<b onclick="x">&', "suggested", 0.0612), 1: FeatureNote()}
    drawn = bars(decide(matrix, 0, 1, notes).table, ("left", "right", "difference"), notes, panel=[1])
    first, second, alike = drawn
    assert alike.values == (6.0, 6.0, 0.0)
    assert (first.feature, first.values, first.on_panel) == (1, (0.0, 2.0, -2.0), True)
    assert first.facts == "z 0 / −4 · w −0.5"
    assert (second.name, second.mark, second.on_panel) == ('<b onclick="x">&', "suggested", False)
    assert second.facts == "z 1.5 / 0 · w 1 · fires in 6.12 %"
