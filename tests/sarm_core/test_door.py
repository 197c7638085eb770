"""The public door: what it hands on is there, says what it is, and costs nothing before it is asked for."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sarm_core

ROOT = Path(__file__).parents[2]
NAMES = [name for name in sarm_core.__all__ if name != "__version__"]
DOORS = {"sarm_core", "sarm_core.demo", "feature_db"}
"""What a reader may import from: the engine, the files of its embedded model, the store."""


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there_and_says_what_it_is(name):
    found = getattr(sarm_core, name)
    own = inspect.getdoc(found)
    assert own and not own.startswith(f"{name}("), (
        f"{name} has no docstring"
    )  # a dataclass's is made from its fields
    assert name in dir(sarm_core)


def test_no_name_is_a_room_s():
    """An imported room is an attribute of its package, and would be handed on in the name's place."""
    rooms = {module.name for module in pkgutil.iter_modules(sarm_core.__path__)}
    assert "steering" in rooms
    assert not set(NAMES) & rooms


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'sarm_core' has no attribute 'load_sram'"):
        sarm_core.load_sram  # noqa: B018


def test_a_type_checker_and_a_program_are_told_the_same():
    tree = ast.parse(Path(sarm_core.__file__).read_text(encoding="utf-8"))
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == sarm_core._FROM
    assert sorted(seen) == sorted(NAMES)


@pytest.mark.slow
def test_the_door_is_light_and_arithmetic_needs_no_model():
    code = (
        "import sys, sarm_core\n"
        "assert not {'numpy', 'torch', 'transformers', 'pandas'} & set(sys.modules), 'import sarm_core'\n"
        "from sarm_core import FeatureMatrix, Steering, RowError, contrast, evaluate, load_benchmark\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'arithmetic'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def imports(code: str) -> set[str]:
    """Modules of the engine and the store that `code` imports from."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module or "")
    return {name for name in found if re.match(r"(sarm_core|feature_db|app)\b", name)}


def test_documents_and_examples_come_in_by_the_door():
    blocks = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
    shown = {
        path: "\n".join(blocks.findall(path.read_text(encoding="utf-8")))
        for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    }
    shown |= {path: path.read_text(encoding="utf-8") for path in (ROOT / "examples").rglob("*.py")}
    used = {path.name: imports(code) for path, code in shown.items()}
    assert {name: found - DOORS for name, found in used.items() if found - DOORS} == {}
    assert {"README.md", "ship.md", "run.py", "study.py", "trl_grpo.py"} <= {
        name for name in used if used[name]
    }
