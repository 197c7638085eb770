"""Every command line of README and docs, typed among the sample files, ends well and leaves its file."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import feature_db.__main__ as store_program
from sarm_core.cli.parser import COMMANDS, main
from tests.docs.pages_of import ROOT
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

FILES = ROOT / "examples" / "files"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINE = re.compile(r"^ {4}((?:sarm|python -m sarm_core|python -m feature_db) [^#\n]+)", re.MULTILINE)
# Another model, another day: these are not typed here. What they take is checked with every other line.
ELSEWHERE = re.compile(
    r"--device cuda|^sarm app|^sarm demo|^sarm train-|^sarm study|^sarm build|^sarm learn|my-(sarm|dictionary|other)"
)
FEATURES = 4608  # as many as the embedded model has, so that steering.json fits


def lines() -> list[str]:
    """What a reader types, in the order of the documents, each line once."""
    found = [line for path in DOCUMENTS for line in LINE.findall(path.read_text(encoding="utf-8"))]
    return list(dict.fromkeys(re.sub(r"^python -m sarm_core", "sarm", line).strip() for line in found))


def typed(line: str) -> int:
    """Run one line in this process; its exit code."""
    words = shlex.split(line)
    return main(words[1:]) if words[0] == "sarm" else store_program.main(words[3:])


@pytest.fixture(scope="module")
def tried(tmp_path_factory) -> Iterator[Path]:
    """A copy of the sample files in which all lines were typed, a small random model in the embedded one's place."""
    folder = tmp_path_factory.mktemp("typed")
    shutil.copytree(FILES, folder, dirs_exist_ok=True)
    model = reference_checkpoint(
        tmp_path_factory.mktemp("model") / "m", n_features=FEATURES, k=6, tokenizer=chatml()
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SARM_CACHE", str(tmp_path_factory.mktemp("cache")))
        for line in lines():
            if not ELSEWHERE.search(line):
                code = typed(line.replace("--model demo", f"--model {shlex.quote(str(model))}"))
                assert code == 0, line
        yield folder


@pytest.mark.docs
def test_every_line_leaves_what_it_names(tried):
    for line in lines():
        if not ELSEWHERE.search(line):
            for name in re.findall(r"--(?:out|db|suspicious|cleaned) (\S+)", line):
                assert (tried / name).exists(), line


def test_every_command_has_a_line_that_is_typed_here():
    seen = {line.split()[1] for line in lines() if line.startswith("sarm")}
    by_hand = {"demo", "learn", "train-sae", "train-reward", "study", "build", "app"}
    assert {command.name for command in COMMANDS} - by_hand <= seen


def test_every_sample_file_is_in_some_line():
    text = " ".join(lines())
    for path in FILES.iterdir():
        assert re.search(rf"\b{re.escape(path.name)}\b", text), path.name


@pytest.mark.docs
def test_files_written_by_the_lines_fit_their_schemas(tried):
    for name, schema in (("result.json", "evaluation"), ("steering.json", "steering")):
        described = json.loads(
            (ROOT / "docs" / "schemas" / f"{schema}.schema.json").read_text(encoding="utf-8")
        )
        found = json.loads((tried / name).read_text(encoding="utf-8"))
        assert [error.message for error in Draft202012Validator(described).iter_errors(found)] == []
    assert "steering" in json.loads((tried / "result.json").read_text(encoding="utf-8"))
