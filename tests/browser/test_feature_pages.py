"""Finding a feature, reading it, adding it to the sliders and coming back by link, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from feature_db import Store
from tests.app.store_builder import DENSE, HOSTILE_FEATURE, LABELLED, store_for
from tests.browser.conftest import ROOT, AppPage, AppServer
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

pytestmark = pytest.mark.browser

Open = Callable[..., AppPage]


@pytest.fixture(scope="session")
def feature_app(tmp_path_factory: pytest.TempPathFactory, app_server: AppServer) -> tuple[str, Path]:
    """The app's address and its store, on a tiny real model."""
    folder = tmp_path_factory.mktemp("features")
    checkpoint = reference_checkpoint(folder / "tiny", n_features=64, k=6, tokenizer=chatml())
    store = store_for(checkpoint, folder / "data")
    env = {"SARM_MODEL": str(checkpoint), "SARM_DATA": str(folder / "data")}
    return app_server(ROOT / "app" / "main.py", env), store


@pytest.fixture
def open_page(feature_app: tuple[str, Path], new_page: Callable[..., AppPage]) -> Open:
    def open_it(path: str, **options: Any) -> AppPage:
        app = new_page(**options)
        # The first page of a server waits for torch and the model: patience here, not in every test.
        app.page.goto(f"{feature_app[0]}/{path}", timeout=120_000)
        app.page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=120_000)
        app.settled()
        return app

    return open_it


def query(app: AppPage) -> dict[str, list[str]]:
    return parse_qs(urlparse(app.page.url).query)


def number(app: AppPage) -> str:
    return app.page.locator(".st-key-feature input").input_value()


def wait_for_feature(app: AppPage, feature: int) -> None:
    app.page.wait_for_function(
        "wanted => document.querySelector('.st-key-feature input')?.value === wanted",
        arg=str(feature),
        timeout=20_000,
    )
    app.settled()


def test_a_link_opens_the_feature_and_before_after_change_the_link(open_page: Open) -> None:
    app = open_page(f"feature?feature={LABELLED}")
    wait_for_feature(app, LABELLED)
    assert app.page.get_by_text("refusal wording", exact=True).is_visible()
    app.page.locator(".st-key-after button").click()
    wait_for_feature(app, LABELLED + 1)
    assert query(app)["feature"] == [str(LABELLED + 1)]
    app.page.reload()
    wait_for_feature(app, LABELLED + 1)
    app.page.go_back()
    wait_for_feature(app, LABELLED)


def test_a_neighbour_is_a_link_to_its_page(open_page: Open) -> None:
    app = open_page(f"feature?feature={LABELLED}")
    wait_for_feature(app, LABELLED)
    link = app.page.locator('[class*="st-key-related_0"] a').nth(1)
    assert "#7 Python, sorted; has code (suggested)" in link.inner_text()
    app.page.get_by_role("radio", name="Tokens of all", exact=True).click()
    app.settled()
    link.click()
    wait_for_feature(app, 7)
    assert query(app)["feature"] == ["7"] and query(app)["context"] == ["Tokens of all"]
    assert app.page.locator(".sarm-names .suggested b").inner_text() == "Python, sorted; has code"


def test_examples_by_band_and_context_come_back_by_link(open_page: Open) -> None:
    app = open_page(f"feature?feature={LABELLED}")
    wait_for_feature(app, LABELLED)
    first = app.page.locator(".sarm-example").first
    assert "<|im_" not in first.inner_text() and "z = " not in first.inner_text()
    first.locator(".head summary").click()
    assert "z = " in first.inner_text()
    app.page.get_by_role("radio", name="Tokens of all", exact=True).click()
    app.page.locator(".sarm-tokens").first.wait_for()
    app.page.locator(".st-key-examples button").nth(1).click()
    app.settled()
    assert app.page.locator(".st-key-examples button").nth(1).inner_text() == "Strong"
    shown = app.page.locator(".sarm-example").all_inner_texts()
    again = open_page(urlparse(app.page.url).path.lstrip("/") + "?" + urlparse(app.page.url).query)
    wait_for_feature(again, LABELLED)
    assert again.page.locator(".sarm-example").all_inner_texts() == shown
    assert shown and all("\nstrong\n" in text and "<|im_start|>" in text for text in shown)


