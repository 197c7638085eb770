"""What holds of every page of the app: it is listed once, it is small, it keeps no state, and it opens."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from app.session.pages import Page
from feature_db import Store, SuggestionRecord
from tests.app.conftest import N_FEATURES, Run

FOLDER = Path(__file__).parents[2] / "app" / "app_pages"
MOST_LINES = 100


def test_every_page_is_a_file_and_every_file_a_page() -> None:
    assert {page.address for page in Page} == {path.stem for path in FOLDER.glob("*.py")}
    assert len({page.title for page in Page}) == len({page.icon for page in Page}) == len(Page)


@pytest.mark.parametrize("page", Page, ids=lambda page: page.address)
def test_a_page_is_small_and_its_functions_use_what_they_are_given(page: Page) -> None:
    source = (FOLDER / f"{page.address}.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MOST_LINES
    tree = ast.parse(source)
    state = {
        name.id
        for statement in tree.body
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef)
        for name in ast.walk(statement)
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store) and not name.id.isupper()
    }
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        names = {name for name in ast.walk(function) if isinstance(name, ast.Name)}
        own = {name.id for name in names if isinstance(name.ctx, ast.Store)}
        own |= {argument.arg for argument in ast.walk(function) if isinstance(argument, ast.arg)}
        used = {name.id for name in names if isinstance(name.ctx, ast.Load)}
        assert not (used - own) & state, f"{page.address}.{function.name} uses what the page holds"


@pytest.mark.slow
@pytest.mark.parametrize("page", Page, ids=lambda page: page.address)
@pytest.mark.parametrize("filled", [False, True], ids=["empty store", "filled store"])
def test_a_page_opens_with_one_title_and_says_what_it_answers(
    run_page: Run, request: pytest.FixtureRequest, page: Page, filled: bool
) -> None:
    if filled:
        request.getfixturevalue("store_path")
    test = run_page(f"{page.address}.py")
    assert [title.value for title in test.title] == [page.title]
    assert any("?" in caption.value for caption in test.main.caption[:2])
    assert not test.error


@pytest.mark.parametrize("page", [Page.COMPARE, Page.EXPLAIN, Page.FEATURES, Page.FEATURE])
def test_what_a_program_suggested_is_nowhere_shown_as_a_label(
    run_page: Run, store_path: Path, page: Page
) -> None:
    made_up = "zebra stripes"
    with Store.open(store_path) as store:
        every = [SuggestionRecord(i, "log-odds", made_up) for i in range(N_FEATURES)]
        store.replace_suggestions("log-odds", every)
    test = run_page(f"{page.address}.py", feature="9", l="0", r="1")
    rows = [" | ".join(str(cell) for cell in row) for part in test.dataframe for row in part.value.to_numpy()]
    menus = [
        option for kind in ("selectbox", "multiselect") for box in test.get(kind) for option in box.options
    ]
    named = [text for text in (*rows, *menus) if made_up in text]
    assert named or page is Page.FEATURE
    assert [text for text in named if "suggested" not in text] == []
    links = [link.proto.label for link in test.get("page_link") if made_up in link.proto.label]
    assert all("suggested" in label for label in links)
