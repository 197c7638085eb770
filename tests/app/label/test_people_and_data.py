"""People, roles, files in and out."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_db import ModelRecord, Store
from feature_db.label.events import events
from feature_db.label.labels import Labels
from feature_db.roles import People
from tests.app.conftest import Run
from tests.app.label.label_pages import (
    ANN,
    BO,
    CHIEF,
    press,
    shown,
    sign,
)


@pytest.mark.slow
def test_exports_come_out_and_go_in_elsewhere_after_a_dry_run(
    run_page: Run, queue: int, store_path: Path, tmp_path: Path, store_template: Path
) -> None:
    from feature_db.exchange.event_files import export_events

    other = tmp_path / "other.db"
    other.write_bytes(store_template.read_bytes())
    with Store.open(other) as store:
        Labels(store, "far").label(9, "from elsewhere", verdict=5)
        export_events(store, tmp_path / "events.jsonl")
    test = sign(run_page("people.py"), CHIEF)
    test.file_uploader(key="import_file").upload("e.jsonl", (tmp_path / "events.jsonl").read_bytes()).run()
    assert "1 events (1 label) of far would be added" in shown(test).replace("\\", "")
    with Store.open(store_path) as store:
        assert not Labels(store, CHIEF).current(9)
    press(test, "import_go")
    with Store.open(store_path) as store:
        assert [e.text for e in Labels(store, CHIEF).current(9)] == ["from elsewhere"]


@pytest.mark.slow
def test_another_store_of_the_model_comes_in_with_its_history_after_a_dry_run(
    run_page: Run, queue: int, store_path: Path, tmp_path: Path, store_template: Path
) -> None:
    other = tmp_path / "other.db"
    other.write_bytes(store_template.read_bytes())
    with Store.open(other) as store:
        Labels(store, "far").label(9, "from elsewhere", verdict=5)
        Labels(store, "far").label(9, "from elsewhere, edited", verdict=4)
        People(store).set_role(None, "far", "admin")
        Labels(store, "far").adjudicate(9, text="agreed", verdict=4)
    with Store.open(store_path) as store:
        Labels(store, "near").label(9, "from here")
    test = sign(run_page("people.py"), CHIEF)
    test.file_uploader(key="import_file").upload("Colleague's.db", other.read_bytes()).run()
    assert "3 events (1 adjudicate, 1 edit, 1 label) of far would be added" in shown(test).replace("\\", "")
    assert "labels, or what was settled, of 1 features change" in shown(test)
    (stands,) = [table.value for table in test.dataframe if "stands after" in table.value]
    assert stands["stands now"].tolist() == ["near: from here"]
    assert stands["stands after"].tolist() == [
        "far: from elsewhere, edited (verdict 4); near: from here; settled by far: agreed (verdict 4)"
    ]
    with Store.open(store_path) as store:
        assert len(Labels(store, CHIEF).current(9)) == 1
    press(test, "import_go")
    assert "of far added" in shown(test) and "no event would be added" in shown(test)
    with Store.open(store_path) as store:
        assert {e.text for e in Labels(store, CHIEF).current(9)} == {"from here", "from elsewhere, edited"}
        assert [e.text for e in events(store, feature=9)] == [
            "from elsewhere",
            "from elsewhere, edited",
            "agreed",
            "from here",
        ]


@pytest.mark.slow
def test_what_is_no_store_of_this_model_is_refused_in_one_line_and_stays_refused(
    run_page: Run, queue: int, store_path: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.db"
    Store.open(foreign, create=ModelRecord("0" * 64, "**another**", 64)).close()
    whole = foreign.read_bytes()
    test = sign(run_page("people.py"), CHIEF)
    with Store.open(store_path) as store:
        before = list(store.conn.iterdump())
    for name, content, message in (
        ("[a](http://evil).db", whole, "not of the model in use"),
        ("cut.db", whole[:20_000], "damaged"),
        ("text.db", b"hello", "not a SQLite file"),
        ("empty.db", b"", "not a SQLite file"),
    ):
        test.file_uploader(key="import_file").clear()
        test.file_uploader(key="import_file").upload(name, content).run()
        for _ in range(2):  # a rerun for another reason does not lose the reason
            (line,) = [error.value.replace("\\", "") for error in test.error]
            assert message in line and name in line and "\n" not in line and str(tmp_path) not in line
            test.run()
    with Store.open(store_path) as store:
        assert list(store.conn.iterdump()) == before


def test_only_an_admin_is_offered_an_import(run_page: Run, queue: int) -> None:
    assert not sign(run_page("people.py"), ANN).get("file_uploader")


@pytest.mark.slow
def test_a_fresh_store_takes_its_first_admin_and_no_second(run_page: Run, store_path: Path) -> None:
    first, second = (sign(run_page("people.py"), name) for name in (ANN, BO))
    press(first, "first_admin")
    assert "ann is the admin" in shown(first) and not [b for b in first.button if b.key == "first_admin"]
    press(second, "first_admin")
    assert "has an admin already" in shown(second)
    with Store.open(store_path) as store:
        assert People(store).all() == {ANN: "admin"}
    assert not [b for b in sign(run_page("label.py"), BO).button if b.key == "first_admin"]


def test_the_button_for_the_first_admin_is_on_the_page_once(run_page: Run, store_path: Path) -> None:
    test = sign(run_page("label.py"), ANN)
    assert sum(button.label == "Become the first admin" for button in test.button) == 1
    assert "first one is made there" in shown(test)
    press(test, "first_admin")
    assert test.button(key="queue_make") and "first one is made there" not in shown(test)


@pytest.mark.slow
def test_roles_are_given_by_an_admin_only(run_page: Run, queue: int, store_path: Path) -> None:
    assert not [w for w in sign(run_page("people.py"), ANN).text_input if w.key == "role_name"]
    test = sign(run_page("people.py"), CHIEF)
    test.text_input(key="role_name").set_value(BO)
    test.selectbox(key="role_role").select("adjudicator")
    press(test, "role_go")
    with Store.open(store_path) as store:
        assert People(store).role(BO) == "adjudicator"
