"""CONTRIBUTING.md against the code: its table of rooms is the folders there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages_of import ROOT, site
from tests.rooms import ORDER

PACKAGES = ("sarm_core", "feature_db", "app")
WHOLE = (
    "app/app_pages",
    "app/components",
)  # what lies in these is one thing a file or folder: no rooms of their own


def rooms_there_are() -> set[str]:
    """Folders with Python in them, and the modules at the top of the two libraries."""
    found = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            folder = path.parent.relative_to(ROOT).as_posix()
            whole = next((name for name in WHOLE if folder == name or folder.startswith(f"{name}/")), None)
            if folder != package:
                found.add(f"{whole or folder}/")
            elif package != "app" and not path.name.startswith("__"):
                found.add(f"{package}/{path.name}")
    return found


def rooms_named() -> list[str]:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return [room for room, _ in site._ROOM.findall(text)]


def test_the_table_names_every_room_once_and_no_other():
    named = rooms_named()
    assert len(named) == len(set(named))
    assert set(named) == rooms_there_are()


@pytest.mark.parametrize("package", PACKAGES)
def test_the_table_stands_in_the_order_in_which_imports_may_run(package):
    floor = {name: number for number, names in enumerate(ORDER[package]) for name in names}
    named = [
        room.split("/")[1].removesuffix(".py") for room in rooms_named() if room.startswith(f"{package}/")
    ]
    floors = [floor[name] for name in named]
    assert floors == sorted(floors), list(zip(named, floors, strict=True))


def test_tests_mirror_the_rooms():
    for package in PACKAGES:
        for path in (ROOT / "tests" / package).rglob("test_*.py"):
            folder = path.parent.relative_to(ROOT / "tests")
            assert (ROOT / folder).is_dir(), f"{Path('tests') / folder} mirrors no room"
