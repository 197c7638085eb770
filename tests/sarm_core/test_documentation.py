"""What the documents show runs: their Python on the embedded model, their commands through the parser."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sarm_core.cli.parser import COMMANDS, parser_of

ROOT = Path(__file__).parents[2]
PYTHON = ("README.md", "docs/ship.md")
DOCUMENTS = [
    str(path.relative_to(ROOT))
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
]
HAS_TRL = importlib.util.find_spec("trl") is not None
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"^ {4}(?:sarm|python -m sarm_core) (.+)$", re.MULTILINE)


def python_of(text: str) -> str:
    """All Python blocks, each on the lines it has in the document, so that a traceback points there."""
    lines = [""] * text.count("\n")
    for block in _BLOCK.finditer(text):
        first = text.count("\n", 0, block.start(1))
        code = block[1].splitlines()
        lines[first : first + len(code)] = code
    return "\n".join(lines)


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", PYTHON)
@pytest.mark.slow
def test_the_python_of_a_document_runs_from_top_to_bottom(name, tmp_path):
    code = python_of((ROOT / name).read_text(encoding="utf-8"))
    assert code.strip()
    script = tmp_path / f"{Path(name).stem}.py"
    script.write_text(code, encoding="utf-8")
    done = run([str(script)], tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_command_of_the_documents_is_one_the_parser_takes():
    seen = set()
    for name in DOCUMENTS:
        for command in _COMMAND.findall((ROOT / name).read_text(encoding="utf-8")):
            words = shlex.split(command, comments=True)
            try:
                parser_of(COMMANDS).parse_args(words)
            except SystemExit:
                pytest.fail(f"{name}: sarm {command}")
            seen.add(words[0])
    assert {"score", "export", "evaluate", "contrast", "harvest"} <= seen


def test_every_link_of_the_documents_leads_somewhere():
    for name in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#\s]+)\)", (ROOT / name).read_text(encoding="utf-8")):
            if not target.startswith(("http:", "https:")):
                assert ((ROOT / name).parent / target).exists(), f"{name}: {target}"


@pytest.mark.skipif(HAS_TRL, reason="TRL is installed")
@pytest.mark.slow
def test_without_trl_the_example_names_the_remedy(tmp_path):
    done = run([str(ROOT / "examples" / "trl_grpo.py")], tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error:") and "requirements-train.txt" in done.stderr


@pytest.mark.train
@pytest.mark.skipif(not HAS_TRL, reason="the optional extra [train] is not installed")
def test_the_grpo_example_runs_and_its_table_adds_up(tmp_path):
    done = run([str(ROOT / "examples" / "trl_grpo.py"), "--steps", "2", "--group", "4"], tmp_path)
    assert done.returncode == 0, done.stderr
    under = re.search(r"mean reward, steered +([+-][\d.]+) -> +([+-][\d.]+)", done.stdout)
    parts = re.search(r"steered features ([+-][\d.]+), all others ([+-][\d.]+)", done.stdout)
    assert under and parts, done.stdout
    change = float(under[2]) - float(under[1])
    assert float(parts[1]) + float(parts[2]) == pytest.approx(change, abs=0.003)  # printed to 3 decimals
    assert len(re.findall(r"^#\d+ +x -1 ", done.stdout, re.MULTILINE)) >= 1
    assert not list(tmp_path.iterdir())  # nothing is left behind
