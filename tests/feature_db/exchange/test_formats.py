"""The contract of an interchange format, held by every member of the registry, and a format added as one class."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feature_db import ExampleRecord, FeatureRecord, Store, StoreError, SuggestionRecord, TextRecord
from feature_db.__main__ import main
from feature_db.exchange import formats
from feature_db.exchange.foreign import written_beside
from feature_db.exchange.format import Format, Look, Option, Report
from feature_db.label.labels import Labels
from feature_db.roles import People
from tests.feature_db.conftest import MODEL

EVERY = pytest.mark.parametrize("format", formats.FORMATS, ids=lambda format: format.name)
WRITTEN = pytest.mark.parametrize(
    "format", [format for format in formats.FORMATS if format.writable], ids=lambda format: format.name
)


def content(store: Store) -> list[str]:
    """All rows but for the record of when something changed and what SQLite keeps for itself."""
    other = re.compile(r'INSERT INTO "(imports|changes|undo_[a-z]+|sqlite_stat1|\w+_fts_\w+)"')
    return [line for line in store.conn.iterdump() if not other.match(line)]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with something for every format."""
    path = tmp_path_factory.mktemp("filled") / "store.db"
    with Store.open(path, create=MODEL) as store:
        texts = [TextRecord([{"role": "user", "content": t}], None, [t, "!"]) for t in ("=hi", "ünd")]
        features = [
            FeatureRecord(i, head_weight=0.5, firing_count=i, denominator=9, mean=0.5, max=2.0)
            for i in range(4)
        ]
        examples = [
            ExampleRecord(i, j, "top", j, "label", 2.0 - j, 0, [2.0 - j, 0]) for i in (1, 2) for j in (0, 1)
        ]
        store.import_harvest(features, texts, (), examples)
        store.add_suggestions([SuggestionRecord(1, "auto-label: gpt", "greets", {"score": 4})])
        People(store).become_first_admin("root")
        Labels(store, "ann").label(1, "greetings", verdict=4)
        Labels(store, "ann").label(1, "greetings, all", verdict=5)
        Labels(store, "ann").draft(2, {"text": "half"})
        Labels(store, "root").adjudicate(1, text="says hello")
    return path


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copy(filled, tmp_path / "store.db")
    with Store.open(tmp_path / "store.db") as opened:
        yield opened


def empty(path: Path) -> Store:
    """A store of the same model that knows its features and nothing of them."""
    store = Store.open(path, create=MODEL)
    store.import_harvest([FeatureRecord(i) for i in range(MODEL.n_features)])
    People(store).become_first_admin("root")
    return store


def target(folder: Path, format: Format, ending: str) -> Path:
    """Where a format is written: a name of its own that does not tell the format."""
    folder.mkdir()
    return folder / ("out" if format.folder else f"out.{ending}")


def test_names_are_unique_and_every_format_says_what_it_is():
    names = [format.name for format in formats.FORMATS]
    assert len(set(names)) == len(names) == len({format.title for format in formats.FORMATS})
    for format in formats.FORMATS:
        assert format.title and format.endings
        for option in (*format.read_options, *format.write_options):
            assert option.help and re.fullmatch("[a-z]+(-[a-z]+)*", option.name)


@pytest.mark.slow
@WRITTEN
def test_what_is_written_is_recognised_and_read_with_a_dry_run_that_says_the_same(
    format: Format, store: Store, tmp_path: Path
):
    for ending in format.endings:
        path = target(tmp_path / f"of-{ending}", format, ending)
        format.write(store, path)
        assert formats.recognised(path) is format
        with empty(tmp_path / f"{ending}.db") as other:
            before = content(other)
            rehearsed = format.read(other, path, by="root", dry_run=True)
            assert content(other) == before and rehearsed.dry_run
            done = format.read(other, path, by="root")
            assert content(other) != before and not done.dry_run
            assert (rehearsed.counts, rehearsed.notes) == (done.counts, done.notes) and any(
                done.counts.values()
            )
            assert rehearsed.changed == done.changed
            # Reading what was read, and written again, gives the same store.
            again = target(tmp_path / f"again-{ending}", format, ending)
            format.write(other, again)
            once = content(other)
            format.read(other, again, by="root")
            assert content(other) == once


