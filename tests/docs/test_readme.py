"""What README says of the embedded model and the sample files is what comes out."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from sarm_core import Steering
from tests.docs.pages_of import ROOT
from tests.sarm_core.test_documentation import python_of

README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
FILES = ROOT / "examples" / "files"

pytestmark = pytest.mark.docs


@pytest.fixture(scope="module")
def ran() -> dict[str, Any]:
    """The names that README's Python leaves behind, the embedded model among them."""
    names: dict[str, Any] = {}
    exec(python_of((ROOT / "README.md").read_text(encoding="utf-8")), names)
    return names


def test_the_rewards_of_the_python_example_are_those_it_speaks_of(ran):
    said = re.search(
        r"rewards are ([+-][\d.]+) and ([+-][\d.]+): .*?refusal, by ([\d.]+).*?leaves ([\d.]+)", README
    )
    assert said
    first, second = ran["scored"].rewards
    one, two = ran["scored"].steered(ran["steering"]).rewards
    found = (first, second, second - first, two - one)
    assert [f"{float(value):.2f}" for value in found] == [f"{float(value):.2f}" for value in said.groups()]


def test_the_sample_preferences_come_out_as_it_says(ran):
    said = re.search(
        r"helpful one in (\d+) of (\d+)\..*?now (\d+) of (\d+), (\d+) won and (\d+) lost", README
    )
    assert said
    rows = [json.loads(line) for line in (FILES / "preferences.jsonl").read_text("utf-8").splitlines()]
    answers = [
        {"prompt": row["prompt"], "response": row[side]} for row in rows for side in ("chosen", "rejected")
    ]
    scored = ran["sarm"].score(answers)
    steered = scored.steered(Steering.read(FILES / "steering.json"))
    before, after = ((s.rewards[::2] > s.rewards[1::2]).tolist() for s in (scored, steered))
    changes = list(zip(before, after, strict=True))
    won, lost = changes.count((False, True)), changes.count((True, False))
    assert said.groups() == tuple(str(n) for n in (sum(before), len(rows), sum(after), len(rows), won, lost))
