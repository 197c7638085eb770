"""docs/training.md, typed from top to bottom on a tiny backbone: its files, its commands, what it says they write."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sarm_core.cli.parser import main
from sarm_core.train.sae_config import SAEConfig
from sarm_core.train.study_config import ARMS, StudyConfig
from tests.docs.pages_of import ROOT
from tests.sarm_core.tiny_models import backbone, chatml

PAGE = ROOT / "docs" / "training.md"
BLOCK = re.compile(r"^```(yaml|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)

pytestmark = pytest.mark.docs


def steps() -> list[tuple[str, str]]:
    """("file NAME", text) and ("command", line), in the order of the page."""
    page, found = PAGE.read_text(encoding="utf-8"), []
    for block in BLOCK.finditer(page):
        if block[1] == "yaml":
            (name,) = re.findall(r"`(\w+\.yaml)`", page[: block.start()].rstrip().rsplit("\n\n", 1)[-1])[-1:]
            found.append((f"file {name}", block[2]))
        else:
            found += [("command", line) for line in block[2].splitlines()]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    backbone("llama").save_pretrained(folder / "backbone")
    chatml().save_pretrained(folder / "backbone")
    texts = [{"prompt": f"Question {i}?", "response": f"It is {i}. That is all."} for i in range(80)]
    pairs = [
        {"prompt": f"Is it {i}?", "chosen": f"Yes, gladly: {i}.", "rejected": f"No. Never {i}!"}
        for i in range(80)
    ]
    for name, rows in (("texts", texts), ("pairs", pairs), ("other-pairs", pairs[:20])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_the_page_works_as_it_is_typed(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for what, text in steps():
        if what == "command":
            words = shlex.split(text)
            if words[0] == "torchrun":
                launched = [sys.executable, "-m", "torch.distributed.run", *words[1:]]
                assert subprocess.run(launched, env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode == 0
            else:
                assert words[0] == "sarm" and main(words[1:]) == 0, text
        else:
            Path(what.removeprefix("file ")).write_text(text, encoding="utf-8")
    assert {path.name for path in Path("dictionary").iterdir()} == {
        "sae.safetensors",
        "report.json",
        "metrics.jsonl",
    }
    assert json.loads(Path("dictionary-16/report.json").read_text())["config"]["k"] == 16
    alone, together = (
        json.loads(Path(name, "report.json").read_text()) for name in ("dictionary", "together")
    )
    for place, figures in alone["reconstruction"].items():
        assert together["reconstruction"][place] == pytest.approx(figures, rel=0.01)
    assert (
        len(list(Path("runs/cache").glob("positions-*"))) == 2
    )  # one a block: settings change, positions stay
    assert len(Path("sweep/sweep.csv").read_text().splitlines()) == 5
    assert "accuracy on x_hat" in Path("sweep/sweep.md").read_text() and Path("sweep/sweep.html").exists()
    table = Path("study/study.md").read_text()
    assert all(f"| {arm} |" in table for arm in ARMS) and Path("study/study.html").exists()
    assert len(Path("scored.jsonl").read_text().splitlines()) == 160


def test_every_setting_that_the_page_names_exists():
    page = PAGE.read_text(encoding="utf-8")
    known = set(SAEConfig.__dataclass_fields__)
    table = re.search(r"^\| setting .*?\n\n", page, re.DOTALL | re.MULTILINE)
    assert table
    for line in table[0].strip().splitlines()[2:]:
        named = re.findall(r"`(\w+)`", line.split("|")[1])
        assert named and set(named) <= known, line
    for block in BLOCK.finditer(page):
        if block[1] == "yaml" and "backbone:" in block[2]:
            settings = set(yaml.safe_load(block[2]))
            assert settings <= (set(StudyConfig.__dataclass_fields__) if "seeds" in settings else known)
    table = re.search(r"^\| arm .*?\n\n", page, re.DOTALL | re.MULTILINE)
    assert table and re.findall(r"^\| `(\w+)`", table[0], re.MULTILINE) == list(ARMS)
