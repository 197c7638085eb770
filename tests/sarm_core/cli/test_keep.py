"""`sarm keep`: what it keeps is what the page keeps, once; a wrong row keeps nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from feature_db import ModelRecord, Store
from feature_db.datasets.datasets import DataSets
from feature_db.datasets.items import Items
from feature_db.datasets.slices import Slice
from sarm_core.cli.parser import main

ROWS = [{"frage": f"p{i}", "gut": "a" * (i + 1), "schlecht": "b", "rater": i % 2} for i in range(5)]
MAP = ["--map", "prompt=frage,chosen=gut,rejected=schlecht"]


def test_a_file_is_kept_once_listed_and_refused_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    db, file = tmp_path / "s.db", tmp_path / "mine.jsonl"
    Store.open(db, create=ModelRecord("f" * 64, "tiny", 4)).close()
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert main(["keep", str(db), str(file), *MAP, "--as", "ann"]) == 0
    assert main(["keep", str(db), str(file), *MAP, "--name", "again"]) == 0
    said = capsys.readouterr()
    assert (
        "kept: 'mine.jsonl', 5 prompts with 5 labels" in said.out and "kept already: 'mine.jsonl'" in said.out
    )
    assert "not used: rater" in said.err
    file.write_text(file.read_text() + '{"frage": "only"}\n')
    assert main(["keep", str(db), str(file), *MAP]) == 2
    assert "mine.jsonl, row 6" in capsys.readouterr().err
    with Store.open(db) as store:
        (of,) = DataSets(store).all()
        assert (of.owner, of.columns, of.reading["map"]["prompt"]) == ("ann", ("rater",), "frage")
        assert [item.prompt for item in Items(store, of.address).page(Slice())] == [
            row["frage"] for row in ROWS
        ]
    assert main(["keep", str(db)]) == 0
    assert "'mine.jsonl' by 'ann'" in capsys.readouterr().out
