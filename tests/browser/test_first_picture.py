"""What a newcomer sees first: a ranking that stands still, without a request that fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import AppPage, AppServer

pytestmark = pytest.mark.browser

MAIN = Path(__file__).parents[2] / "app" / "main.py"
SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifts.push(entry.value);
}).observe({ type: "layout-shift", buffered: true });
"""


@pytest.mark.parametrize("width", [1280, 380])
def test_nothing_jumps_while_the_first_ranking_is_drawn(
    app_server: AppServer, new_page: Any, width: int
) -> None:
    address = app_server(MAIN)
    app: AppPage = new_page(width=width)
    failed: list[str] = []
    app.page.on("response", lambda answer: answer.status >= 400 and failed.append(answer.url))
    app.page.add_init_script(SHIFTS)
    app.open(f"{address}/compare?a=example:sensitive-01")
    app.page.wait_for_selector(".st-key-rerank .answer")
    app.settled()
    app.page.wait_for_timeout(500)
    assert app.page.locator(".st-key-decide_here").is_visible()
    # Streamlit's own menu alone moves by 0.0003 when its icons arrive.
    assert sum(app.page.evaluate("window.shifts")) < 0.01
    # Streamlit looks for its server below the page's address first.
    assert [url for url in failed if "/compare/_stcore/" not in url] == []
