"""A comparison that is shared: the page opens offline and ranks as the app does, the file opens elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sarm_core.share.page import shared_page
from sarm_core.share.shared import Shared
from sarm_core.steering import Steering
from tests.browser.conftest import ROOT, AppPage, AppServer
from tests.browser.test_compare_page import order, panel, popover, start, texts
from tests.sarm_core.share.test_shared import HOSTILE, shared
from tests.sarm_core.tiny_models import text_checkpoint

pytestmark = pytest.mark.browser

DOWN = "for (const host of document.querySelectorAll('#ranking')) host.scrollIntoView()"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_checkpoint(tmp_path_factory.mktemp("shared") / "tiny")


@pytest.fixture(scope="module")
def installations(app_server: AppServer, model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two of one model that share nothing, and one of another model."""
    other = text_checkpoint(tmp_path_factory.mktemp("shared") / "other", seed=7)
    return [
        app_server(
            ROOT / "app" / "main.py",
            {
                "SARM_MODEL": str(folder),
                "SARM_DATA": str(tmp_path_factory.mktemp("data")),
                "SARM_CACHE": str(tmp_path_factory.mktemp("cache")),
            },
        )
        for folder in (model, model, other)
    ]


def offline(browser: Any, file: Path, **options: Any) -> AppPage:
    """The file in a browser without a network; what it asks for is an error."""
    app = AppPage(browser.new_context(offline=True, **options).new_page())
    app.page.on("request", lambda asked: asked.url == file.as_uri() or app.errors.append(asked.url))
    app.page.goto(file.as_uri())
    app.page.wait_for_selector(".rerank .answer")
    return app


def leads(app: AppPage) -> dict[str, str]:
    """Letter -> margin as it is printed."""
    rows = app.page.locator(".rerank .answer").evaluate_all(
        "rows => rows.map(row => [row.querySelector('.title').textContent.split(' ')[0],"
        " row.querySelector('.lead').textContent])"
    )
    return dict(rows)


def set_box(app: AppPage, feature: int, value: str) -> None:
    box = app.page.locator(f".row.feature[data-feature='{feature}'] input.box")
    box.fill(value)
    box.press("Enter")


def save(app: AppPage, key: str, folder: Path) -> Path:
    with app.page.expect_download() as waiting:
        app.page.locator(f".st-key-{key} button:visible").first.click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def upload_file(app: AppPage, path: Path) -> Any:
    body = popover(app, "Upload")
    app.page.locator("[data-testid=stPopoverBody] input[type=file]").set_input_files(str(path))
    app.settled()
    return body


def test_a_page_is_sent_opened_offline_and_opened_again_elsewhere(
    installations: list[str], new_page: Callable[..., AppPage], browser: Any, tmp_path: Path
) -> None:
    app = new_page(height=1400, accept_downloads=True)
    start(app, installations[0])
    body = popover(app, "Paste")
    body.get_by_label("Prompt", exact=True).fill("Which one?")
    body.get_by_label("Answers, separated").fill(
        "The first.\n---\nThe second, since it is short.\n---\nNeither <b>is</b>."
    )
    body.get_by_role("button", name="Compare").click()
    body.wait_for(state="hidden")
    app.settled()
    feature = int(next(iter(panel(app))))
    set_box(app, feature, "-1")
    app.settled()
    popover(app, "Share")
    assert "on this computer only" in app.page.locator("[data-testid=stPopoverBody]").inner_text()
    link = app.page.locator("[data-testid=stCode] code").inner_text().strip()
    page, file = save(app, "share_page", tmp_path), save(app, "share_file", tmp_path)
    size = app.page.locator(".st-key-share_page button").inner_text()
    assert f"{round(page.stat().st_size / 1e3)} KB" in size

    sent = offline(browser, page)
    assert (order(sent), leads(sent), panel(sent)) == (order(app), leads(app), panel(app))
    for value in ("2.5", "0"):
        for each in (app, sent):
            set_box(each, feature, value)
        app.settled()
        assert (order(sent), leads(sent)) == (order(app), leads(app))
    assert app.page.get_by_text("sum to the margin").inner_text().split("margin ")[1].split(" ")[0] == (
        sent.page.get_by_text("sum to the margin")
        .inner_text()
        .split("margin ")[1]
        .split(" ")[0]
        .replace("\u2212", "-")
    )
    sent.page.get_by_role("button", name="Undo").click()
    sent.page.get_by_role("button", name="Undo").click()
    assert panel(sent)[str(feature)] == "-1"
    assert sent.errors == []

    # What travels opens where nothing of it was, and so does the link that was sent before.
    second = new_page(height=1400)
    start(second, link.replace(installations[0], installations[1]))
    assert "not in this store" in second.page.locator(".st-key-messages").inner_text()
    body = upload_file(second, page)
    body.wait_for(state="hidden")
    second.settled()
    assert second.page.get_by_text("the rewards are those of comparison.html").count() == 1
    assert (texts(second), order(second), leads(second)) == (texts(sent), order(sent), leads(sent))
    third = new_page(height=1400)
    start(third, link.replace(installations[0], installations[1]))
    assert texts(third) == texts(sent) and "not in this store" not in third.page.inner_text("body")

    # Another model says so, and scores the texts when it is asked to.
    other = new_page(height=1400)
    start(other, installations[2])
    body = upload_file(other, file)
    assert "the model at hand is" in body.inner_text()
    assert texts(other) != texts(sent)
    body.get_by_role("button", name="Score its texts").click()
    other.finished()
    assert texts(other) == texts(sent)
    bad = json.loads(file.read_text())
    bad["scored"][0]["reward"] += 1
    (tmp_path / "bad.json").write_text(json.dumps(bad))
    body = upload_file(other, tmp_path / "bad.json")
    assert "bad.json: scored[0].reward is" in body.inner_text()
    for each in (app, second, third, other):
        assert [line for line in each.errors if "404 (Not Found)" not in line] == []


