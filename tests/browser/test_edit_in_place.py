"""An answer's words are changed where they stand: the score follows the typing, the original stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import ROOT, AppPage, AppServer
from tests.browser.test_compare_page import HACK, order, popover, sideways, start
from tests.sarm_core.tiny_models import text_checkpoint

pytestmark = pytest.mark.browser

FIRST = "I'm sorry, but I can't help with that. Ask someone else. They may know."


@pytest.fixture(scope="module")
def address(app_server: AppServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("edit")
    env = {
        "SARM_MODEL": text_checkpoint(root / "tiny"),
        "SARM_DATA": root / "data",
        "SARM_CACHE": root / "cache",
    }
    return app_server(ROOT / "app" / "main.py", {name: str(path) for name, path in env.items()})


def lead(app: AppPage, answer: str) -> str:
    return app.page.locator(f".answer[data-answer='{answer}'] .lead").inner_text()


def box(app: AppPage) -> Any:
    return app.page.locator(".edit-box:visible")


def said(app: AppPage) -> str:
    return app.page.locator(".edit-said:visible").inner_text()


def follow(app: AppPage, text: str) -> None:
    """Type, and wait until the score is that of what was typed."""
    box(app).fill(text)
    app.page.locator(".edit-busy:visible").wait_for(state="hidden")
    app.settled()


@pytest.mark.parametrize("width", [1280, 380])
def test_words_are_typed_the_margin_follows_and_one_press_goes_back(
    address: str, new_page: Callable[..., AppPage], width: int
) -> None:
    app = new_page(width=width, height=1400)
    page = app.page
    page.set_default_timeout(60_000)
    start(app, address)
    body = popover(app, "Paste")
    body.get_by_label("Prompt", exact=True).fill("Which one?")
    body.get_by_label("Answers, separated").fill(f"{FIRST}\n---\n{HACK}")
    body.get_by_role("button", name="Compare").click()
    body.wait_for(state="hidden")
    app.settled()
    original, before = lead(app, "0"), order(app)

    page.get_by_role("button", name="Edit answer A").click()
    app.settled()
    box(app).wait_for()
    assert box(app).input_value() == FIRST and "same words" in said(app)
    page.wait_for_function(
        "() => [...document.querySelectorAll('*')].some(n => n.shadowRoot?.activeElement?.matches('.edit-box'))"
    )
    follow(app, f"{HACK} I can't help.")
    assert lead(app, "2") != original and "same words" not in said(app) and "mostly #" in said(app)
    assert page.evaluate("window.hacked") is None
    assert page.get_by_text("C is above A").or_(page.get_by_text("A is above C")).first.is_visible()
    while "a=" not in page.url or page.locator(".edit-version:visible").count() == 0:
        page.wait_for_timeout(100)  # left alone for a moment, it is a version and has an address
    app.settled()

    page.get_by_role("button", name="The version before").click()
    app.settled()
    assert box(app).input_value() == FIRST
    page.get_by_role("button", name="without the apology").click()
    app.settled()
    assert box(app).input_value() == "I can't help with that. Ask someone else. They may know."
    assert said(app).startswith("Without “I'm sorry, but”: ")
    now = (lead(app, "2"), order(app), said(app))
    page.get_by_role("button", name="What it hangs on").click()
    app.finished()
    assert page.locator(".edit-layer mark").count() == 3
    assert page.locator(".edit-layer:visible").text_content().strip() == box(app).input_value()
    heights = [
        page.locator(f".{name}:visible").evaluate("n => n.clientHeight")
        for name in ("edit-box", "edit-layer")
    ]
    assert heights[0] == heights[1] and sideways(app) == [0, 0]

    page.reload()
    page.wait_for_selector(".rerank .answer")
    app.settled()
    assert (lead(app, "2"), order(app), said(app)) == now
    assert page.locator(".edit-version:visible").inner_text() == "version 3 of 3"
    page.get_by_role("button", name="Back to the original").click()
    app.settled()
    assert (lead(app, "0"), order(app)) == (original, before) and page.locator(
        ".edit-box:visible"
    ).count() == 0
    assert [line for line in app.errors if "404 (Not Found)" not in line] == []
