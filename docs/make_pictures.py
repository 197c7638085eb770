"""Take the README's pictures from the running app: `python docs/make_pictures.py` (needs Chromium and playwright)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM, running_app

ROOT = Path(__file__).resolve().parents[1]

SETTLED = "[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]"
IMAGES = Path(__file__).parent / "images"


def settle(page: Page) -> None:
    """Wait until the server has answered and the page has drawn."""
    page.wait_for_timeout(400)
    page.wait_for_selector(SETTLED, timeout=120_000)
    page.wait_for_timeout(1_200)


def compare(page: Page, address: str) -> None:
    """The first page with two sliders moved, so that answers have changed places."""
    page.goto(address)
    settle(page)
    boxes = page.locator(".st-key-rerank input[type=number]")
    for index, value in ((0, "0"), (1, "2.5")):
        boxes.nth(index).fill(value)
        boxes.nth(index).press("Enter")
        settle(page)
    page.screenshot(path=IMAGES / "compare.png")


def propose(page: Page, address: str) -> None:
    """The first example's last answer moved to the top by keys, with what is proposed for it."""
    page.goto(address)
    settle(page)
    page.locator(".answer .grip").last.focus()
    page.keyboard.press("Home")
    settle(page)
    page.locator(".rerank").get_by_role("button", name="Propose sliders").click()
    settle(page)
    page.get_by_text("Known-good names only").wait_for()
    settle(page)
    first, last = (page.locator(f".st-key-{key}").bounding_box() for key in ("rerank", "wishes"))
    assert first is not None and last is not None
    below = {"x": first["x"] - 12, "width": first["width"] + 24, "y": first["y"] - 8}
    page.screenshot(
        path=IMAGES / "propose.png", clip={**below, "height": last["y"] + last["height"] - first["y"] + 16}
    )


def feature(page: Page, address: str) -> None:
    """The page of the feature that separates the first example's answers most."""
    page.goto(address)
    settle(page)
    first = page.locator(".st-key-rerank").get_by_text("#").first.inner_text().strip().lstrip("#")
    page.set_viewport_size({"width": 1280, "height": 1300})
    page.goto(f"{address}/feature?feature={first}")
    settle(page)
    page.screenshot(path=IMAGES / "feature.png")


def main() -> None:
    """Start the app in a scratch folder, take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as driver:
        folder = Path(scratch)
        env = {"SARM_DATA": str(folder / "data")}
        with running_app(ROOT / "app" / "main.py", folder, env) as address:
            browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 1000}, device_scale_factor=1)
            compare(page, address)
            feature(page, address)
            page.set_viewport_size({"width": 1280, "height": 2000})
            propose(page, address)
            browser.close()


if __name__ == "__main__":
    main()
