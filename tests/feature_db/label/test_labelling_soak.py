"""The soak of benchmarks/labelling_soak.py, short: its invariants, with real threads and a process that is killed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SOAK = Path(__file__).parents[3] / "benchmarks" / "labelling_soak.py"


@pytest.fixture(scope="module")
def soak() -> ModuleType:
    spec = importlib.util.spec_from_file_location("labelling_soak", SOAK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # the processes find their function under this name
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("way", ["threads", "killed"])
@pytest.mark.slow
def test_many_at_once_lose_nothing_and_hold_nothing_twice(soak: ModuleType, tmp_path: Path, way: str) -> None:
    figures = {figure.name: figure.value for figure in soak.run(way, 400, tmp_path, n_features=60)}
    assert (
        figures[f"{way}: operations"] > 0.9 * 400 - 20
        and figures[f"{way}: acknowledged events, each stored once"]
    )
