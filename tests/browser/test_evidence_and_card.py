"""What a feature fires on, as chats, and its card from a bar, a slider, a row of a table and a point of the map."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.app.store_builder import HOSTILE_FEATURE, LABELLED, store_for
from tests.browser.conftest import ROOT, ROW_HEIGHT, AppPage, AppServer
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

pytestmark = pytest.mark.browser

CARD = ".feature-card"
FOCUS = """() => {
    let at = document.activeElement;
    while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
    return at.dataset.card ?? at.className;
}"""


@pytest.fixture(scope="module")
def address(app_server: AppServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four answers to each prompt, so that most have a quieter one."""
    folder: Path = tmp_path_factory.mktemp("cards")
    checkpoint = reference_checkpoint(folder / "tiny", n_features=64, k=6, tokenizer=chatml())
    store_for(checkpoint, folder / "data", answers=4)
    return app_server(
        ROOT / "app" / "main.py", {"SARM_MODEL": str(checkpoint), "SARM_DATA": str(folder / "data")}
    )


def opened(app: AppPage, address: str, path: str) -> AppPage:
    app.page.goto(f"{address}/{path}", timeout=120_000)
    app.finished()
    return app


def card(app: AppPage, feature: int | str) -> Any:
    """The card once it has come, whole and in the window."""
    shown = app.page.locator(CARD)
    shown.locator("footer").wait_for()
    shown.locator(".id", has_text=re.compile(f"^#{feature}$")).wait_for()
    shown.locator("footer").wait_for()
    assert shown.evaluate("node => node.matches(':popover-open')")
    box, size = shown.bounding_box(), app.page.viewport_size
    assert box["x"] >= 0 and box["y"] >= 0
    assert box["x"] + box["width"] <= size["width"] and box["y"] + box["height"] <= size["height"]
    return shown


def closed(app: AppPage) -> None:
    app.page.wait_for_function(f"!document.querySelector('{CARD}')?.matches(':popover-open')")


def test_answers_beside_quieter_ones_and_the_way_of_reading_kept_for_the_person(
    address: str, new_page: Callable[..., AppPage]
) -> None:
    app = opened(new_page(), address, f"feature?feature={LABELLED}")
    first = app.page.locator(".sarm-example").filter(has=app.page.locator(".quiet")).first
    loud, quiet = first.locator(".loud .said"), first.locator(".quiet .said")
    assert "<|im_" not in first.inner_text() and loud.inner_text() != quiet.inner_text()
    assert first.locator(".quiet .how").inner_text().startswith("Same prompt: ")
    assert loud.locator(".end").count() == 1 and quiet.locator(".end").count() == 0
    left, right = loud.bounding_box(), quiet.bounding_box()
    assert abs(left["y"] - right["y"]) < 2 and left["x"] + left["width"] <= right["x"], "side by side"

    app.page.locator(".st-key-person input").fill("ann")
    app.page.keyboard.press("Enter")
    app.settled()
    app.page.get_by_role("radio", name="Tokens of the answer", exact=True).click()
    app.page.locator(".sarm-tokens").first.wait_for()
    app.settled()
    app.page.reload()
    app.finished()
    assert app.page.locator(".sarm-tokens").count(), "the address has it"
    again = opened(new_page(width=1281), address, f"feature?feature={LABELLED}")
    assert not again.page.locator(".sarm-tokens").count(), "somebody else, or nobody yet"
    again.page.locator(".st-key-person input").fill("ann")
    again.page.keyboard.press("Enter")
    again.settled()
    again.page.locator(".st-key-after button").click()
    again.finished()
    again.page.locator(".sarm-tokens").first.wait_for()
    narrow = opened(new_page(width=380), address, f"feature?feature={LABELLED}")
    first = narrow.page.locator(".sarm-example").filter(has=narrow.page.locator(".quiet")).first
    left, right = first.locator(".loud .said").bounding_box(), first.locator(".quiet .said").bounding_box()
    assert right["y"] >= left["y"] + left["height"], "below it on a narrow screen"
    assert narrow.page.evaluate("document.documentElement.scrollWidth") == 380


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (380, True)])
def test_one_card_from_a_bar_a_slider_a_row_and_a_point(
    address: str, new_page: Callable[..., AppPage], width: int, dark: bool
) -> None:
    app = opened(new_page(width=width, dark=dark), address, "")
    page = app.page
    bar = page.locator(".feature-bars button.label").nth(1)
    feature = bar.get_attribute("data-card")
    bar.scroll_into_view_if_needed()
    bar.hover()
    words = card(app, feature).inner_text()
    assert "of 64 by size" in words and "Open" in words
    page.mouse.move(2, 2)
    closed(app)

    bar.focus()
    page.keyboard.press("Enter")
    assert card(app, feature).inner_text() == words, "the same by keyboard"
    assert page.evaluate(FOCUS) == "feature-card"
    page.keyboard.press("Escape")
    closed(app)
    assert page.evaluate(FOCUS) == feature, "the focus goes back"

    slider = page.locator(".panel .row.feature button.open").first
    number = slider.get_attribute("data-card")
    slider.focus()
    page.keyboard.press("Enter")
    shown = card(app, number)
    shown.locator("[data-act=silence]").press("Enter")
    shown.locator("[data-act=unsilence]").wait_for()
    assert page.locator(f'.panel .row[data-feature="{number}"] .state').inner_text() == "silenced"
    page.keyboard.press("Escape")
    closed(app)

    opened(app, address, "features")
    grid = page.locator(".stDataFrame canvas").first
    grid.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    row = grid.locator("tbody tr").nth(2)
    in_row = row.locator("td").first.text_content().removeprefix("#")
    box = grid.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 3 * ROW_HEIGHT + 10)
    card(app, in_row)
    page.mouse.click(box["x"] + 200, box["y"] + 2 * ROW_HEIGHT + 10)
    page.keyboard.press("ArrowDown")
    card(app, in_row)
    page.keyboard.press("Enter")
    assert page.evaluate(FOCUS) == "feature-card"
    page.keyboard.press("Escape")
    closed(app)

    # The number of a row opens its page, whatever card was on show or was just asked for.
    page.mouse.move(box["x"] + 200, box["y"] + 3 * ROW_HEIGHT + 10)
    page.mouse.click(box["x"] + 70, box["y"] + 3 * ROW_HEIGHT + 10)
    page.wait_for_url("**/feature?**")
    app.finished()
    assert page.url.split("feature=")[1].split("&")[0] == in_row
    page.wait_for_timeout(900)
    assert "/feature?" in page.url
    opened(app, address, "features")

    if width > 640:
        chart = page.locator(".st-key-f_map .js-plotly-plot")
        chart.scroll_into_view_if_needed()
        point = chart.locator(".scatterlayer .point").first.bounding_box()
        page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
        page.locator(f"{CARD} footer").wait_for()
    page.mouse.move(2, 2)
    closed(app)

    opened(app, address, "features?f_named=labelled")
    page.locator(".stDataFrame canvas").first.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    rows = page.locator(".stDataFrame canvas tbody tr").all_inner_texts()
    place = next(i for i, text in enumerate(rows) if f"#{HOSTILE_FEATURE}" in text)
    box = page.locator(".stDataFrame canvas").first.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + (place + 1) * ROW_HEIGHT + 10)
    assert "<script>" in card(app, HOSTILE_FEATURE).inner_text()
    assert page.evaluate("document.body.dataset.hacked") is None
    assert page.locator(f"{CARD} img, {CARD} script").count() == 0
