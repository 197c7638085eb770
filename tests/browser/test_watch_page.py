"""Watch a run in a real browser: the page follows a folder that grows, and a reload, a link and a click keep it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import ROOT, AppPage, AppServer
from tests.sarm_core.tiny_models import text_checkpoint
from tests.sarm_core.watch.test_logs import assistant, trl, user
from tests.sarm_core.watch.test_watch import PROMPTS

pytestmark = pytest.mark.browser
HOSTILE = "<script>document.title='taken'</script> <b>loud</b>"


def grow(folder: Path, step: int) -> Path:
    rows = [
        (user(p), assistant(f"{HOSTILE} {'- ' * step}Yes, {i} {step}")) for p in PROMPTS for i in range(2)
    ]
    return trl(folder, step, rows)


def test_the_page_follows_a_run_that_grows(
    app_server: AppServer, tmp_path_factory: pytest.TempPathFactory, new_page: Callable[..., AppPage]
) -> None:
    place = tmp_path_factory.mktemp("app")
    run = place / "runs" / "mine"
    grow(run, 1)
    env = {
        "SARM_MODEL": text_checkpoint(place / "tiny"),
        "SARM_DATA": place / "data",
        "SARM_CACHE": place / "cache",
        "SARM_RUNS": place / "runs",
    }
    address = app_server(ROOT / "app" / "main.py", {name: str(path) for name, path in env.items()})
    app = new_page()
    page = app.page
    page.set_default_timeout(60_000)
    app.open(f"{address}/watch")
    page.get_by_text("Choose a run above").wait_for()
    page.locator(".st-key-run input").click()
    page.get_by_role("option", name="mine").click()
    page.get_by_text("nothing to compare it with yet").wait_for()
    app.settled()
    assert "run=mine" in page.url

    grow(run, 9)  # nobody touches the page
    page.get_by_text(re.compile("from step 1 to 9")).wait_for()
    half = grow(run, 12)
    whole = half.read_bytes()
    half.write_bytes(whole[:-30])
    page.get_by_text("completions_00012.parquet").wait_for()
    assert page.get_by_text(re.compile("from step 1 to 9")).is_visible()
    half.write_bytes(whole)
    page.get_by_text(re.compile("from step 1 to 12")).wait_for()
    page.get_by_text("completions_00012.parquet").wait_for(state="detached")
    assert page.title() != "taken" and page.get_by_text("<b>loud</b>").first.is_visible()

    page.reload()
    page.get_by_text(re.compile("from step 1 to 12")).wait_for()
    page.get_by_role("button", name="Compare").first.click()
    page.locator(".rerank .answer").first.wait_for()
    shown = page.locator(".rerank").inner_text()
    assert "step 1" in shown and "step 12" in shown
    assert [line for line in app.errors if "404 (Not Found)" not in line] == []

    outside = new_page()
    outside.open(f"{address}/watch?run=/etc")
    outside.page.get_by_text("no such run below").wait_for()
