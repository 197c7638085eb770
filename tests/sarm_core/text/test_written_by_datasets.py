"""Files that the real `datasets` package wrote (`written_by_datasets/make.py`) hold the rows of their JSON lines."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sarm_core.__main__ import main
from sarm_core.errors import RowError
from sarm_core.prove.complement import file_complement
from sarm_core.text.answer_sets import read_answers
from sarm_core.text.answers import Reader
from tests.sarm_core.tiny_models import text_checkpoint

pytest.importorskip("pyarrow")
WRITTEN = Path(__file__).with_name("written_by_datasets")
TABLES = sorted([*WRITTEN.glob("*.parquet"), *WRITTEN.glob("*.saved"), WRITTEN / "pairs.one_split"])


def plain(table: Path) -> Path:
    return WRITTEN / f"{table.name.split('.')[0]}.jsonl"


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.name)
def test_a_table_says_what_its_json_lines_say(table):
    read = [Reader(), Reader()]
    found, wanted = (
        [(number, reader.answers(row)) for number, row in reader.rows(path)]
        for reader, path in zip(read, (table, plain(table)), strict=True)
    )
    assert found == wanted and found
    said = [re.sub(r"(; not used:|,) turn\.tool_calls\.[\w.]+ \(null\)", "", line) for line in read[0].said()]
    assert said == read[1].said()  # but for the nulls with which a table fills up its objects
    assert read_answers(table).conversations == read_answers(plain(table)).conversations
    assert file_complement(table).answers.conversations == file_complement(plain(table)).answers.conversations


def test_a_null_in_a_call_is_left_out_and_said():
    """TRL and `datasets` take it for a key that is not there; a person who meant it reads that it was not used."""
    call = {"function": {"name": "find", "arguments": {"query": "rice", "page": None}}}
    reader = Reader()
    turns = [{"role": "user", "content": "Find rice."}, {"role": "assistant", "tool_calls": [call]}]
    (answer,) = reader.answers({"messages": turns}).answers
    extra = answer.conversation.messages[-1].extra
    assert '"page"' not in extra and '"query"' in extra
    assert "not used: turn.tool_calls.function.arguments.page (null)" in reader.said()[0]


def test_a_call_in_a_table_has_no_argument_of_another_row():
    """A table gives each call the arguments of all, with null."""
    for path in (WRITTEN / "calls.structs.parquet", WRITTEN / "calls.jsonl"):
        calls = [c.messages[-1].as_dict()["tool_calls"][0] for c in read_answers(path).conversations]
        assert [call["function"]["arguments"] for call in calls] == [{"query": "rice"}, {"page": 2}]


def test_a_folder_of_several_splits_names_them():
    with pytest.raises(RowError, match=r"holds 2 splits: name one of .*two_splits/train, .*two_splits/test"):
        read_answers(WRITTEN / "pairs.two_splits")
    (row,) = Reader().rows(WRITTEN / "pairs.two_splits" / "test")
    assert row[1]["n"] == 0


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return text_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


@pytest.mark.slow
def test_commands_give_a_saved_folder_the_figures_of_its_json_lines(model, tmp_path):
    def run(*arguments):
        assert main([*map(str, arguments), "--model", str(model), "--cache", str(tmp_path / "kept")]) == 0

    found = {}
    for source in (WRITTEN / "pairs.saved", WRITTEN / "pairs.jsonl"):
        out = tmp_path / source.name
        out.mkdir()
        run("evaluate", "pairs", source, "--out", out / "e.json", "--resamples", 10)
        run("contrast", source, "--out", out / "c.csv", "--complement", source)
        run("perturb", source, "--out", out / "p.json")
        evaluation = json.loads((out / "e.json").read_text())
        figures = {
            key: evaluation[key] for key in ("items", "scores", "n", "prompts", "decisions", "intervals")
        }
        found[source] = figures, (out / "c.csv").read_bytes()
    first, second = found.values()
    assert first == second
    rewards = {}
    for source in (WRITTEN / "extra_key.saved", WRITTEN / "extra_key.parquet", WRITTEN / "extra_key.jsonl"):
        main(["score", str(source), "--model", str(model), "--out", str(tmp_path / "s.jsonl")])
        rewards[source] = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert len(rewards[source]) == 2 and all(found == rewards[source] for found in rewards.values())
