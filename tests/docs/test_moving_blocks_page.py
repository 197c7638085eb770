"""docs/moving-blocks.md, typed from top to bottom on a tiny backbone with a trained dictionary."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sarm_core.cli.parser import main
from sarm_core.train.reward import RewardConfig
from tests.docs.pages_of import ROOT
from tests.sarm_core.train.test_training import place, stage1

__all__ = ["place", "stage1"]  # fixtures

TEXT = (ROOT / "docs" / "moving-blocks.md").read_text(encoding="utf-8")


@pytest.mark.train
def test_the_page_works_as_it_is_typed(place, stage1, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    Path("dictionary").symlink_to(stage1)
    Path("pairs.jsonl").symlink_to(place / "pairs.jsonl")
    (settings,) = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    Path("blocks.yaml").write_text(settings, encoding="utf-8")
    commands = "".join(re.findall(r"^```console\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)).splitlines()
    for command in commands:
        words = shlex.split(command)
        if words[0] == "torchrun":
            launched = [sys.executable, "-m", "torch.distributed.run", *words[1:]]
            path = os.pathsep.join([str(ROOT), *sys.path])
            assert subprocess.run(launched, env={**os.environ, "PYTHONPATH": path}).returncode == 0
        else:
            assert words[0] == "sarm" and main(words[1:]) == 0, command
    report, together = (
        json.loads(Path(name, "report.json").read_text())["stage2"] for name in ("sarm", "together")
    )
    assert together["losses"] == pytest.approx(report["losses"], abs=1e-4)
    last = len(report["losses"])
    assert [entry["step"] for entry in report["validation"]] == [*range(4, last, 4), last]
    assert Path("sarm/backbone/model.safetensors").exists() and Path("sarm.training").is_dir()
    assert Path("with-lora/adapter/adapter_model.safetensors").exists()
    assert len(json.loads(Path("longer/report.json").read_text())["stage2"]["losses"]) > len(report["losses"])


def test_every_setting_that_the_page_names_exists():
    lines = [line for line in TEXT.splitlines() if line.startswith("| `")]
    named = {name for line in lines for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert len(named) > 10 and named <= set(RewardConfig.__dataclass_fields__)
