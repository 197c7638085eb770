"""What a page says can be read: contrast of captions and badges, headings without a gap, names of buttons."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_FILE_PATH

from app.session.pages import Page
from tests.app.store_builder import store_for
from tests.browser.conftest import ROOT, AppPage, AppServer
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

pytestmark = pytest.mark.browser

LEAST = 4.5
"""WCAG 2.2, 1.4.3, for text of usual size"""
CONTRAST = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const over = (colour, under, share) => {
    pen.globalAlpha = 1;
    pen.fillStyle = `rgb(${under})`;
    pen.fillRect(0, 0, 1, 1);
    pen.globalAlpha = share;
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  for (const node of document.querySelectorAll("[data-testid=stCaptionContainer] :is(p, .stMarkdownBadge)")) {
    if (!node.offsetWidth) continue;
    const chain = [];
    for (let at = node; at; at = at.parentElement) chain.unshift(getComputedStyle(at));
    let [ground, share] = [[255, 255, 255], 1];
    for (const style of chain) {
      share *= Number(style.opacity);
      ground = over(style.backgroundColor, ground, share);
    }
    const text = over(getComputedStyle(node).color, ground, share);
    const [a, b] = [light(text), light(ground)].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), node.textContent.slice(0, 60)]);
  }
  return found;
}"""


RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
AXE = """async (rules) => {
  const found = await axe.run(document, { resultTypes: ["violations"], runOnly: rules });
  const streamlits = "[data-testid=stSidebarNav], :has(> :disabled), :has([aria-disabled=true])";
  return found.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map(({ target, html, failureSummary }) => {
      const node = target.length === 1 && typeof target[0] === "string" ? document.querySelector(target[0]) : null;
      return node?.closest(streamlits) ? null : `${id}: ${html.slice(0, 120)} ${failureSummary.slice(0, 160)}`;
    }))
    .filter(Boolean);
}"""
"""Not ours: the sections of Streamlit's menu are no list items, and labels of what is disabled are pale as it is."""


@pytest.fixture(scope="module")
def address(app_server: AppServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("readable")
    checkpoint = reference_checkpoint(folder / "tiny", n_features=64, k=6, tokenizer=chatml())
    store_for(checkpoint, folder / "data")
    env = {"SARM_MODEL": str(checkpoint), "SARM_DATA": str(folder / "data")}
    return app_server(ROOT / "app" / "main.py", env)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_captions_and_badges_have_contrast_and_headings_no_gap(
    address: str, new_page: Callable[..., AppPage], dark: bool
) -> None:
    app = new_page(dark=dark)
    for page in (
        "",
        "explain",
        "feature?feature=5",
        "features",
        "dictionary",
        "disagreements",
        "naming",
        "model",
    ):
        app.page.goto(f"{address}/{page}")
        app.finished()
        app.page.locator("h1").wait_for()
        found: list[Any] = app.page.evaluate(CONTRAST)
        assert found and [(round(ratio, 2), text) for ratio, text in found if ratio < LEAST] == []
        levels = app.page.locator("h1:visible, h2:visible, h3:visible, h4:visible, h5:visible").evaluate_all(
            "nodes => nodes.map(node => Number(node.tagName[1]))"
        )
        assert levels[0] == 1 and all(b - a <= 1 for a, b in pairwise(levels)), (
            page,
            levels,
        )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious_of_ours_on_any_page(
    address: str, new_page: Callable[..., AppPage], dark: bool
) -> None:
    app = new_page(dark=dark)
    script = AXE_FILE_PATH.read_text(encoding="utf-8")
    looked_at = {Page.FEATURE: "?feature=5", Page.FEATURES: "?f_words=apologies&f_hide_dense=false"}
    found = {}
    for page in Page:
        app.page.goto(
            f"{address}/{page.address if page is not Page.COMPARE else ''}{looked_at.get(page, '')}"
        )
        app.finished()
        app.page.locator("h1").wait_for()
        app.page.evaluate(script)
        if serious := app.page.evaluate(AXE, RULES):
            found[page.address] = serious
    assert not found, "\n".join(f"{page}: {line}" for page in found for line in found[page])
