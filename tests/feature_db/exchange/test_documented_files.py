"""The examples of docs/formats.md are files: each is recognised as what its heading says, and comes in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from feature_db import ModelRecord, Store
from feature_db.__main__ import main
from feature_db.exchange import formats

PAGE = Path(__file__).parents[3] / "docs" / "formats.md"
EXAMPLES = re.findall(
    r"^### [^\n]* \(`(?P<name>[a-z-]+)`[^\n]*\)\n(?:(?!^#).)*?```(?P<ending>json|csv)\n(?P<text>.*?)```",
    PAGE.read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)


def test_every_format_that_other_programs_write_has_an_example():
    ours = {"events", "labels", "neuronpedia", "parquet"}  # described elsewhere, a folder, no text
    assert [name for name, _, _ in EXAMPLES] and len(EXAMPLES) == len({name for name, _, _ in EXAMPLES})
    assert {name for name, _, _ in EXAMPLES} == {format.name for format in formats.FORMATS} - ours


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ending", "text"), EXAMPLES, ids=[name for name, _, _ in EXAMPLES])
def test_an_example_is_recognised_comes_in_and_can_be_undone(name, ending, text, tmp_path, capsys):
    path, db = tmp_path / f"in.{ending}", tmp_path / "store.db"
    path.write_text(text, encoding="utf-8")
    assert formats.recognised(path).name == name
    with Store.open(db, create=ModelRecord("f" * 64, "tiny", 64, {"layer": 15})):
        pass
    if name == "auto-labels":  # of features that the store knows
        (tmp_path / "known.csv").write_text(next(held for which, _, held in EXAMPLES if which == "csv"))
        assert main(["import", str(db), str(tmp_path / "known.csv")]) == 0
    assert main(["import", str(db), str(path), "--dry-run"]) == 0
    assert main(["import", str(db), str(path)]) == 0
    with Store.open(db) as store:
        said = [(one.feature, one.text) for one in store.suggestions()]
        assert said == ([(3, "the colour red")] if name in ("feature-json", "auto-labels") else [])
        examples = [(e.activation, e.peak_position) for e in store.examples(3)]
        assert bool(examples) == (name in ("feature-json", "saedashboard", "contexts"))
        assert all(activation == 2.5 for activation, _ in examples)
        if name in ("feature-json", "saedashboard", "csv"):
            assert store.value("SELECT density FROM features WHERE id = 3") == 0.25
    assert main(["undo-import", str(db)]) == 0
    with Store.open(db) as store:
        assert not store.suggestions() and not store.examples(3)
    capsys.readouterr()
