"""The real app: drag an answer, propose, put it on the sliders, undo; the same by keys."""

from __future__ import annotations

import re

import pytest

from tests.browser.conftest import AppPage
from tests.browser.test_compare_page import Open, address, open_page, order, panel, sideways
from tests.browser.test_wanted_order import grip, hold, spoken, words

__all__ = ["address", "open_page"]

pytestmark = pytest.mark.browser


def titles(app: AppPage) -> list[str]:
    """As `order`, with the notes behind the letters."""
    return app.page.locator(".answer .title").all_text_contents()


def now_places(app: AppPage) -> list[str]:
    return app.page.locator(".answer .now").all_text_contents()


def propose(app: AppPage) -> None:
    app.page.locator(".rerank").get_by_role("button", name="Propose sliders").click()
    app.finished()
    app.page.locator(".st-key-proposal_0").wait_for()
    app.finished()


def test_drag_propose_apply_undo(open_page: Open) -> None:
    app = open_page(height=1800)
    before, sliders = order(app), panel(app)
    hold(app, titles(app)[-1], titles(app)[0])
    app.page.mouse.up()
    app.settled()
    wanted = order(app)
    assert wanted == [before[-1], *before[:-1]]
    propose(app)
    said = app.page.locator(".st-key-wishes").inner_text()
    assert re.search(
        r"Moving \d+ sliders?, every wish holds\. Elsewhere it turns [\d,]+ of [\d,]+ pairs", said
    )
    assert panel(app) == sliders, "nothing moves before it is put there"
    app.page.locator(".st-key-put_0 button").click()
    app.finished()
    assert app.page.locator(".answer.wished .wish-state").text_content() == "so it is now"
    assert order(app) == wanted
    assert set(panel(app).values()) != {"1"}
    app.page.get_by_role("button", name="Take the order back").click()
    app.settled()
    assert order(app)[0] == before[-1], "the ranking itself"
    app.page.locator(".panel").get_by_role("button", name="Undo").click()
    app.settled()
    assert order(app) == before and panel(app).items() >= sliders.items()


def test_the_same_by_keys_alone(open_page: Open) -> None:
    app = open_page(height=1800)
    before = order(app)
    grip(app, titles(app)[2]).focus()
    app.page.keyboard.press("Home")
    app.page.wait_for_timeout(500)
    app.settled()
    assert f"{before[2]}, place 1 of" in spoken(app) or f"Wanted: {before[2]} before" in spoken(app)
    assert words(app) == f"{before[2]} before {before[0]} and {before[1]}"
    ask = app.page.locator(".rerank").get_by_role("button", name="Propose sliders")
    ask.focus()
    app.page.keyboard.press("Enter")
    app.finished()
    put = app.page.locator(".st-key-put_0 button")
    put.focus()
    app.page.keyboard.press("Enter")
    app.finished()
    assert now_places(app)[0] == "as now"
    app.page.locator(".st-key-unput_0 button").focus()
    app.page.keyboard.press("Enter")
    app.finished()
    assert now_places(app)[0] == "now 3"


@pytest.mark.parametrize("width", [380, 1920])
def test_the_wanted_order_fits_narrow_and_wide_windows(open_page: Open, width: int) -> None:
    app = open_page(width=width, height=1200)
    grip(app, titles(app)[-1]).focus()
    app.page.keyboard.press("Home")
    app.page.wait_for_timeout(500)
    app.settled()
    propose(app)
    assert sideways(app) == [0, 0]
