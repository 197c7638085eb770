"""What the documents show runs: their Python on the embedded model, their commands through the parser."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_db import __main__ as store
from sarm_core.cli.parser import COMMANDS, parser_of

ROOT = Path(__file__).parents[2]
PYTHON = ("README.md", "docs/ship.md", "docs/dictionaries.md", "docs/sharing.md")
DOCUMENTS = [
    str(path.relative_to(ROOT))
    for path in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "sarm_core" / "demo" / "model" / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
    ]
]
HAS_TRL = importlib.util.find_spec("trl") is not None
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"^ {4}sarm (.+)$", re.MULTILINE)


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


@pytest.mark.docs
@pytest.mark.parametrize("name", PYTHON)
def test_the_python_of_a_document_runs_from_top_to_bottom(name, tmp_path):
    code = python_of((ROOT / name).read_text(encoding="utf-8"))
    assert code.strip()
    script = tmp_path / f"{Path(name).stem}.py"
    script.write_text(code, encoding="utf-8")
    done = run([str(script)], tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_command_of_the_documents_is_one_the_parser_takes():
    for name in DOCUMENTS:
        for command in _COMMAND.findall((ROOT / name).read_text(encoding="utf-8")):
            try:
                parser_of(COMMANDS).parse_args(shlex.split(command, comments=True))
            except SystemExit:
                pytest.fail(f"{name}: sarm {command}")


def test_every_command_and_option_that_is_named_in_a_sentence_exists():
    """`sarm harvest IN --db FILE`, and options on their own: of some command, of the store's, or of Streamlit."""
    parsers = dict(leaves(parser_of(COMMANDS)))
    known = {option for parser in parsers.values() for option in parser._option_string_actions}
    known |= {option for _, parser in leaves(store.parser()) for option in parser._option_string_actions}
    for name in DOCUMENTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        for words in (found.split() for found in re.findall(r"`sarm ([^`]+)`", text)):
            if not words[0].startswith("-"):
                called = next((p for n, p in parsers.items() if words[: len(n)] == list(n)), None)
                assert called is not None, f"{name}: sarm {' '.join(words)}"
                assert words[0] == "app" or options(words) <= set(called._option_string_actions), (
                    f"{name}: {words}"
                )
        alone = {option for code in re.findall(r"`(--[^`]+)`", text) for option in options(code.split())}
        assert alone <= known | {"--version"}, f"{name}: {alone - known}"


def test_every_command_is_documented():
    text = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS)
    typed = set(re.findall(r"(?:^ {4}|`)sarm ([a-z-]+(?: [a-z]+)?)", text, re.MULTILINE))
    for words, _ in leaves(parser_of(COMMANDS)):
        assert any(found == " ".join(words) or found.startswith(f"{' '.join(words)} ") for found in typed), (
            words
        )


def leaves(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Every command and action below `parser`: (its words, its parser)."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield words, parser
    for action in below:
        for name, child in action.choices.items():
            yield from leaves(child, (*words, name))


def options(words: list[str]) -> set[str]:
    return {word.split("=")[0] for word in words if re.match(r"--[a-z]", word)}


def test_every_link_of_the_documents_leads_somewhere():
    for name in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#\s]+)\)", (ROOT / name).read_text(encoding="utf-8")):
            if not target.startswith(("http:", "https:")):
                assert ((ROOT / name).parent / target).exists(), f"{name}: {target}"


@pytest.mark.docs
@pytest.mark.skipif(HAS_TRL, reason="TRL is installed")
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
