"""Files out and in on the page: every format of the registry, one that is added, and the options a format brings."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.label import transfer
from feature_db import Store, SuggestionRecord
from feature_db.exchange import formats
from feature_db.exchange.csv_table import export_csv
from feature_db.roles import People
from tests.app.label.label_pages import press, shown, sign
from tests.feature_db.exchange.test_formats import Toy

Run = Callable[..., Any]
CHIEF = "chief"


@pytest.fixture
def admin(store_path: Path) -> str:
    with Store.open(store_path) as store:
        People(store).become_first_admin(CHIEF)
        store.add_suggestions([SuggestionRecord(3, "auto-label: gpt", "lists")])
    return CHIEF


def buttons(test: Any) -> set[str]:
    return {f"export_{button.proto.id.split('-export_')[-1]}" for button in test.get("download_button")}


@pytest.mark.slow
def test_every_format_is_offered_and_its_file_goes_in_again(
    run_page: Run, admin: str, store_path: Path, tmp_path: Path
) -> None:
    test = sign(run_page("people.py"), admin)
    written = [format for format in formats.FORMATS if format.writable]
    wanted = {f"export_{format.name}_{ending}" for format in written for ending in format.endings}
    assert wanted <= buttons(test)
    with Store.open(store_path) as store:
        export_csv(store, tmp_path / "f.csv")
        before = store.stats()
    test.file_uploader(key="import_file").upload("f.csv", (tmp_path / "f.csv").read_bytes()).run()
    assert "features would be taken in" in shown(test)
    press(test, "import_go")
    assert "features taken in" in shown(test) and "Last import: f" in shown(test)
    with Store.open(store_path) as store:
        assert {**store.stats(), "bytes": 0} == {**before, "bytes": 0}
    press(test, "import_undo")
    assert "was undone" in shown(test) and not [b for b in test.button if b.key == "import_undo"]


@pytest.mark.slow
def test_a_folder_is_handed_out_as_a_zip_that_reads_again(
    store_path: Path, admin: str, tmp_path: Path
) -> None:
    class Engine:
        def store(self) -> Store:
            return Store.open(store_path)

    packed = transfer._writer(Engine(), formats.named("neuronpedia"), "x.zip", {"model_id": "m"})()  # type: ignore[arg-type]
    names = zipfile.ZipFile(io.BytesIO(packed)).namelist()
    assert any(name.startswith("m/") and name.endswith("features/batch-0.jsonl.gz") for name in names)
    (tmp_path / "x.zip").write_bytes(packed)
    assert formats.recognised(tmp_path / "x.zip").name == "neuronpedia"


@pytest.mark.slow
def test_a_format_that_is_added_is_offered_read_and_asked_for_its_options(
    run_page: Run, admin: str, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, Toy()))
    test = sign(run_page("people.py"), admin)
    assert "export_toy_toy" in buttons(test)
    test.file_uploader(key="import_file").upload("x.toy", b"3\tfrom a toy\n").run()
    test.text_input(key="import_toy_under").set_value("mine").run()
    assert "1 suggestions would be taken in" in shown(test)
    press(test, "import_go")
    with Store.open(store_path) as store:
        assert [s.text for s in store.suggestions("mine")] == ["from a toy"]


@pytest.mark.slow
def test_what_no_format_knows_is_refused_in_one_line_unless_it_is_named(
    run_page: Run, admin: str, store_path: Path
) -> None:
    test = sign(run_page("people.py"), admin)
    test.file_uploader(key="import_file").upload("odd.json", b"{}").run()
    (line,) = [error.value.replace("\\", "") for error in test.error]
    assert line.startswith("odd.json: cannot tell what this is")
    test.selectbox(key="import_format").set_value("contexts").run()
    (line,) = [error.value.replace("\\", "") for error in test.error]
    assert "has no latent_context_map" in line


@pytest.mark.slow
def test_two_spellings_of_one_person_are_made_one_by_an_admin(
    run_page: Run, admin: str, store_path: Path
) -> None:
    with Store.open(store_path) as store, store.write() as conn:
        conn.execute("INSERT OR IGNORE INTO names VALUES ('ann', 'ann')")
        conn.execute(
            "INSERT INTO label_events (uid, feature, annotator, kind, text, time) "
            "VALUES ('b', 3, 'Ann', 'label', 'x', 9)"
        )
    test = sign(run_page("people.py"), admin.upper())
    assert "Ann is ann" in shown(test)
    press(test, "people_merge")
    with Store.open(store_path) as store:
        names = {row[0] for row in store.rows("SELECT annotator FROM label_events")}
        assert "Ann" not in names and "ann" in names
