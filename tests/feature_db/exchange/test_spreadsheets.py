"""Labels and tables that went through a spreadsheet are read right, or refused in one line that says why."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from feature_db import FeatureRecord, ModelRecord, Store, StoreError
from feature_db.__main__ import main
from feature_db.exchange import formats
from feature_db.exchange.csv_table import export_csv, import_csv
from feature_db.exchange.event_files import export_events, export_labels
from feature_db.exchange.merge import import_events, merge_store
from feature_db.label.events import events
from feature_db.label.labels import Labels
from feature_db.roles import People
from tests.feature_db.conftest import MODEL

CASE = Path(__file__).parents[4] / "shared/cases/rows/labels_semicolon.csv"


@pytest.fixture
def other(tmp_path: Path) -> Any:
    with Store.open(tmp_path / "other.db", create=MODEL) as opened:
        opened.import_harvest(FeatureRecord(i) for i in range(40))
        People(opened).become_first_admin("root")
        yield opened


def through_a_spreadsheet(path: Path, separator: str, *, comma: bool = False, lead: str = "") -> None:
    """Rewrite a CSV as a spreadsheet of another country saves it."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    if comma:
        numbers = {
            place for place, name in enumerate(rows[0]) if name in ("confidence", "verdict", "mean", "max")
        }
        rows[1:] = [
            [cell.replace(".", ",") if place in numbers else cell for place, cell in enumerate(row)]
            for row in rows[1:]
        ]
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        file.write(lead)
        writer = csv.writer(file, delimiter=separator)
        writer.writerows([*rows, [""] * len(rows[0])])


@pytest.mark.parametrize(
    ("separator", "comma", "lead"), [(";", True, ""), (";", False, "sep=;\r\n"), ("\t", True, "")]
)
def test_labels_and_events_with_other_separators_and_decimal_commas_are_the_same_labels(
    store: Store, other: Store, tmp_path: Path, separator: str, comma: bool, lead: str
):
    ann = Labels(store, "ann")
    ann.label(3, "lists; with, marks\tin it", verdict=4, confidence=0.25)
    ann.label(4, "=1,5", note="1,5")
    for write, name in ((export_labels, "labels"), (export_events, "events")):
        write(store, tmp_path / f"{name}.csv")
        through_a_spreadsheet(tmp_path / f"{name}.csv", separator, comma=comma, lead=lead)
        assert formats.recognised(tmp_path / f"{name}.csv").name == name
    import_events(other, tmp_path / "labels.csv", "root")
    assert events(other) == events(store)
    assert import_events(other, tmp_path / "events.csv", "root").new == {}


def test_a_table_with_semicolons_and_decimal_commas_is_the_same_table(
    store: Store, other: Store, tmp_path: Path
):
    export_csv(store, tmp_path / "f.csv")
    through_a_spreadsheet(tmp_path / "f.csv", ";", comma=True)
    import_csv(other, tmp_path / "f.csv")
    for feature in range(40):
        here, there = store.feature(feature).record, other.feature(feature).record
        assert (here.mean, here.max, here.firing_count) == (there.mean, there.max, there.firing_count)


@pytest.mark.parametrize("time", ["20.11.2026 12:00", "11/20/2026", "46346.5", "2026-11-20 12:00:00"])
def test_a_date_that_a_spreadsheet_turned_is_refused_and_says_so(
    store: Store, other: Store, tmp_path: Path, time: str
):
    Labels(store, "ann").label(3, "lists")
    export_labels(store, tmp_path / "l.csv")
    with open(tmp_path / "l.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    rows[1][rows[0].index("time")] = time
    with open(tmp_path / "l.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    with pytest.raises(
        StoreError, match=r"l\.csv, row 2: time must be .*a spreadsheet made of it"
    ) as refused:
        import_events(other, tmp_path / "l.csv", "root")
    assert time in str(refused.value) and events(other) == []


@pytest.mark.parametrize(("encoding", "words"), [("utf-16", "UTF-16"), ("cp1252", "not in UTF-8")])
def test_another_encoding_is_refused_with_the_remedy(
    store: Store, other: Store, tmp_path: Path, encoding: str, words: str
):
    Labels(store, "ann").label(3, "Müll")
    export_labels(store, tmp_path / "l.csv")
    text = (tmp_path / "l.csv").read_text(encoding="utf-8")
    (tmp_path / "l.csv").write_text(text, encoding=encoding)
    with pytest.raises(StoreError, match=f'{words}.*save it as "CSV UTF-8"'):
        import_events(other, tmp_path / "l.csv", "root")


def test_labels_of_one_person_that_contradict_each_other_are_counted_and_listed(
    store: Store, other: Store, tmp_path: Path, capsys: Any
):
    Labels(store, "ann").label(3, "refusals", verdict=5)
    Labels(store, "ann").label(4, "the same", verdict=3)
    Labels(store, "bo").label(3, "lists", verdict=1)
    for feature, text in ((3, "lists"), (4, "the same")):
        Labels(other, "ann").label(feature, text, verdict=2 if feature == 3 else 3)
    export_labels(store, tmp_path / "l.csv")
    wanted = [
        "1 times one person has labels of one feature that contradict each other; the latest counts",
        "feature 3: ann: refusals (verdict 5) | ann: lists (verdict 2)",
    ]
    assert import_events(other, tmp_path / "l.csv", "root", dry_run=True).notes == wanted
    assert main(["import", str(other.path), str(tmp_path / "l.csv"), "--as", "root"]) == 0
    assert all(line in capsys.readouterr().err for line in wanted[:1])
    assert merge_store(other, store.path, "root").notes == []


def test_two_rows_of_a_file_that_contradict_each_other_are_listed(other: Store, tmp_path: Path):
    head = {"format": "sarm-labels/1", "fingerprint": MODEL.fingerprint}
    row = {"kind": "label", "annotator": "ann", "feature": 3, "time": "2026-01-31T12:00:00+00:00"}
    rows = [
        head,
        {**row, "uid": "a", "text": "x"},
        {**row, "uid": "b", "text": "y"},
        {**row, "uid": "c", "text": "y"},
    ]
    (tmp_path / "l.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    count, listed = import_events(other, tmp_path / "l.jsonl", "root").notes
    assert count.startswith("1 times") and listed == "feature 3: ann: x | ann: y"


@pytest.mark.skipif(not CASE.is_file(), reason="../shared/cases is not here")
def test_the_shared_case(tmp_path: Path):
    with open(CASE, newline="") as file:
        (row,) = csv.DictReader(file, delimiter=";")
    assert formats.recognised(CASE).name == "labels"
    model = ModelRecord(row["fingerprint"], "demo", 4608)
    with Store.open(tmp_path / "s.db", create=model) as store:
        store.import_harvest([FeatureRecord(2193)])
        People(store).become_first_admin("root")
        assert main(["import", str(store.path), str(CASE), "--as", "root"]) == 0
        (label,) = Labels(store, "ann").current(2193)
        assert (label.text, label.verdict, label.uid) == ("ends in a number", 3, "0a1b2c3d")
