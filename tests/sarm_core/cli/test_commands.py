"""What holds for every command, whoever added it: help, refusals in one line, and nothing heavy before it runs."""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sarm_core.cli import parser as program
from sarm_core.cli.command import Command
from sarm_core.cli.options import count
from sarm_core.cli.parser import COMMANDS, main, parser_of
from sarm_core.errors import SarmError

ROOT = Path(__file__).parents[3]
NAMES = [command.name for command in COMMANDS]
HEAVY = ("torch", "transformers", "streamlit", "scipy", "pandas", "tqdm", "feature_db")

BAD_INPUT = {
    "app": ["--no-such-option"],
    "score": ["absent.jsonl", "--model", "absent", "--out", "out.jsonl"],
    "contrast": ["absent.jsonl", "--model", "absent", "--out", "out.csv"],
    "evaluate": ["pairs", "absent.jsonl", "--model", "absent", "--out", "out.json"],
    "perturb": ["absent.jsonl", "--model", "absent", "--out", "out.json"],
    "learn": ["absent.jsonl", "--model", "absent", "--out", "out.json"],
    "propose": ["absent.jsonl", "--model", "absent", "--out", "out.json"],
    "report": ["--evaluation", "absent.json", "--out", "out.html"],
    "share": ["absent.jsonl", "--model", "absent", "--out", "out.html"],
    "export": ["--model", "absent", "--steering", "absent.json", "--out", "out"],
    "harvest": ["absent.jsonl", "--model", "absent", "--db", "out.db"],
    "suggest": ["absent.db"],
    "name": ["absent.db", "--local", "absent"],
    "dictionary": ["absent.jsonl", "--model", "absent", "--out", "out.html"],
    "keep": ["absent.db", "absent.jsonl"],
    "watch": ["absent", "--model", "absent", "--once", "--out", "out.json"],
    "inspect": ["absent"],
    "build": ["absent.jsonl", "--backbone", "absent", "--sae", "absent", "--out", "out"],
    "train-sae": ["absent.yaml"],
    "train-reward": ["absent.yaml"],
    "study": ["absent.yaml"],
    "cache": ["--older-than", "yesterday"],
    "demo": ["fetch", "--wheel", "absent.whl"],
}
"""Every command has its line: what it does with input that is not there, or not what it should be."""


class Greet(Command):
    """The toy of these tests: all that a new command needs."""

    name = "greet"
    help = "greet somebody several times"

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("who", metavar="NAME")
        parser.add_argument("--times", type=count, default=1)

    def run(self, options: argparse.Namespace) -> int:
        if options.who == "nobody":
            raise SarmError("nobody\nis there to be greeted")
        print(" ".join(["hello", options.who] * options.times))
        return 0


def calls(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command and action of `parser`: ("score",), ("demo", "fetch"), ..."""
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not below:
        yield words
    for action in below:
        for name, child in action.choices.items():
            yield from calls(child, (*words, name))


CALLS = list(calls(parser_of(COMMANDS)))


def refused(arguments: list[str], capsys) -> str:
    """What is said of a call that ends with 2; it is one line."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr()
    assert (code, said.out) == (2, ""), said
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and said.err.endswith("\n"), said.err
    return said.err


def test_a_command_is_one_class(monkeypatch, capsys):
    monkeypatch.setattr(program, "COMMANDS", [*COMMANDS, Greet()])
    assert main(["greet", "Ada", "--times", "2"]) == 0
    assert capsys.readouterr().out == "hello Ada hello Ada\n"
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert Greet.help in capsys.readouterr().out
    assert "--times" in refused(["greet", "Ada", "--times", "0"], capsys)
    assert refused(["greet", "nobody"], capsys) == "error: nobody\\nis there to be greeted\n"


def test_names_are_told_apart():
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_every_command_and_each_of_its_options_has_help(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: sarm {' '.join(words)} ")


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_an_unknown_option_is_one_line(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = next(command for command in COMMANDS if command.name == words[0])
    if not command.takes_rest:
        rest = BAD_INPUT[command.name] if len(words) == 1 else [*words[1:], "--out", "x"]
        assert "sarm" in refused([words[0], *rest, "--no-such-option"], capsys)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_one_line_and_nothing_is_written(name, tmp_path, tmp_path_factory, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SARM_CACHE", str(tmp_path_factory.mktemp("cache")))
    refused([name, *BAD_INPUT[name]], capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [[], ["scoer"], ["demo"], ["demo", "feed"]], ids=str)
def test_no_command_at_all_is_one_line(arguments, capsys):
    assert "--help" in refused(arguments, capsys)


@pytest.mark.slow
def test_help_and_refusals_import_nothing_heavy():
    code = f"""
import sys
from sarm_core.cli.parser import main
for words in {CALLS!r}:
    for last in ("--help", "--no-such-option") if words != ("app",) else ("--help",):
        try:
            main([*words, last])
        except SystemExit:
            pass
print(sorted(set(sys.modules) & set({HEAVY!r})), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]", done.stderr


def test_the_list_of_commands_is_there_at_once():
    """Nothing is imported that takes time; and it takes none, the best of three times measured."""
    code = "import sys; sys.argv = ['sarm', '--help']; from sarm_core.cli.start import start; start()"
    lazily = (
        f"import atexit, sys; atexit.register(lambda: print(sorted(sys.modules), file=sys.stderr)); {code}"
    )
    done = subprocess.run([sys.executable, "-c", lazily], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and all(f"\n    {name}" in done.stdout for name in NAMES)
    loaded = set(ast.literal_eval(done.stderr.splitlines()[-1]))
    assert "sarm_core.cli.parser" in loaded and not loaded & {*HEAVY, "numpy", "yaml", "orjson", "pyarrow"}
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
        taken.append(time.perf_counter() - began)
    assert min(taken) < 1  # 0.15 s and less on an idle machine; an import of torch takes several


@pytest.mark.slow
def test_each_way_to_call_it_says_its_own_name(capsys):
    done = subprocess.run(
        [sys.executable, "-m", "sarm_core", "score"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.endswith("; see python -m sarm_core score --help\n")
    assert refused(["score"], capsys).endswith("; see sarm score --help\n")
