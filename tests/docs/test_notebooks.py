"""The notebooks in examples/: the code of the README, kept without what it printed. `make notebooks` runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docs.pages_of import ROOT
from tests.sarm_core.test_documentation import python_of

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def lines(code: str) -> list[str]:
    return [line for line in code.splitlines() if line.strip()]


def test_the_readme_s_notebook_is_the_readme_s_python():
    cells = json.loads((ROOT / "examples" / "readme.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert lines(code) == lines(python_of((ROOT / "README.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_kept_without_outputs_and_counts(path: Path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4 and notebook["cells"]
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
