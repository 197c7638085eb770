"""Page Build's last click in a real browser: the model that was built is the one that Compare runs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.build.job import Asked
from sarm_core import load_sarm
from sarm_core.train.build import run_build
from tests.browser.conftest import ROOT, AppPage, AppServer
from tests.sarm_core.tiny_models import text_checkpoint
from tests.sarm_core.train.test_build import config, place  # noqa: F401  a fixture

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def built(place: Path) -> Path:  # noqa: F811
    return run_build(config(place, place / "polite-or-not"))


@pytest.fixture(scope="module")
def address(
    app_server: AppServer,
    built: Path,
    place: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """An app on another model, with a build that ended."""
    root = tmp_path_factory.mktemp("app")
    job = root / "cache" / "builds" / "20261128-120000-abcdef"
    job.mkdir(parents=True)
    made = config(place, built)
    asked = Asked(tuple(made.pairs), made.backbone, made.sae, made.out)
    (job / "job.json").write_text(json.dumps({"asked": vars(asked), "pid": 0, "began": time.time()}))
    model = text_checkpoint(root / "before", n_features=256, k=16)
    env = {"SARM_MODEL": model, "SARM_DATA": root / "data", "SARM_CACHE": root / "cache"}
    return app_server(ROOT / "app" / "main.py", {name: str(path) for name, path in env.items()})


def test_open_it_on_compare_runs_the_model_that_was_built(
    address: str, built: Path, new_page: Callable[..., AppPage]
) -> None:
    app = new_page()
    page = app.page
    page.set_default_timeout(60_000)
    app.open(f"{address}/build")
    page.get_by_role("button", name="Open it on Compare").click()
    page.get_by_text(f"{built.name} · 2 blocks, 96 features").wait_for()
    page.locator(".rerank .answer").first.wait_for()
    app.finished()
    assert urlsplit(page.url).path in ("/", "/compare")
    # Streamlit looks for its own server below the page's address first, and logs that it is not there.
    assert [line for line in app.errors if "404 (Not Found)" not in line] == []
    question = page.locator(".st-key-prompt_box").inner_text().strip()
    shown = [
        (row.locator(".text").text_content(), row.locator(".figures").get_attribute("title"))
        for row in page.locator(".rerank .answer").all()
    ]
    wanted = load_sarm(built).score([{"prompt": question, "response": text} for text, _ in shown]).rewards
    figures = [re.findall(r"[-−+]?[\d,]+\.?\d*", title or "")[0] for _, title in shown]
    rewards = [float(figure.replace("−", "-").replace(",", "")) for figure in figures]
    assert len(rewards) > 1 and rewards == sorted(rewards, reverse=True)
    last_digit = 10.0 ** -len(figures[0].partition(".")[2])
    assert rewards == pytest.approx(wanted, abs=last_digit)
