"""The soak of benchmarks/labelling_soak.py, short: its invariants, with real threads and a process that is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import labelling_soak as soak
from tests.processes import forks


@pytest.mark.slow
@pytest.mark.parametrize("way", ["threads", "killed"])
def test_many_at_once_lose_nothing_and_hold_nothing_twice(tmp_path: Path, way: str) -> None:
    found = soak.run(way, 240, tmp_path, n_features=60, people=8, context=forks())
    figures = {figure.name: figure.value for figure in found}
    assert (
        figures[f"{way}: operations"] > 0.9 * 240 - 30
        and figures[f"{way}: acknowledged events, each stored once"]
    )
