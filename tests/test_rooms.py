"""Imports only run down the floors of `tests.rooms.ORDER`, and never in a circle."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rooms import LATE, ORDER, PACKAGES, House, main, read_house

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def house() -> House:
    return read_house(ROOT)


@pytest.mark.parametrize("package", ORDER)
def test_every_room_has_a_floor_and_every_floor_its_rooms(house: House, package: str):
    named = [name for names in ORDER[package] for name in names]
    assert sorted(named) == sorted(set(named)) == list(house.rooms(package))


@pytest.mark.parametrize("package", ORDER)
def test_no_import_runs_up(house: House, package: str):
    assert [str(arrow) for arrow in house.running_up(package)] == []


@pytest.mark.parametrize("package", ORDER)
def test_no_modules_import_each_other_in_a_circle(house: House, package: str):
    assert house.circle(package) == []


def test_packages_use_each_other_one_way_only(house: House):
    wrong = [
        str(arrow)
        for arrow in house.arrows
        if (target := arrow.target.partition(".")[0]) not in PACKAGES[arrow.source.partition(".")[0]]
        and not (arrow.late and target in LATE.get(house.room(arrow.source), ()))
    ]
    assert wrong == []


def test_an_arrow_that_runs_up_and_a_circle_are_seen(tmp_path: Path):
    """The measure itself: a house of three files in which both are built in."""
    for package in ORDER:
        (tmp_path / package).mkdir()
    core = tmp_path / "sarm_core"
    (core / "errors.py").write_text("from sarm_core.files import whole_file\n")
    (core / "files.py").write_text("from sarm_core import errors\n")
    (core / "steering.py").write_text("def read():\n    import sarm_core.errors\n")
    house = read_house(tmp_path)
    assert [str(arrow) for arrow in house.running_up("sarm_core")] == [
        "sarm_core.errors:1 uses sarm_core.files"
    ]
    assert set(house.circle("sarm_core")) == {"sarm_core.errors", "sarm_core.files"}
    assert house.floors("sarm_core") is None
    assert [arrow.late for arrow in house.arrows] == [False, False, True]


def test_the_counts_are_printed_for_any_checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for package in ORDER:
        (tmp_path / package).mkdir()
        (tmp_path / package / "errors.py").write_text("")
    (tmp_path / "sarm_core" / "errors.py").write_text("from sarm_core.files import whole_file\n")
    (tmp_path / "sarm_core" / "files.py").write_text("def whole_file():\n    pass\n")
    main(str(tmp_path))
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:]}
    assert set(rows) == set(ORDER)
    assert rows["sarm_core"] == ["2", "2", "1", "1", "2", "3", "sarm_core.files", "(2)"]
