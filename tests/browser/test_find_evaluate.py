"""Find -> slider -> evaluate -> export in a real browser, over a tiny real model."""

import json
import re
import zipfile
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from sarm_core import Steering, load_sarm
from sarm_core.demo import axes
from sarm_core.encoded import encode_once
from tests.browser.conftest import ROOT, SETTLE_MS
from tests.sarm_core.tiny_models import backbone, chatml, reference_checkpoint

pytestmark = pytest.mark.browser

ROW_HEIGHT = 35


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    tokenizer = chatml()
    return reference_checkpoint(
        tmp_path_factory.mktemp("model") / "tiny",
        model=backbone("llama", vocabulary=len(tokenizer)),
        tokenizer=tokenizer,
        n_features=256,
        k=16,
    )


@pytest.fixture(scope="module")
def address(app_server, model, tmp_path_factory):
    root, folder = tmp_path_factory.mktemp("find"), model
    # Encoded here, so that no step of the browser waits for the model on a loaded machine.
    answers = [answer.conversation for answer in axes.answers()]
    encode_once(load_sarm(folder), answers, folder=root / "cache" / "encoded")
    env = {"SARM_MODEL": folder, "SARM_DATA": root / "data", "SARM_CACHE": root / "cache"}
    return app_server(ROOT / "app" / "main.py", {name: str(path) for name, path in env.items()})


def finished(app):
    """Wait for a run that imports torch, loads a model or draws the bootstrap: long when others compute too."""
    app.page.wait_for_timeout(SETTLE_MS)
    app.page.wait_for_selector(
        "[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]",
        timeout=240_000,
    )
    app.settled()


def tick(app, table, row):
    """The box of a row of the dataframe `table`, counted from 1."""
    box = app.page.locator(f"{table} canvas").first.bounding_box()
    app.page.mouse.click(box["x"] + 18, box["y"] + ROW_HEIGHT * row + ROW_HEIGHT / 2)
    finished(app)


def test_a_found_feature_is_silenced_its_effect_shown_opened_and_exported(address, model, new_page, tmp_path):
    app = new_page(width=1280, height=1500)
    page = app.page
    page.set_default_timeout(60_000)
    page.goto(f"{address}/find")
    finished(app)
    page.locator(".st-key-find_go button").click()
    page.get_by_text("pairs of").first.wait_for(timeout=120_000)
    finished(app)
    for row in (1, 2, 3):
        tick(app, "[data-testid=stDataFrame]", row)
    page.locator(".st-key-find_silence_table button").click()
    finished(app)
    page.get_by_role("link", name="Evaluate what the sliders change").click()
    finished(app)

    boxes = page.locator(".st-key-strip input")
    assert boxes.count() >= 1 and {boxes.nth(i).input_value() for i in range(boxes.count())} == {"0.00"}
    page.locator(".st-key-eval_go button").click()
    page.get_by_role("tab", name="Flipped items").wait_for()
    finished(app)
    metrics = page.locator("[data-testid=stMetric]")
    figures = {
        metrics.nth(i).locator("[data-testid=stMetricLabel]").inner_text(): metrics.nth(i)
        .locator("[data-testid=stMetricValue]")
        .inner_text()
        for i in range(metrics.count())
    }
    assert int(figures["Decisions won"]) + int(figures["Decisions lost"]) > 0

    page.get_by_role("tab", name="Flipped items").click()
    finished(app)
    tick(app, "[data-testid=stTabs] [role=tabpanel]:not([hidden]) [data-testid=stDataFrame]", 1)
    page.locator(".st-key-eval_open button").click()
    finished(app)
    page.get_by_role("heading", name="Compare and steer").wait_for()
    assert page.locator(".answer").count() == 2
    assert re.search("chosen", page.locator(".rerank").inner_text())
    link = parse_qs(urlsplit(page.url).query)["s"][0]
    steering = Steering.from_json(json.dumps(json.loads(link)["steering"]))
    assert len(steering.scale) >= 1 and set(steering.scale.values()) == {0.0}

    page.get_by_role("link", name="Evaluate", exact=True).click()
    finished(app)
    page.get_by_role("link", name="Export the steered model").click()
    page.locator(".st-key-export_go button").click()
    page.get_by_text("gives the steered rewards").wait_for()
    finished(app)
    with page.expect_download() as waiting:
        page.locator(".st-key-export_download button").click()
    packed = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(packed)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "out")
    (folder,) = (tmp_path / "out").iterdir()
    answers = [answer.conversation for answer in axes.answers()][:12]
    scored = load_sarm(model).score(answers)
    wanted = scored.steered(steering).rewards
    assert not np.allclose(wanted, scored.rewards, atol=1e-3), "the steering moves these answers"
    np.testing.assert_allclose(load_sarm(folder).score(answers).rewards, wanted, atol=1e-5)
    assert not [line for line in app.errors if "Failed to load resource" not in line]
