"""The recipes of CONTRIBUTING.md, followed in a copy of the code: files written, registry lines applied, then used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages_of import ROOT

CODE = ("sarm_core", "feature_db", "app", "tests", "pyproject.toml")
FENCE = re.compile(r"^```(python|diff)\n(.*?)^```", re.DOTALL | re.MULTILINE)
KINDS = {
    "A benchmark",
    "An SAE kind",
    "A row shape",
    "An interchange format",
    "A command",
    "A page",
}

ADDED = {
    "tests/sarm_core/prove/test_benchmarks.py": "one-of-three",
    "tests/sarm_core/model/test_sae_kinds.py": "floor",
    "tests/sarm_core/text/test_shapes.py": "ask-reply",
    "tests/feature_db/exchange/test_formats.py": "tab-lines",
    "tests/sarm_core/cli/test_commands.py": "(has_help and count)",
    "tests/app/test_pages.py": "width",
}
"""The contract tests that CONTRIBUTING.md names, with what picks those of what was added"""

pytestmark = pytest.mark.docs


def recipes() -> dict[str, list[tuple[str, str, str]]]:
    """(file, python or diff, text) of each block, by the recipe it stands in."""
    document = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found: dict[str, list[tuple[str, str, str]]] = {}
    for block in FENCE.finditer(document):
        before = document[: block.start()].rstrip()
        recipe = re.findall(r"^### (.+)$", before, re.MULTILINE)[-1]
        path = re.search(r"`([\w/]+\.py)`", before.rsplit("\n\n", 1)[-1])
        assert path, before[-200:]
        found.setdefault(recipe, []).append((path[1], block[1], block[2]))
    return found


def apply(diff: str, text: str) -> str:
    """`text` with the hunks of `diff` applied; the lines that stay or go must be there once."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Path:
    """A copy of the code in which all recipes were followed."""
    house = tmp_path_factory.mktemp("house")
    for name in CODE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, house / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, house / name)
    for blocks in recipes().values():
        for path, kind, text in blocks:
            place = house / path
            assert place.parent.is_dir() and place.exists() == (kind == "diff"), path
            place.write_text(text if kind == "python" else apply(text, place.read_text("utf-8")), "utf-8")
    return house


def test_every_kind_has_a_recipe_of_one_file_and_one_registry():
    assert set(recipes()) == KINDS
    for name, blocks in recipes().items():
        assert [kind for _, kind, _ in blocks] == ["python", "diff"], name


def test_what_was_added_works_and_is_held_by_the_contract_of_its_registry(house):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    chosen = " or ".join(["followed_recipes", *ADDED.values()])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-vv", "tests/docs/followed_recipes.py", *ADDED, "-k", chosen],
        cwd=house,
        env={**environment, "PYTHONPATH": str(house), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for contract in ("tests/docs/followed_recipes.py", *ADDED):
        assert re.search(rf"^{re.escape(contract)}::.* PASSED", done.stdout, re.MULTILINE), contract


def test_the_recipes_name_the_contracts_that_are_run():
    document = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(tests/\S+/test_\w+\.py)`", document)) - {"tests/docs/test_recipes.py"} == set(
        ADDED
    )