def test_hostile_labels_and_texts_run_nothing(open_page: Open) -> None:
    app = open_page(f"feature?feature={HOSTILE_FEATURE}")
    wait_for_feature(app, HOSTILE_FEATURE)
    assert app.page.get_by_text("<script>document.body", exact=False).count() >= 2
    app.page.goto(app.page.url.replace("/feature?", "/features?").split("?")[0] + "?f_named=labelled")
    app.settled()
    assert app.page.evaluate("document.body.dataset.hacked") is None
    assert app.page.locator(".sarm-example img, .sarm-names img").count() == 0


def test_from_own_text_to_the_feature_to_the_sliders_and_back(open_page: Open) -> None:
    app = open_page("features")
    app.page.get_by_role("button", name="Run your own text").click()
    app.page.get_by_label("Prompt", exact=True).fill("Is it safe?")
    app.page.get_by_label("Answer", exact=True).fill("Yes, if the room is aired.")
    app.page.get_by_role("button", name="Show what fires").click()
    app.page.get_by_text("together they give the reward").wait_for(timeout=20_000)
    app.settled()
    address = query(app)["text"]
    # The numbers are buttons on a canvas: the first row is under the header.
    grid = app.page.locator("[data-testid=stDataFrame] canvas").first
    grid.scroll_into_view_if_needed()
    box = grid.bounding_box()
    app.page.mouse.click(box["x"] + 35 + 42, box["y"] + 35 + 17)
    app.page.wait_for_selector(".st-key-feature input", timeout=20_000)
    app.settled()
    feature = int(number(app))
    assert app.page.get_by_text("You came from your own text").is_visible()
    app.page.get_by_role("button", name="Add to sliders").click()
    app.page.get_by_role("button", name="On the sliders").wait_for(timeout=20_000)
    app.settled()
    app.page.get_by_role("link", name="Compare and steer").first.click()
    app.page.wait_for_selector(".rerank .panel", timeout=30_000)
    assert f"#{feature}" in app.page.locator(".rerank .panel").inner_text()
    app.page.get_by_role("link", name="Features", exact=True).click()
    app.page.get_by_text("together they give the reward").wait_for(timeout=20_000)
    app.settled()
    assert query(app)["text"] == address


def test_a_box_on_the_map_filters_the_table(open_page: Open, feature_app: tuple[str, Path]) -> None:
    app = open_page("features?f_hide_dense=false")
    app.page.wait_for_selector(".st-key-f_map .nsewdrag", timeout=30_000)
    app.settled()
    area = app.page.locator(".st-key-f_map .nsewdrag").first.bounding_box()
    # Everything right of the middle of the density axis.
    app.page.mouse.move(area["x"] + area["width"] * 0.5, area["y"] + 2)
    app.page.mouse.down()
    app.page.mouse.move(area["x"] + area["width"] * 0.9, area["y"] + area["height"] * 0.5, steps=4)
    app.page.mouse.move(area["x"] + area["width"] - 1, area["y"] + area["height"] - 2, steps=4)
    app.page.mouse.up()
    app.page.get_by_text("in the selection on the map").wait_for(timeout=20_000)
    text = app.page.get_by_text("in the selection on the map").inner_text()
    shown = int(text.split(" of ")[0])
    with Store.open(feature_app[1]) as store:
        ordered = [row.density for row in store.features_page("density", limit=64).rows]
        dense = store.feature(DENSE).record.density
    assert 1 <= shown < 64 and dense == ordered[0]


