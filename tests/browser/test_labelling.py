"""Two people label from one queue, one of them reloads half-way, and ten labels by the keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from feature_db import FeatureFilter, Store
from feature_db.labels import Labels
from feature_db.queues import Queues
from feature_db.roles import People
from tests.app.store_builder import store_for
from tests.browser.conftest import ROOT, AppPage, AppServer
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

pytestmark = pytest.mark.browser

Enter = Callable[[str], AppPage]


@pytest.fixture(scope="module")
def label_app(tmp_path_factory: pytest.TempPathFactory, app_server: AppServer) -> tuple[str, Path, int]:
    """The app's address, its store and a queue, on a tiny real model."""
    folder = tmp_path_factory.mktemp("labelling")
    checkpoint = reference_checkpoint(folder / "tiny", n_features=64, k=6, tokenizer=chatml())
    path = store_for(checkpoint, folder / "data")
    with Store.open(path) as store:
        People(store).set_role(None, "chief", "admin")
        queue = Queues(store, "chief").make(
            "all", FeatureFilter(labelled=False, min_firing_count=5), limit=40
        )
    env = {"SARM_MODEL": str(checkpoint), "SARM_DATA": str(folder / "data")}
    return app_server(ROOT / "app" / "main.py", env), path, queue


@pytest.fixture
def enter(label_app: tuple[str, Path, int], new_page: Callable[..., AppPage]) -> Enter:
    """`enter(name)` opens the page in a browser context of that person's own and types the name."""

    def open_it(name: str) -> AppPage:
        app = new_page(width=1280 + len(name))  # another size is another context
        app.open(f"{label_app[0]}/label")
        sign(app, name)
        return app

    return open_it


def sign(app: AppPage, name: str) -> None:
    box = app.page.locator(".st-key-person input")
    box.fill(name)
    box.press("Enter")
    app.page.wait_for_selector(".st-key-label_text_box textarea", timeout=30_000)
    app.settled()


def feature(app: AppPage) -> int:
    text = app.page.locator("h3").filter(has_text=re.compile(r"^Feature \d+$")).first.inner_text()
    return int(text.split()[1])


def next_feature(app: AppPage, before: int) -> int:
    app.page.wait_for_function(
        "before => [...document.querySelectorAll('h3')].some(h => /^Feature \\d+$/.test(h.innerText.trim()) "
        "&& h.innerText.trim() !== `Feature ${before}`)",
        arg=before,
        timeout=20_000,
    )
    app.settled()
    return feature(app)


def test_two_people_at_once_and_a_reload_half_way(enter: Enter, label_app: tuple[str, Path, int]) -> None:
    ann, bo = enter("ann"), enter("bodil")
    first, second = feature(ann), feature(bo)
    assert first != second
    text = bo.page.locator(".st-key-label_text_box textarea")
    text.click()
    bo.page.keyboard.type("half a thought")
    # The cursor is still in the box: only what was sent while typing can come back.
    bo.page.wait_for_timeout(700)
    bo.settled()
    bo.page.reload()
    bo.settled()
    ann.page.locator(".st-key-label_text_box textarea").fill("from ann")
    ann.page.locator(".st-key-label_submit button").click()
    third = next_feature(ann, first)
    assert third not in (first, second)
    sign(bo, "bodil")
    assert feature(bo) == second
    assert bo.page.locator(".st-key-label_text_box textarea").input_value() == "half a thought"
    with Store.open(label_app[1]) as store:
        assert [e.annotator for e in Labels(store, "ann").current(first)] == ["ann"]
        assert Labels(store, "bodil").current(second) == []
    # What Streamlit would fetch from elsewhere is not there on a machine without a network.
    assert not [line for line in ann.errors + bo.errors if "Failed to load resource" not in line]


def test_ten_labels_by_the_keyboard_alone(enter: Enter, label_app: tuple[str, Path, int]) -> None:
    app = enter("keys")
    done = []
    at = feature(app)
    app.page.locator("body").press("Escape")
    app.page.evaluate("document.activeElement.blur()")
    for step in range(10):
        app.page.keyboard.press("t")
        app.page.keyboard.type(f"label number {step}")
        app.page.keyboard.press("Escape")
        app.settled()
        app.page.keyboard.press(str(step % 5 + 1))
        app.settled()
        app.page.keyboard.press("Control+Enter")
        done.append(at)
        at = next_feature(app, at)
    with Store.open(label_app[1]) as store:
        labels = Labels(store, "keys")
        own = [[e for e in labels.current(i) if e.annotator == "keys"] for i in done]
    assert [(e.text, e.verdict) for (e,) in own] == [(f"label number {i}", i % 5 + 1) for i in range(10)]
