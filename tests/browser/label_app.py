"""What browser tests of the Label page do over and over."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from feature_db import Store
from feature_db.label.labels import Labels
from tests.browser.conftest import AppPage

Enter = Callable[[str], AppPage]
TEXT = "^What does it fire on"


def sign(app: AppPage, name: str) -> None:
    box = app.page.locator(".st-key-person input")
    box.fill(name)
    box.press("Enter")
    app.page.wait_for_selector(".st-key-label_text_box textarea", timeout=30_000)
    app.settled()


def feature(app: AppPage) -> int:
    text = app.page.locator("h2").filter(has_text=re.compile(r"^Feature \d+$")).first.inner_text()
    return int(text.split()[1])


def next_feature(app: AppPage, before: int) -> int:
    app.page.wait_for_function(
        "before => [...document.querySelectorAll('h2')].some(h => /^Feature \\d+$/.test(h.innerText.trim()) "
        "&& h.innerText.trim() !== `Feature ${before}`)",
        arg=before,
        timeout=20_000,
    )
    app.settled()
    return feature(app)


def draft_becomes(path: Path, name: str, of: int, text: str) -> None:
    deadline = time.monotonic() + 20
    draft = None
    while time.monotonic() < deadline:
        with Store.open(path) as store:
            draft = (Labels(store, name).last_draft(of) or {}).get("text")
        if draft == text:
            return
        time.sleep(0.1)
    raise AssertionError(f"the draft is {draft!r}, not {text!r}")


def box(app: AppPage, name: str) -> Any:
    return app.page.get_by_role("textbox", name=re.compile(name)).first


def write(app: AppPage, name: str, text: str) -> None:
    """Typed, with the cursor left in the box."""
    box(app, name).click()
    app.page.keyboard.type(text)
    app.page.wait_for_timeout(700)


def becomes(app: AppPage, name: str, text: str) -> None:
    deadline, held = time.monotonic() + 30, None
    while time.monotonic() < deadline:
        held = box(app, name).input_value()
        if held == text:
            return
        app.page.wait_for_timeout(100)
    raise AssertionError(f"{name}: {held!r}, not {text!r}")


def signed_at(app: AppPage, name: str) -> None:
    person = app.page.locator(".st-key-person input")
    person.fill(name)
    person.press("Enter")
    app.settled()