def test_filters_and_page_come_back_by_link(open_page: Open) -> None:
    app = open_page("features?f_sort=density&f_page=2&f_hide_dense=false")
    assert app.page.get_by_text("rows 26 to 50").is_visible()
    app.page.locator(".st-key-f_words input").fill("apologies")
    app.page.locator(".st-key-f_words input").press("Enter")
    app.page.get_by_text("1 of 64 features").wait_for(timeout=20_000)
    app.settled()
    assert query(app)["f_words"] == ["apologies"] and "f_page" not in query(app)
    app.page.reload()
    app.page.get_by_text("1 of 64 features").wait_for(timeout=20_000)


def test_a_search_by_meaning_is_chosen_by_a_click_and_comes_back_by_link(open_page: Open) -> None:
    app = open_page("features")
    app.page.locator(".st-key-f_words input").fill("saying sorry")
    app.page.locator(".st-key-f_words input").press("Enter")
    app.page.get_by_text("by a name like it").wait_for(timeout=20_000)
    app.page.locator(".st-key-f_by").get_by_text("meaning").click()
    app.page.get_by_text("called something like this").wait_for(timeout=20_000)
    app.settled()
    assert query(app)["f_by"] == ["meaning"] and query(app)["f_words"] == ["saying sorry"]
    app.page.reload()
    app.page.get_by_text("called something like this").wait_for(timeout=20_000)


def test_a_search_in_texts_is_chosen_by_a_click_and_comes_back_by_link(open_page: Open) -> None:
    app = open_page("features")
    app.page.locator(".st-key-f_words input").fill("photosynthesis")
    app.page.locator(".st-key-f_words input").press("Enter")
    app.settled()
    app.page.locator(".st-key-f_by").get_by_text("texts").click()
    app.page.get_by_text("features fire in texts with these words").wait_for(timeout=20_000)
    app.settled()
    assert query(app)["f_by"] == ["texts"] and query(app)["f_words"] == ["photosynthesis"]
    app.page.reload()
    app.page.get_by_text("features fire in texts with these words").wait_for(timeout=20_000)


def test_a_list_is_renamed_and_deleted_by_who_made_it(open_page: Open, feature_app: tuple[str, Path]) -> None:
    with Store.open(feature_app[1]) as store:
        store.add_to_list(store.make_list("harm", "ann"), 9, by="ann")
    app = open_page("features")
    app.page.locator(".st-key-person input").fill("ann")
    app.page.locator(".st-key-person input").press("Enter")
    app.settled()
    app.page.locator(".st-key-f_list").get_by_role("combobox").click()
    app.page.get_by_role("option", name="harm (ann)").click()
    app.page.get_by_text("1 of 64 features").wait_for(timeout=20_000)
    app.page.get_by_role("button", name="Manage list").click()
    box = app.page.get_by_test_id("stPopoverBody").get_by_label("Name", exact=True)
    box.fill("danger")
    box.press("Enter")
    app.settled()
    app.page.get_by_role("button", name="Rename").click()
    app.page.get_by_text("has its new name").wait_for(timeout=20_000)
    app.settled()
    app.page.locator(".st-key-f_list").get_by_role("combobox").click()
    app.page.get_by_role("option", name="danger (ann)").click()
    app.page.get_by_text("1 of 64 features").wait_for(timeout=20_000)
    app.settled()
    app.page.get_by_role("button", name="Manage list").click()
    app.page.get_by_role("button", name="Delete the list").click()
    app.page.get_by_text("The list “danger” is deleted.").wait_for(timeout=20_000)
    with Store.open(feature_app[1]) as store:
        assert store.lists("ann") == []


@pytest.mark.parametrize("width", [380, 1280])
def test_nothing_is_wider_than_the_window(open_page: Open, width: int) -> None:
    for path in ("features", "features?f_by=meaning&f_words=sorry", f"feature?feature={LABELLED}"):
        app = open_page(path, width=width)
        assert app.page.evaluate("document.documentElement.scrollWidth") <= width
