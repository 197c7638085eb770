"""Labelling on one screen: no scroll, by the keyboard alone or the mouse, and nothing typed is lost or left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from feature_db import Store
from feature_db.label.labels import Labels
from tests.browser.conftest import AppPage
from tests.browser.label_app import TEXT, box, feature, next_feature, sign

pytestmark = pytest.mark.browser

LABELS = 15
SUBMIT = ".st-key-label_submit button"
CATEGORIES = "[class*=st-key-label_][class*=_category] button[role=radio]"
VERDICTS = ("none", "several", "one mixed", "nearly one", "one")
SCROLLED = """() => {
  const tops = ["stMain", "stApp"].map(id => document.querySelector(`[data-testid=${id}]`)?.scrollTop ?? 0);
  const block = document.querySelector(".stMainBlockContainer").scrollTop;
  const pane = document.querySelector(".st-key-label_left").scrollTop;
  return [window.scrollY, document.documentElement.scrollTop, ...tops, block, pane];
}"""
PRESS_AND_LOOK = """async () => {
  document.querySelector(".st-key-label_submit button").click();
  await new Promise(go => setTimeout(go, 30));
  const form = document.querySelector(".st-key-label_form");
  return [form.inert, getComputedStyle(document.querySelector(".st-key-label_submit button"), "::after").content];
}"""


def in_sight(app: AppPage, selector: str) -> bool:
    found = app.page.locator(selector).bounding_box()
    size = app.page.viewport_size
    return bool(found and found["y"] >= 0 and found["y"] + found["height"] <= size["height"])


def on_one_screen(app: AppPage) -> None:
    assert app.page.evaluate(SCROLLED) == [0] * 6
    assert in_sight(app, SUBMIT)


def own_labels(path: Path, name: str, of: list[int]) -> list[tuple[str | None, int | None, str | None]]:
    with Store.open(path) as store:
        labels = Labels(store, name)
        assert labels.drafts() == []
        own = [[e for e in labels.current(i) if e.annotator == name] for i in of]
    return [(event.text, event.verdict, event.category) for (event,) in own]


def at_800(label_app: tuple[str, Path, int], new_page: Callable[..., AppPage], name: str) -> AppPage:
    app = new_page(width=1280, height=800)
    app.open(f"{label_app[0]}/label?queue={label_app[2]}")
    sign(app, name)
    return app


def test_fifteen_labels_by_the_keyboard_alone(
    label_app: tuple[str, Path, int], new_page: Callable[..., AppPage]
) -> None:
    app = at_800(label_app, new_page, "keys")
    done, at = [], feature(app)
    app.page.evaluate("document.activeElement.blur()")
    for step in range(LABELS):
        on_one_screen(app)
        app.page.keyboard.press("t")
        app.page.keyboard.type(f"label number {step}")
        app.page.keyboard.press("Escape")
        app.settled()
        app.page.keyboard.press(str(step % 5 + 1))
        app.settled()
        app.page.keyboard.press(f"Shift+Digit{step % 3 + 1}")
        app.page.keyboard.press("8")
        app.settled()
        if not step:  # what the colour says, said to a screen reader
            verdicts = app.page.get_by_role("radiogroup", name="Verdict: has it one meaning?")
            verdicts.get_by_role("radio", name="none", checked=True).wait_for()
            assert verdicts.get_by_role("radio", checked=True).count() == 1
        app.page.keyboard.press("Control+Enter")
        done.append(at)
        at = next_feature(app, at)
    kinds = ("style", "safety", "content")
    assert own_labels(label_app[1], "keys", done) == [
        (f"label number {i}", i % 5 + 1, kinds[i % 3]) for i in range(LABELS)
    ]
    with Store.open(label_app[1]) as store:
        assert {Labels(store, "keys").own(1)[0].confidence} == {0.75}


def test_fifteen_labels_by_the_mouse_with_a_pill_in_focus_and_nothing_left_behind(
    label_app: tuple[str, Path, int], new_page: Callable[..., AppPage]
) -> None:
    app = at_800(label_app, new_page, "mouse")
    done, at = [], feature(app)
    for step in range(LABELS):
        on_one_screen(app)
        text = box(app, TEXT)
        text.click()
        app.page.keyboard.type(f"pointed at {step}")
        app.page.get_by_role("radio", name=VERDICTS[step % 5], exact=True).click()
        text.click()  # typed while the press is still being answered
        app.page.keyboard.press("End")
        app.page.keyboard.type(" and on")
        app.page.locator(CATEGORIES).first.click()
        app.settled()
        if step % 3 == 0:  # Ctrl+Enter with the focus on the pill that was pressed
            assert app.page.evaluate("document.activeElement.closest('[class*=_category]') !== null")
            app.page.keyboard.press("Control+Enter")
        elif step % 3 == 1:
            app.page.locator(SUBMIT).click()
        else:  # closed from the press on, and says so; what is typed then goes nowhere
            inert, says = app.page.evaluate(PRESS_AND_LOOK)
            assert inert and "Saving" in says
            app.page.keyboard.type("s2 lost?")
        done.append(at)
        at = next_feature(app, at)
        assert box(app, TEXT).input_value() == ""
        assert app.page.get_by_role("dialog").count() == 0
    assert own_labels(label_app[1], "mouse", done) == [
        (f"pointed at {i} and on", i % 5 + 1, "style") for i in range(LABELS)
    ]


def test_a_phone_has_the_form_as_a_sheet_with_submit_always_in_sight(
    label_app: tuple[str, Path, int], new_page: Callable[..., AppPage]
) -> None:
    app = new_page(width=380, height=800)
    app.open(f"{label_app[0]}/label?queue={label_app[2]}")
    app.page.locator(".st-key-person_here input").fill("phone")
    app.page.locator(".st-key-person_here input").press("Enter")
    app.page.wait_for_selector(SUBMIT, timeout=30_000)
    app.settled()
    at = feature(app)
    assert in_sight(app, SUBMIT) and not in_sight(app, ".st-key-label_text_box textarea")
    app.page.locator(SUBMIT).click()  # refused: the form shows why, and itself
    app.page.get_by_text("Write what the feature means first").wait_for()
    app.settled()
    assert in_sight(app, ".st-key-label_text_box textarea") and in_sight(app, SUBMIT)
    bar = app.page.get_by_role("button", name="Back to the texts")
    bar.click()
    app.page.get_by_role("button", name="Write the label").click()
    box(app, TEXT).fill("from a phone")
    app.page.locator(SUBMIT).click()
    next_feature(app, at)
    app.page.get_by_role("button", name="Write the label").wait_for()
    assert in_sight(app, SUBMIT)
    assert app.page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop") == 0
    assert own_labels(label_app[1], "phone", [at]) == [("from a phone", None, None)]
    app.page.reload()  # the browser remembers who it was
    app.page.wait_for_selector(SUBMIT, timeout=30_000)
    assert app.page.locator(".st-key-person_here").count() == 0
