"""Who only looks writes nothing: not by a page, nor by calling what the pages call."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from app.build.job import Asked, begin
from app.session import session
from app.session.engine import Choice, load_engine
from app.session.pages import Page
from app.session.visitors import READ_ONLY
from feature_db import FeatureFilter, PermissionRefused, Store
from feature_db.label.labels import Labels, set_categories
from feature_db.label.queues import Queues
from feature_db.roles import EVERYONE, People
from tests.app.conftest import Run

ACTS: dict[str, Callable[[Store], object]] = {
    "label": lambda store: Labels(store, "ann").label(3, "x"),
    "list": lambda store: store.make_list("mine", "ann"),
    "bookmark": lambda store: store.bookmark(3, "ann"),
    "steering": lambda store: store.save_steering("s", "{}", author="ann"),
    "session": lambda store: store.save_session({}),
    "link": lambda store: store.restore_session("23456789ab", {}),
    "role": lambda store: People(store).set_role("chief", "ann", "admin"),
    "queue": lambda store: Queues(store, "chief").make("q", FeatureFilter(ids=[3])),
    "categories": lambda store: set_categories(store, "chief", ["a"]),
    "sql": lambda store: store.conn.execute("DELETE FROM people"),
}


def content(store_path: Path) -> str:
    """Of the store, by all that is in it."""
    with Store.read_only(store_path) as store:
        return hashlib.sha256("\n".join(store.conn.iterdump()).encode()).hexdigest()


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(READ_ONLY, "1")


@pytest.fixture
def for_readers(store_path: Path) -> None:
    """A store in which whoever has no role of their own only looks."""
    with Store.open(store_path) as store:
        People(store).set_role(None, "chief", "admin")
        People(store).set_role("chief", EVERYONE, "reader")


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("how", ["read_only", "for_readers"])
def test_the_store_that_a_visitor_is_lent_takes_no_write(
    app_env: None, store_path: Path, request: pytest.FixtureRequest, checkpoint: Path, act: str, how: str
) -> None:
    with Store.open(store_path) as store:
        People(store).become_first_admin("chief")
    if how == "for_readers":
        with Store.open(store_path) as store:
            People(store).set_role("chief", EVERYONE, "reader")
    else:
        request.getfixturevalue("read_only")
    engine = load_engine(Choice(str(checkpoint)))  # the process brings its store up to date, whoever comes
    before = content(store_path)
    with engine.store() as store, pytest.raises(Exception, match=r"look here|readonly database"):
        ACTS[act](store)
    assert content(store_path) == before


def test_a_reader_keeps_nothing_through_any_other_door(store_path: Path, for_readers: None) -> None:
    with Store.open(store_path) as store:
        for name in ("ann", ""):
            for act in (
                lambda: store.make_list("mine", name),  # noqa: B023
                lambda: store.save_steering("s", "{}", author=name),  # noqa: B023
            ):
                with pytest.raises(PermissionRefused, match="readers keep nothing"):
                    act()
        mine = store.make_list("mine", "chief")
        with pytest.raises(PermissionRefused):
            store.add_to_list(mine, 3, by="ann")


def test_what_writes_beside_the_store_asks_as_well(app_env: None, read_only: None, tmp_path: Path) -> None:
    with pytest.raises(PermissionRefused, match="a build is not done here"):
        begin(Asked(("pairs.jsonl",), "demo", "sae", str(tmp_path / "out")))
    with pytest.raises(PermissionRefused):
        session.check_may_write("anything")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("page", Page, ids=lambda page: page.address)
def test_every_page_opens_for_a_visitor_and_leaves_the_store_as_it_was(
    run_page: Run, store_path: Path, for_readers: None, checkpoint: Path, page: Page
) -> None:
    load_engine(Choice(str(checkpoint)))
    before = content(store_path)
    test = run_page(f"{page.address}.py")
    assert not test.error
    if page not in (Page.BUILD, Page.MODEL):  # which open without a model, and so without a store
        assert any("You are a visitor" in info.value for info in test.sidebar.info)
    assert content(store_path) == before


@pytest.mark.slow
def test_answers_of_a_visitor_are_compared_and_not_kept(
    run_page: Run,
    store_path: Path,
    for_readers: None,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SARM_CACHE", str(tmp_path / "cache"))
    load_engine(Choice(str(checkpoint)))
    before = content(store_path)
    test = run_page("compare.py")
    test.text_area(key="paste_prompt").set_value("Which?")
    test.text_area(key="paste_answers").set_value("One.\n---\nThe other one.")
    next(button for button in test.button if button.label == "Compare").click().run()
    assert not test.exception and not test.error
    assert "a" not in test.query_params and "s" in test.query_params
    assert any("names the sliders and not" in caption.value for caption in test.caption)
    assert content(store_path) == before and not list(tmp_path.glob("cache/encoded/**/*.safetensors"))
