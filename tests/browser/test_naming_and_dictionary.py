"""Names by a model from the budget to a feature's page, and from the dictionary's report to a feature, in a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from feature_db import ModelRecord
from sarm_core.score.scorer import load_sarm
from tests.browser.conftest import ROOT, ROW_HEIGHT, AppPage, AppServer
from tests.sarm_core.name.naming_server import KEY, NamingServer, good, running
from tests.sarm_core.name.naming_store import naming_store
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server() -> Iterator[NamingServer]:
    with running(good, KEY) as server:
        yield server


@pytest.fixture(scope="module")
def address(server: NamingServer, app_server: AppServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("naming")
    checkpoint = reference_checkpoint(folder / "tiny", n_features=64, k=6, tokenizer=chatml())
    scorer = load_sarm(str(checkpoint))
    (folder / "data").mkdir()
    model = ModelRecord(scorer.fingerprint, "tiny", scorer.n_features)
    naming_store(folder / "data" / f"{scorer.fingerprint[:16]}.db", model=model)
    env = {
        "SARM_MODEL": str(checkpoint),
        "SARM_DATA": str(folder / "data"),
        "SARM_CACHE": str(folder / "cache"),
        "SARM_NAME_URL": server.url,
        "SARM_NAME_MODEL": "judge",
        "SARM_NAME_KEY": KEY,
    }
    return app_server(ROOT / "app" / "main.py", env)


def first_feature(app: AppPage, place: int) -> None:
    """Click the number in the first row of the page's table at this place."""
    table = app.page.locator("[data-testid=stDataFrame]:visible").nth(place)
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box is not None
    app.page.mouse.click(box["x"] + 40, box["y"] + ROW_HEIGHT * 1.5)
    app.page.locator(".st-key-feature input").wait_for(timeout=30_000)
    app.finished()


def test_from_the_budget_to_a_named_feature_and_the_report(
    address: str, server: NamingServer, new_page: Callable[..., AppPage]
) -> None:
    app = new_page()
    app.page.goto(f"{address}/naming", timeout=120_000)
    app.page.get_by_role("button", name="What would it cost?").click(timeout=120_000)
    app.page.get_by_text("About 36 requests").wait_for(timeout=60_000)
    assert not server.times
    app.page.get_by_role("button", name="Start").click()
    app.page.get_by_text("1 of 3 names hold").wait_for(timeout=90_000)
    app.finished()
    assert KEY not in app.page.content()
    first_feature(app, 0)
    assert app.page.locator(".st-key-feature input").input_value() == "0"
    app.page.get_by_text("suggested by judge, prompt v1, held in 100%").first.wait_for(timeout=30_000)
    app.page.goto(f"{address}/dictionary")
    app.page.get_by_text("of the reward's mass falls on features with a name").wait_for(timeout=60_000)
    app.finished()
    first_feature(app, 1)
    assert app.page.locator(".st-key-feature input").input_value() in ("0", "1", "3")
