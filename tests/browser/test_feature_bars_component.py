"""The bars of features in a real browser against a real Streamlit server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import AppPage, AppServer

pytestmark = pytest.mark.browser

SCRIPT = Path(__file__).parent / "feature_bars_page.py"
Open = Callable[..., AppPage]


@pytest.fixture
def open_page(app_server: AppServer, new_page: Callable[..., AppPage]) -> Open:
    address = app_server(SCRIPT)

    def open_it(query: str = "") -> AppPage:
        app = new_page()
        app.open(f"{address}/?{query}")
        app.page.wait_for_selector(".st-key-second .bar-row, .feature-bars .bar-row")
        return app

    return open_it


def report(app: AppPage) -> list[list[Any]]:
    """What the callbacks heard, in order."""
    return json.loads(app.page.locator(".report").text_content())


def heard(app: AppPage, n: int) -> list[list[Any]]:
    """The report once it has `n` entries and the page is at rest; a loaded machine takes its time."""
    app.page.wait_for_function(
        "n => JSON.parse(document.querySelector('.report')?.textContent ?? '[]').length >= n", arg=n
    )
    app.settled()
    return report(app)


def press(app: AppPage, bars: int, what: str, feature: int) -> None:
    """A press without waiting for anything, as a fast hand does it."""
    app.page.locator(".feature-bars").nth(bars).locator(f'button.{what}[data-feature="{feature}"]').evaluate(
        "button => button.click()"
    )


def test_fast_presses_while_the_page_is_busy_all_arrive_once_and_in_order(open_page: Open) -> None:
    app = open_page("busy=0.4")
    for feature in (5, 2, 7, 1, 4):
        press(app, 0, "add", feature)
        app.page.wait_for_timeout(60)
    assert heard(app, 5) == [["add", feature] for feature in (5, 2, 7, 1, 4)]
    press(app, 0, "label", 3)
    assert heard(app, 6)[5:] == [["click", 3]], "what was carried along is not heard twice"
    assert app.errors == []


def test_two_charts_on_a_page_do_not_hear_each_other(open_page: Open) -> None:
    app = open_page()
    press(app, 1, "add", 6)
    app.settled()
    press(app, 0, "label", 6)
    press(app, 1, "add", 0)
    told = heard(app, 3)
    assert told[0] == ["add", 6]
    assert sorted(told[1:]) == [["add", 0], ["click", 6]], "two charts have two clocks: the order is free"