@pytest.mark.slow
@EVERY
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe\x00",
        b"{",
        b"[1]",
        b"{}\n{}\n",
        b"a,b\n1,2\n",
        b"feature,max\n1,nan\n",
        b"PK\x03\x04",
        b"PAR1",
    ],
)
def test_garbage_is_refused_in_one_line_that_names_it_and_nothing_changes(
    format: Format, data: bytes, store: Store, tmp_path: Path
):
    before = content(store)
    for ending in format.endings:
        path = tmp_path / f"garbage.{ending}"
        path.write_bytes(data)
        for dry_run in (True, False):
            with pytest.raises(StoreError) as refused:
                format.read(store, path, by="root", dry_run=dry_run)
            assert str(path) in str(refused.value) and "\n" not in str(refused.value)
    assert content(store) == before


@WRITTEN
def test_a_write_that_fails_half_way_leaves_nothing(format: Format, store: Store, tmp_path: Path):
    for ending in format.endings:
        for allowed in (0, 5, 20):
            folder = tmp_path / f"{ending}-{allowed}"
            path = target(folder, format, ending)
            left = iter(range(allowed))
            store.conn.set_progress_handler(lambda left=left: next(left, None) is None, 50)
            try:
                format.write(store, path)
            except (sqlite3.OperationalError, StoreError):
                assert [found for found in folder.rglob("*") if found.is_file()] == []
            finally:
                store.conn.set_progress_handler(None, 0)
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError):
            format.write(store, tmp_path / "file" / f"x.{ending}")


@EVERY
def test_what_takes_an_admin_is_refused_to_others(format: Format, store: Store, tmp_path: Path):
    path = target(tmp_path / "out", format, format.endings[0])
    if format.writable and format.admin:
        format.write(store, path)
        assert main(["import", str(store.path), str(path)]) == 2
        assert main(["import", str(store.path), str(path), "--as", "ann"]) == 2
        assert main(["import", str(store.path), str(path), "--as", "root"]) == 0


def test_an_option_of_another_format_is_refused(store: Store, tmp_path: Path, capsys: Any):
    out = str(tmp_path / "f.csv")
    assert main(["export", str(store.path), "--format", "csv", "--out", out, "--engine", "gpt"]) == 2
    assert "--engine is an option of auto-labels, not of csv" in capsys.readouterr().err
    assert not (tmp_path / "f.csv").exists()


class Toy(Format):
    """One suggestion a line: number, tab, words."""

    name = "toy"
    title = "Toy lines"
    endings = ("toy",)
    read_options = (Option("under", "the method that the suggestions are listed under"),)
    write_options = (Option("loud", "in capitals", flag=True),)

    def recognises(self, file: Look) -> bool:
        return file.suffix == ".toy"

    def read(
        self, store: Store, path: Path, *, by: str = "", dry_run: bool = False, under: str = "toy", **_: Any
    ) -> Report:
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        made = [SuggestionRecord(int(number), under, words) for number, words in rows]
        count = store.replace_suggestions(under, made, source=str(path), dry_run=dry_run)
        return Report({"suggestions": count}, dry_run=dry_run)

    def write(self, store: Store, path: Path, *, loud: bool = False, **_: Any) -> Report:
        lines = [f"{s.feature}\t{s.text.upper() if loud else s.text}\n" for s in store.suggestions()]
        with written_beside(path) as beside:
            beside.write_text("".join(lines))
        return Report({"suggestions": len(lines)})


def test_a_format_is_one_class_and_one_line(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, Toy()))
    out, here = str(tmp_path / "x.toy"), str(store.path)
    assert main(["export", here, "--format", "toy", "--out", out, "--loud"]) == 0
    assert (tmp_path / "x.toy").read_text() == "1\tGREETS\n"
    assert main(["import", here, out, "--under", "mine", "--dry-run"]) == 0
    assert "1 suggestions would be taken in" in capsys.readouterr().out
    assert store.suggestions("mine") == []
    assert main(["import", here, out, "--under", "mine"]) == 0
    assert [s.text for s in store.suggestions("mine")] == ["GREETS"]
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    assert "--loud" in capsys.readouterr().out