@pytest.mark.parametrize(("width", "dark"), [(380, True), (1280, False)])
def test_hostile_texts_stay_texts_and_the_page_reads_at_any_width(
    browser: Any, tmp_path: Path, width: int, dark: bool
) -> None:
    made = shared(text=HOSTILE, steering=Steering({3: 0.5}))
    file = tmp_path / "hostile.html"
    file.write_text(shared_page(made), encoding="utf-8")
    app = offline(
        browser, file, viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
    )
    page = app.page
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0 and page.evaluate("document.scripts.length") == 4
    assert page.locator(".answer .text").first.text_content().startswith(HOSTILE[:40])
    assert page.evaluate("document.documentElement.scrollWidth") == width
    ink, ground = (
        page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor")
    )
    light = [sum(map(int, colour[4:-1].split(","))) for colour in (ink, ground)]
    assert (light[0] > light[1]) == dark
    # By keyboard: a slider, then the other pair.
    slider = page.locator(".row.feature[data-feature='3'] input.slider")
    slider.focus()
    before = leads(app)
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(400)
    assert leads(app) != before
    page.get_by_label("Compare", exact=True).select_option("2")
    assert page.locator("#sides .words").inner_text().startswith(("C is above", "A is above", "B is above"))
    page.locator(".bar-row button.label").first.click()
    assert page.locator("#feature tbody tr").count() == 3
    # What the policy is for: even markup that got in would run nothing and ask nobody.
    picture = '<img src="http://127.0.0.1:9/x" onerror="window.hacked=3">'
    page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", picture)
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None
    refused = [
        line for line in app.errors if line != "http://127.0.0.1:9/x"
    ]  # which was asked for, and not sent
    assert refused and all("Content Security Policy" in line for line in refused)


def test_the_page_counts_as_the_engine_does(browser: Any, tmp_path: Path) -> None:
    for seed in range(4):
        made = shared(5, seed=seed)
        file = tmp_path / f"{seed}.html"
        file.write_text(shared_page(made), encoding="utf-8")
        app = offline(browser, file)
        steered = made.steering.apply(made.matrix)
        rewards = steered.exact_rewards
        assert order(app) == [chr(65 + int(i)) for i in np.argsort(-rewards, kind="stable")]
        left, right = made.compared
        said = app.page.get_by_text("sum to the margin").inner_text()
        margin = float(said.split("margin ")[1].split(" ")[0].replace("\u2212", "-"))
        assert margin == pytest.approx(rewards[left] - rewards[right], abs=6e-5)
        assert f"all {len(steered.difference(left, right)[0])} features" in said
        assert float(said.split("error ")[1].split(")")[0]) < 1e-6
        assert Shared.from_json(file.read_text()).steering == made.steering
        assert json.loads(made.to_json())["format"] == "sarm-comparison/1" and app.errors == []
