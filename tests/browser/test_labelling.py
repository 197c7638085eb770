"""Two people label from one queue, one of them reloads half-way, lines are cut, and no word is lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from feature_db import FeatureFilter, Store, SuggestionRecord
from feature_db.label.events import events
from feature_db.label.labels import Labels, set_categories
from feature_db.label.queues import Queues
from feature_db.roles import People
from tests.app.store_builder import LABELLED
from tests.browser.conftest import AppPage
from tests.browser.cut_line import CutLine, cut_line
from tests.browser.label_app import (
    TEXT,
    Enter,
    becomes,
    box,
    draft_becomes,
    feature,
    next_feature,
    sign,
    signed_at,
    write,
)

pytestmark = pytest.mark.browser


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


def typed(app: AppPage) -> str:
    return str(app.page.locator(".st-key-label_text_box textarea").input_value())


def type_into_nothing(app: AppPage, line: CutLine, text: str) -> None:
    """Typed while the line is dead but nobody has noticed; then the browser notices."""
    line.stall()
    app.page.keyboard.type(text)
    app.page.wait_for_timeout(1_000)  # it was sent, and did not arrive
    line.cut()
    app.page.wait_for_selector(
        "[data-testid=stApp]:not([data-test-connection-state=CONNECTED])", timeout=30_000, state="attached"
    )
    # While there is no connection the box takes no words that could get lost.
    assert app.page.locator(".st-key-label_text_box textarea").is_disabled()


def test_a_lost_connection_loses_no_word_and_disturbs_nobody(
    enter: Enter, label_app: tuple[str, Path, int], new_page: Callable[..., AppPage]
) -> None:
    address, path, _ = label_app
    anja = enter("anja")
    with cut_line(address) as line:
        bertil = new_page(width=1350)
        bertil.open(f"{line.address}/label")
        sign(bertil, "bertil")
        first, second = feature(anja), feature(bertil)
        bertil.page.locator(".st-key-label_text_box textarea").click()
        bertil.page.keyboard.type("before, ")
        draft_becomes(path, "bertil", second, "before, ")
        type_into_nothing(bertil, line, "half-way")
        # The other one notices nothing, and is not given what is with somebody who is away.
        given = [first]
        for text in ("one", "two"):
            anja.page.locator(".st-key-label_text_box textarea").fill(text)
            anja.page.locator(".st-key-label_submit button").click()
            given.append(next_feature(anja, given[-1]))
        assert len({second, *given}) == 4
        line.mend()
        bertil.settled()
        assert feature(bertil) == second and typed(bertil) == "before, half-way"
        draft_becomes(path, "bertil", second, "before, half-way")
        bertil.settled()
        assert typed(bertil) == "before, half-way"
        bertil.page.locator(".st-key-label_submit button").click()
        third = next_feature(bertil, second)
        assert third not in (second, *given)
    with Store.open(path) as store:
        labels = [(e.feature, e.annotator, e.text) for e in events(store, "current_labels")]
    for label in (
        (first, "anja", "one"),
        (given[1], "anja", "two"),
        (second, "bertil", "before, half-way"),
    ):
        assert label in labels
    assert len({at for at, _, _ in labels if at in (first, second, third, *given)}) == 3
    assert not [line for line in anja.errors if "Failed to load resource" not in line]


NOTE, OWN, WHY = "^Note$", "^Own text$", "^Reason$"
VOTE = "^Reason for a vote on the label of ann$"


def test_what_is_typed_into_any_box_outlives_a_reload_and_a_lost_line(
    enter: Enter, label_app: tuple[str, Path, int], new_page: Callable[..., AppPage]
) -> None:
    address, path, _ = label_app
    cyrus = enter("cyrus")
    at = feature(cyrus)
    write(cyrus, TEXT, "a text")
    write(cyrus, NOTE, "a note")
    cyrus.page.reload()
    cyrus.settled()
    sign(cyrus, "cyrus")
    assert feature(cyrus) == at
    becomes(cyrus, NOTE, "a note")
    becomes(cyrus, TEXT, "a text")
    with Store.open(path) as store:
        draft = Labels(store, "cyrus").last_draft(at) or {}
    assert (draft["text"], draft["note"]) == ("a text", "a note")

    with cut_line(address) as line:
        chief = new_page(width=1351)
        chief.open(f"{line.address}/disagreements")
        signed_at(chief, "chief")
        write(chief, VOTE, "half a reason")
        write(chief, OWN, "my own")
        chief.page.reload()
        chief.settled()
        signed_at(chief, "chief")
        for name, text in ((VOTE, "half a reason"), (OWN, "my own")):
            becomes(chief, name, text)
        line.stall()
        write(chief, WHY, "because")
        line.cut()
        chief.page.wait_for_selector(
            "[data-testid=stApp]:not([data-test-connection-state=CONNECTED])",
            timeout=30_000,
            state="attached",
        )
        line.mend()
        chief.settled()
        becomes(chief, WHY, "because")
        chief.page.reload()
        chief.settled()
        signed_at(chief, "chief")
        for name, text in ((VOTE, "half a reason"), (OWN, "my own"), (WHY, "because")):
            becomes(chief, name, text)
        # Another person at the same browser finds none of it.
        signed_at(chief, "judge")
        becomes(chief, VOTE, "")
        signed_at(chief, "chief")
        becomes(chief, VOTE, "half a reason")
        # What was sent does not come back.
        chief.page.get_by_role("button", name=re.compile("Agree")).first.click()
        chief.page.get_by_text("chief agrees: half a reason").first.wait_for()
        chief.page.reload()
        chief.settled()
        signed_at(chief, "chief")
        becomes(chief, OWN, "my own")
        becomes(chief, VOTE, "")


FIRST_WORDS = """
new MutationObserver(() => {
  const box = document.querySelector("[class*=st-key-vote_reason] input");
  if (!box || window.wrote) return;
  window.wrote = true;
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(box, "at once");
  box.dispatchEvent(new Event("input", { bubbles: true }));
}).observe(document, { childList: true, subtree: true });
"""


def test_what_is_typed_as_soon_as_a_box_is_there_outlives_a_reload_too(
    enter: Enter, label_app: tuple[str, Path, int], new_page: Callable[..., AppPage]
) -> None:
    """The box comes before what listens to it: what is typed in between is heard of by nobody."""
    address = label_app[0]
    early = new_page(width=1354)
    early.page.goto(address)
    early.page.evaluate(FIRST_WORDS)
    early.settled()
    early.page.get_by_role("link", name="Disagreements").click()
    early.settled()
    signed_at(early, "chief")
    becomes(early, VOTE, "at once")
    early.page.wait_for_timeout(2_000)  # with the cursor in no box, nothing is sent
    early.page.reload()
    early.settled()
    signed_at(early, "chief")
    becomes(early, VOTE, "at once")


LOSE_WHAT_IS_SENT = """
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (...args) { if (!window.lost) send.apply(this, args); };
"""


def test_a_draft_whose_message_was_lost_is_told_again(
    label_app: tuple[str, Path, int], new_page: Callable[..., AppPage]
) -> None:
    app = new_page(width=1355)
    app.page.add_init_script(LOSE_WHAT_IS_SENT)
    app.open(f"{label_app[0]}/label")
    sign(app, "lotta")
    at = feature(app)
    app.page.evaluate("window.lost = true")
    write(app, TEXT, "said once")
    app.page.keyboard.press("Escape")
    app.page.wait_for_timeout(500)
    with Store.open(label_app[1]) as store:
        assert Labels(store, "lotta").last_draft(at) is None
    app.page.evaluate("window.lost = false")
    draft_becomes(label_app[1], "lotta", at, "said once")


def test_no_name_of_others_makes_the_browser_fetch_or_run_anything(
    label_app: tuple[str, Path, int], new_page: Callable[..., AppPage]
) -> None:
    address, path, _ = label_app
    evil = "![x](http://evil.invalid/x.png) <img src=http://evil.invalid/y>"
    with Store.open(path) as store:
        People(store).set_role("chief", f"annotator {evil}", "annotator")
        set_categories(store, "chief", ["style", "safety", evil[:60]])
        Queues(store, "chief").make(f"queue {evil}", FeatureFilter(ids=[20]), overlap=1)
        store.add_suggestions([SuggestionRecord(20, f"method {evil}", f"suggestion {evil}")])
        eve = Labels(store, f"annotator {evil}")
        uid = eve.label(LABELLED, f"label {evil}", category=evil[:60], verdict=1, note=f"note {evil}")
        Labels(store, "dora").vote(uid, False, f"reason {evil}")
        Labels(store, "dora").flag(LABELLED, f"flag {evil}")
        Labels(store, "chief").adjudicate(LABELLED, text=f"settled {evil}", note=f"why {evil}")
    app = new_page(width=1352)
    asked: list[str] = []
    app.page.on("request", lambda request: asked.append(request.url))
    try:
        for place in ("label?take=20", "disagreements", f"feature?feature={LABELLED}"):
            app.open(f"{address}/{place}")
            signed_at(app, "chief")
            app.page.get_by_text("evil.invalid").first.wait_for(state="attached")
    finally:
        with Store.open(path) as store:
            set_categories(store, "chief", ["style", "safety", "content", "format", "language", "other"])
    assert asked and not [url for url in asked if "evil.invalid" in url]


def test_a_key_takes_the_suggestion_over_and_only_writes_its_letter_while_typing(
    label_app: tuple[str, Path, int], new_page: Callable[..., AppPage]
) -> None:
    app = new_page(width=1353)
    app.open(f"{label_app[0]}/label?feature=7")
    signed_at(app, "amy")
    app.page.evaluate("document.activeElement.blur()")
    app.page.keyboard.press("a")
    becomes(app, TEXT, "Python, sorted; has code")
    app.settled()
    box(app, TEXT).press("End")
    app.page.keyboard.type(" a")
    app.page.keyboard.press("Tab")  # leaves the box also before the page's own keys are listened to
    app.settled()
    becomes(app, TEXT, "Python, sorted; has code a")
    draft_becomes(label_app[1], "amy", 7, "Python, sorted; has code a")


def test_a_click_on_the_menu_while_a_popover_is_open_leaves_and_loses_neither_name_nor_draft(
    enter: Enter, label_app: tuple[str, Path, int]
) -> None:
    app = enter("gustav")
    at = feature(app)
    write(app, TEXT, "half a thought")
    draft_becomes(label_app[1], "gustav", at, "half a thought")
    app.page.get_by_role("button", name="New queue").click()
    app.settled()
    # A finger rests on the button for a moment: what leaving the box sends goes first.
    app.page.get_by_role("link", name="Disagreements").click(delay=80)
    app.page.get_by_role("heading", name="Disagreements").wait_for()
    app.page.wait_for_timeout(1_000)
    app.settled()
    assert app.page.url.split("?")[0].endswith("/disagreements")
    assert app.page.locator(".st-key-person input").input_value() == "gustav"
    app.page.get_by_role("link", name="Label", exact=True).click(delay=80)
    app.page.wait_for_selector(".st-key-label_text_box textarea")
    app.settled()
    assert feature(app) == at
    becomes(app, TEXT, "half a thought")


def test_my_work_opens_a_draft_and_a_labelled_feature_and_is_gone_then(
    label_app: tuple[str, Path, int], new_page: Callable[..., AppPage]
) -> None:
    with Store.open(label_app[1]) as store:
        labels = Labels(store, "hedda")
        labels.draft(9, {"text": "half of nine", "verdict": None})
        labels.label(11, "done before")
    app = new_page(width=1356)
    app.open(f"{label_app[0]}/label?feature=12")
    signed_at(app, "hedda")
    app.page.get_by_role("button", name="My work").click()
    dialog = app.page.get_by_role("dialog")
    dialog.get_by_role("link", name="half of nine").click()
    dialog.wait_for(state="hidden")
    becomes(app, TEXT, "half of nine")
    assert feature(app) == 9
    app.page.get_by_role("button", name="My work").click()
    dialog.locator(".st-key-my_labels canvas").first.wait_for()
    app.settled()
    app.tick("[role=dialog] .st-key-my_labels [data-testid=stDataFrame]", 1)
    app.page.wait_for_url("**/feature?feature=11")
    app.settled()
    assert dialog.count() == 0
    assert app.page.locator(".st-key-person input").input_value() == "hedda"
