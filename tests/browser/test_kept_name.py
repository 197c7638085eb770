"""A reload forgets nobody: the browser keeps the typed name, until it is taken out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.store_builder import store_for
from tests.browser.conftest import ROOT, AppPage, AppServer
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

pytestmark = pytest.mark.browser


def test_the_name_is_there_after_a_reload_and_gone_once_taken_out(
    app_server: AppServer, new_page: Callable[..., AppPage], tmp_path: Path
) -> None:
    checkpoint = reference_checkpoint(tmp_path / "tiny", n_features=64, k=6, tokenizer=chatml())
    store_for(checkpoint, tmp_path / "data")
    env = {"SARM_MODEL": str(checkpoint), "SARM_DATA": str(tmp_path / "data")}
    app = new_page()

    def reload() -> None:
        app.page.goto(f"{app_server(ROOT / 'app' / 'main.py', env)}/features")
        app.finished()
        app.page.locator(".st-key-f_words input").wait_for()
        app.finished()

    def name() -> str:
        return app.page.locator(".st-key-person input").input_value()

    def type_name(text: str) -> None:
        app.page.locator(".st-key-person input").fill(text)
        app.page.locator(".st-key-person input").press("Enter")
        app.finished()

    reload()
    assert name() == ""
    type_name("ann")
    reload()
    assert name() == "ann"
    assert app.page.get_by_text("Role:").is_visible()
    app.page.get_by_role("link", name="Disagreements").click()
    app.page.get_by_role("heading", name="Disagreements").wait_for()
    assert name() == "ann"
    type_name("")
    reload()
    assert name() == ""
