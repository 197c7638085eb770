"""Find -> slider -> evaluate -> export in a real browser, over a tiny real model."""

import json
import re
import zipfile
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from sarm_core import Steering, load_sarm
from sarm_core.demo.corpus import answers as corpus_answers
from sarm_core.score.encoded import encode_once
from tests.browser.conftest import OPEN_TABLE, ROOT
from tests.sarm_core.tiny_models import text_checkpoint

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return text_checkpoint(tmp_path_factory.mktemp("model") / "tiny", n_features=256, k=16)


@pytest.fixture(scope="module")
def address(app_server, model, tmp_path_factory):
    root, folder = tmp_path_factory.mktemp("find"), model
    # Encoded here, so that no step of the browser waits for the model on a loaded machine.
    answers = [answer.conversation for answer in corpus_answers()]
    encode_once(load_sarm(folder), answers, folder=root / "cache" / "encoded")
    env = {"SARM_MODEL": folder, "SARM_DATA": root / "data", "SARM_CACHE": root / "cache"}
    return app_server(ROOT / "app" / "main.py", {name: str(path) for name, path in env.items()})


def drag(app, feature, share):
    """Move a slider with the mouse, from ×1 in its middle to `share` of its track, and let it go."""
    slider = app.page.locator(f'.row.feature[data-feature="{feature}"] input.slider')
    slider.scroll_into_view_if_needed()
    area = slider.bounding_box()
    y = area["y"] + area["height"] / 2
    app.page.mouse.move(area["x"] + area["width"] / 2, y)
    app.page.mouse.down()
    app.page.mouse.move(area["x"] + area["width"] * share, y, steps=10)
    app.page.mouse.up()
    app.finished()


def test_found_features_are_moved_by_mouse_their_effect_shown_opened_and_exported(
    address, model, new_page, tmp_path
):
    app = new_page(width=1280, height=1500)
    page = app.page
    page.set_default_timeout(60_000)
    page.goto(f"{address}/find")
    app.finished()
    page.locator(".st-key-find_go button").click()
    page.get_by_text("pairs of").first.wait_for(timeout=120_000)
    app.finished()
    for row in (1, 2, 3):
        app.tick("[data-testid=stDataFrame]", row)
    named = page.locator("strong").filter(has_text=re.compile(r"^#\d+")).last.inner_text()
    features = [int(number) for number in re.findall(r"#(\d+)", named)]
    assert len(features) == 3
    page.locator(".st-key-find_add_table button").click()
    app.finished()

    page.get_by_role("link", name="Compare and steer", exact=True).click()
    app.finished()
    page.locator(f'.row.feature[data-feature="{features[0]}"]').wait_for()
    for feature in features:
        drag(app, feature, 0.01)
    page.get_by_role("link", name="Evaluate", exact=True).click()
    app.finished()

    boxes = page.locator(".st-key-strip input")
    moved = [value for i in range(boxes.count()) if (value := boxes.nth(i).input_value()) != "1.00"]
    assert len(moved) == 3 and all(float(value) < 0 for value in moved), moved
    page.locator(".st-key-eval_go button").click()
    page.get_by_role("tab", name="Flipped items").wait_for()
    app.finished()
    metrics = page.locator("[data-testid=stMetric]")
    figures = {
        metrics.nth(i).locator("[data-testid=stMetricLabel]").inner_text(): metrics.nth(i)
        .locator("[data-testid=stMetricValue]")
        .inner_text()
        for i in range(metrics.count())
    }
    assert int(figures["Decisions won"]) + int(figures["Decisions lost"]) > 0

    page.get_by_role("tab", name="Flipped items").click()
    app.finished()
    app.tick(OPEN_TABLE, 1)
    page.locator(".st-key-eval_open button").click()
    app.finished()
    page.get_by_role("heading", name="Compare and steer").wait_for()
    assert page.locator(".answer").count() == 2
    assert re.search("chosen", page.locator(".rerank").inner_text())
    link = parse_qs(urlsplit(page.url).query)["s"][0]
    steering = Steering.from_json(json.dumps(json.loads(link)["steering"]))
    assert set(steering.scale) == set(features) and max(steering.scale.values()) < 0

    page.get_by_role("link", name="Evaluate", exact=True).click()
    app.finished()
    page.get_by_role("link", name="Export the steered model").click()
    page.locator(".st-key-export_go button").click()
    page.get_by_text("gives the steered rewards").wait_for()
    app.finished()
    with page.expect_download() as waiting:
        page.locator(".st-key-export_download button").click()
    packed = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(packed)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "out")
    (folder,) = (tmp_path / "out").iterdir()
    answers = [answer.conversation for answer in corpus_answers()][:12]
    scored = load_sarm(model).score(answers)
    wanted = scored.steered(steering).rewards
    assert not np.allclose(wanted, scored.rewards, atol=1e-3), "the steering moves these answers"
    np.testing.assert_allclose(load_sarm(folder).score(answers).rewards, wanted, atol=1e-5)
    assert not [line for line in app.errors if "Failed to load resource" not in line]
