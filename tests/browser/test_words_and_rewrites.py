"""Which words?, and harmless rewrites, in a real browser over a tiny real model."""

import re

import pytest

from app.session.comparison import from_corpus
from app.session.session import FIRST_EXAMPLE
from tests.browser.conftest import OPEN_TABLE, ROOT
from tests.sarm_core.tiny_models import text_checkpoint

pytestmark = pytest.mark.browser

EVIL = 'It is <img src=x onerror="window.hit=1">. So **be** it & "go".\n  - <b>one</b>\n  - two. Three!'


@pytest.fixture(scope="module")
def address(app_server, tmp_path_factory):
    root = tmp_path_factory.mktemp("words")
    folder = text_checkpoint(root / "tiny", n_features=256, k=16)
    env = {"SARM_MODEL": folder, "SARM_DATA": root / "data", "SARM_CACHE": root / "cache"}
    return app_server(ROOT / "app" / "main.py", {name: str(path) for name, path in env.items()})


def test_the_pieces_are_the_answer_and_its_text_stays_text(address, new_page):
    app = new_page(width=1280, height=1400)
    page = app.page
    page.set_default_timeout(60_000)
    page.goto(f"{address}/explain")
    app.finished()
    page.get_by_role("button", name="Paste an answer").click()
    prompt = page.locator("[class*=st-key-explain_prompt] textarea")
    prompt.wait_for()
    assert prompt.input_value() == from_corpus(FIRST_EXAMPLE).question
    page.locator("[class*=st-key-explain_answer] textarea").fill(EVIL)
    page.get_by_role("button", name="Explain", exact=True).click()
    page.locator(".sarm-tokens", has_text="onerror").wait_for()
    app.finished()
    page.locator(".st-key-occlusion_go button").click()
    text = page.locator(".sarm-occlusion")
    text.wait_for()
    app.finished()
    pieces = text.locator("span")
    n = pieces.count()
    assert n == 5
    assert [pieces.nth(i).locator("sup").inner_text() for i in range(n)] == [str(i + 1) for i in range(n)]
    shown = text.evaluate(
        "e => { const c = e.cloneNode(true); c.querySelectorAll('sup').forEach(s => s.remove()); return c.textContent }"
    )
    assert shown == EVIL
    assert page.evaluate("window.hit") is None and text.locator("img, b").count() == 0
    changes = []
    for i in range(n):
        change = re.search(r"changes by ([+−][\d.e−-]+)", pieces.nth(i).get_attribute("title"))
        changes.append(float(change[1].replace("−", "-")))
    alphas = [
        pieces.nth(i).evaluate("e => getComputedStyle(e).backgroundColor").strip("rgba()").split(",")
        for i in range(n)
    ]
    strongest = max(range(n), key=lambda i: abs(changes[i]))
    assert max(range(n), key=lambda i: float(alphas[i][3]) if len(alphas[i]) == 4 else 0.0) == strongest
    scale = re.search(r"Full colour is a change of ([\d.e-]+)", page.locator("body").inner_text())
    assert float(scale[1]) == pytest.approx(abs(changes[strongest]), rel=0.01)
    assert not [line for line in app.errors if "Failed to load resource" not in line]


def test_a_moved_feature_is_silenced_and_a_changed_order_opens(address, new_page):
    app = new_page(width=1280, height=1500)
    page = app.page
    page.set_default_timeout(60_000)
    page.goto(f"{address}/find")
    app.finished()
    page.get_by_text("Harmless rewrites", exact=True).click()
    app.finished()
    page.locator(".st-key-rewrite_most input").fill("8")
    page.locator(".st-key-rewrite_most input").press("Enter")
    app.finished()
    page.locator(".st-key-rewrite_go button").click()
    page.get_by_role("tab", name="Features that moved").wait_for(timeout=240_000)
    app.finished()
    page.get_by_role("tab", name="Features that moved").click()
    app.finished()
    app.tick(OPEN_TABLE, 1)
    picked = re.search(r"#(\d+)", page.locator("[role=tabpanel]:not([hidden]) strong").first.inner_text())[1]
    page.locator(".st-key-rewrite_silence_moved button").click()
    app.finished()
    assert page.locator(f".st-key-strip input[aria-label*='#{picked}']").input_value() == "0.00"
    assert page.get_by_text("Orders changed, steered").is_visible()
    # The table is in another order now: no tick may have gone to another feature.
    assert page.locator(".st-key-rewrite_silence_moved button").count() == 0
    page.get_by_role("tab", name="Orders that changed").click()
    app.finished()
    app.tick(OPEN_TABLE, 1)
    page.locator(".st-key-rewrite_open button").click()
    app.finished()
    page.get_by_role("heading", name="Compare and steer").wait_for()
    answers = page.locator(".rerank").inner_text()
    assert re.search(r"(chosen|rejected), (whitespace|greeting|reordered list|synonyms|suffix)", answers)
    assert not [line for line in app.errors if "Failed to load resource" not in line]
