"""Long work can be stopped, as its bar says: the app's own settings leave Streamlit's Stop on the page."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import AppPage, AppServer

pytestmark = pytest.mark.browser

SCRIPT = Path(__file__).parent / "stop_page.py"
CONFIG = Path(__file__).parents[2] / "app" / ".streamlit" / "config.toml"


def test_a_stop_is_there_while_work_goes_on_and_ends_it(
    app_server: AppServer, new_page: Callable[..., AppPage], tmp_path: Path
) -> None:
    log = tmp_path / "done"
    app = new_page()
    settings = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    address = app_server(SCRIPT, {"STREAMLIT_CLIENT_TOOLBAR_MODE": settings["client"]["toolbarMode"]})
    app.open(f"{address}/?log={log}")
    app.page.get_by_role("button", name="Work").click()
    app.page.get_by_text("Stop keeps what is done").wait_for(timeout=30_000)
    app.page.get_by_role("button", name="Stop", exact=True).click(timeout=30_000)
    app.page.get_by_text("Stopped. What was encoded is kept").wait_for(timeout=30_000)
    assert not app.page.get_by_text("Stop keeps what is done").is_visible(), "no bar that stands still"
    app.settled()
    done = log.read_text(encoding="utf-8")
    time.sleep(0.5)
    assert log.read_text(encoding="utf-8") == done and int(done) < 600
    assert not app.page.get_by_text("finished").is_visible()
    assert app.page.get_by_role("button", name="Work").is_visible() and app.errors == []
