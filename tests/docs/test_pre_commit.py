"""The pre-commit file runs this checkout's own programs, the ones that `make lint format types` runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.pages_of import ROOT

REPOS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
HOOKS = [hook for repo in REPOS for hook in repo["hooks"]]
MAKE = re.findall(r"^\t\$\(BIN\)/(.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_no_hook_comes_from_elsewhere():
    assert {repo["repo"] for repo in REPOS} == {"local"}
    assert {hook["language"] for hook in HOOKS} == {"system"}


@pytest.mark.slow
@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_is_a_check_of_the_makefile_that_can_be_run(hook):
    program, *words = hook["entry"].split()
    name = program.removeprefix(".venv/bin/")
    command = " ".join([name, *[word for word in words if not word.startswith("-")]])
    assert any(line == command or line.startswith(f"{command} ") for line in MAKE), command
    here = Path(sys.executable).with_name(name)
    done = subprocess.run([here, *words, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_make_checks_a_hook_checks():
    checked = {" ".join(hook["entry"].split()[:2]).removeprefix(".venv/bin/") for hook in HOOKS}
    for target in ("lint", "format", "types"):
        found = re.search(
            rf"^{target}:.*\n\t\$\(BIN\)/(\w+(?: \w+)?)",
            (ROOT / "Makefile").read_text(encoding="utf-8"),
            re.MULTILINE,
        )
        assert found and found[1] in checked, target
