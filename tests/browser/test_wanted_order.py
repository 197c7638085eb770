"""An order that is wanted of the answers, said on the ranking by mouse, finger and keys, in a real browser."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.components.rerank import _HERE
from app.session.comparison import from_texts
from app.session.wishes import Wanted, phrases
from tests.browser.conftest import AppPage
from tests.browser.test_rerank_component import Open, box, open_page, order, report, shown

__all__ = ["open_page"]

pytestmark = pytest.mark.browser

HEAD = ".list-head h2"


def grip(app: AppPage, title: str) -> Any:
    return app.page.locator(".answer").filter(has=app.page.get_by_text(title, exact=True)).locator(".grip")


def middle(target: Any) -> tuple[float, float]:
    area = target.bounding_box()
    return area["x"] + area["width"] / 2, area["y"] + area["height"] / 2


def hold(app: AppPage, title: str, at: str) -> None:
    """Take a row by its handle and hold it over the row `at`; not released."""
    app.page.mouse.move(*middle(grip(app, title)))
    app.page.mouse.down()
    app.page.mouse.move(*middle(grip(app, at)), steps=12)
    shown(app)


def words(app: AppPage) -> str:
    return app.page.locator(".wish-words").text_content()


def spoken(app: AppPage) -> str:
    return app.page.locator("[aria-live=polite]").text_content()


def wanted(app: AppPage) -> list[str]:
    """The order that Python holds, as titles."""
    told = report(app)["wanted"]
    return [chr(65 + int(answer[1:])) for answer in told["order"]] if told else []


def test_a_row_is_dragged_and_the_server_hears_once_on_release(open_page: Open) -> None:
    app = open_page(height=1600)
    before, runs, sent = order(app), report(app)["runs"], len(app.sent)
    last = before[4]
    hold(app, last, before[1])
    assert order(app) == [before[0], last, *(title for title in before[1:] if title != last)]
    app.page.wait_for_timeout(400)
    assert len(app.sent) == sent, "a message went to the server while the row was held"
    app.page.mouse.up()
    app.settled()
    assert len(app.sent) == sent + 1 and report(app)["runs"] == runs + 1
    assert wanted(app) == order(app)
    assert report(app)["log"][-1]["name"] == "want"
    assert [f"a{ord(title) - 65}" for title in before] == report(app)["wanted"]["base"]
    assert app.page.locator(HEAD).first.text_content() == "The order you want"
    assert words(app) == f"{last} before {before[1]}, {before[2]} and {before[3]}"
    row = app.page.locator(".answer.wished")
    assert row.count() == 1 and row.locator(".now").text_content() == "now 5"
    assert row.locator(".wish-state").text_content() == "not so yet"
    assert app.errors == []


def test_the_same_is_done_by_keys_and_said_aloud(open_page: Open) -> None:
    app = open_page(height=1600)
    before, sent = order(app), len(app.sent)
    title = before[3]
    grip(app, title).focus()
    app.page.keyboard.press("ArrowUp")
    app.page.keyboard.press("ArrowUp")
    shown(app)
    assert f"{title}, place 2 of 8, before {before[1]} and {before[2]}." in spoken(app)
    assert len(app.sent) == sent
    app.page.wait_for_timeout(500)
    app.settled()
    assert len(app.sent) == sent + 1, "steps are sent together"
    assert wanted(app) == order(app) == [before[0], title, before[1], before[2], *before[4:]]
    assert "0 of 2 wishes hold now" in spoken(app)
    app.page.keyboard.press("End")
    app.page.wait_for_timeout(500)
    app.settled()
    assert order(app)[-1] == title, "the handle has kept the focus"
    assert words(app).startswith(f"{title} behind ")


def test_a_row_that_is_moved_back_is_no_wish(open_page: Open) -> None:
    app = open_page(height=1600)
    before = order(app)
    grip(app, before[2]).focus()
    app.page.keyboard.press("ArrowDown")
    app.page.wait_for_timeout(500)
    app.settled()
    assert wanted(app)
    app.page.keyboard.press("ArrowUp")
    app.page.wait_for_timeout(500)
    app.settled()
    assert not wanted(app) and order(app) == before
    assert app.page.locator(HEAD).first.text_content() == "Answers, best first"


def test_the_order_is_taken_back_by_a_button_and_a_drag_by_escape(open_page: Open) -> None:
    app = open_page(height=1600)
    before, sent = order(app), len(app.sent)
    hold(app, before[5], before[0])
    app.page.keyboard.press("Escape")
    app.page.mouse.up()
    app.settled()
    assert order(app) == before and len(app.sent) == sent
    hold(app, before[5], before[0])
    app.page.mouse.up()
    app.settled()
    assert wanted(app)
    app.page.get_by_role("button", name="Take the order back").click()
    app.settled()
    assert not wanted(app) and order(app) == before
    assert app.page.get_by_role("button", name="Take the order back").count() == 0


def test_sliders_move_what_is_now_and_not_what_is_wanted(open_page: Open) -> None:
    app = open_page(height=1600)
    before = order(app)
    hold(app, before[-1], before[0])
    app.page.mouse.up()
    app.settled()
    held = order(app)
    places = app.page.locator(".answer .now").all_text_contents()
    box(app).fill("-1")
    box(app).press("Enter")
    app.settled()
    assert order(app) == held == wanted(app)
    assert app.page.locator(".answer .now").all_text_contents() != places
    told = report(app)
    rank = sorted(range(8), key=lambda row: -told["rewards"][row])
    for place, row in enumerate(app.page.locator(".answer").all()):
        title = row.locator(".title").text_content()
        now = rank.index(ord(title) - 65)
        assert row.locator(".now").text_content() == ("as now" if now == place else f"now {now + 1}")


def test_a_wish_that_holds_is_said_to(open_page: Open) -> None:
    app = open_page(height=1600)
    before = order(app)
    told = report(app)
    box(app).fill("-1")
    box(app).press("Enter")
    app.settled()
    after = order(app)
    assert after != before, told
    app.page.get_by_role("button", name="Undo").click()
    app.settled()
    risen = next(title for title in after if after.index(title) < before.index(title))
    over = before[before.index(risen) - 1]
    assert after.index(risen) < after.index(over)
    grip(app, risen).focus()
    app.page.keyboard.press("ArrowUp")
    app.page.wait_for_timeout(500)
    app.settled()
    state = app.page.locator(".answer.wished .wish-state")
    assert state.text_content() == "not so yet"
    app.page.get_by_role("button", name="Redo").click()
    app.settled()
    assert state.text_content() == "so it is now"


def test_what_python_changes_shows_and_what_it_repeats_does_not_undo_a_drag(open_page: Open) -> None:
    app = open_page("busy=1", height=1600)
    before = order(app)
    for title in (before[3], before[6]):  # the second while the page still runs for the first
        grip(app, title).focus()
        app.page.keyboard.press("ArrowUp")
        app.page.wait_for_timeout(450)
    app.finished()
    assert wanted(app) == order(app)
    assert order(app)[2] == before[3] and order(app)[5] == before[6]
    app.page.get_by_role("button", name="Want nothing").click()
    app.finished()
    assert order(app) == before
    assert app.page.locator(HEAD).first.text_content() == "Answers, best first"


def test_a_finger_drags_a_row_and_scrolls_beside_the_handle(open_page: Open) -> None:
    app = open_page(width=380, height=700, has_touch=True)
    before = order(app)
    grip(app, before[1]).scroll_into_view_if_needed()
    client = app.page.context.new_cdp_session(app.page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        client.send(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]}
        )

    x, y = middle(grip(app, before[1]))
    _, to = middle(grip(app, before[0]))
    touch("touchStart", (x, y))
    for step in range(1, 11):
        touch("touchMove", (x, y + (to - 20 - y) * step / 10))
    touch("touchEnd")
    app.settled()
    assert order(app) == [before[1], before[0], *before[2:]] == wanted(app)
    scrolled = "document.querySelector('[data-testid=stMain]').scrollTop"
    top = app.page.evaluate(scrolled)
    touch("touchStart", (200, 500))
    for step in range(1, 11):
        touch("touchMove", (200, 500 - 20 * step))
    touch("touchEnd")
    app.page.wait_for_timeout(300)
    assert app.page.evaluate(scrolled) > top + 100
    assert order(app) == [before[1], before[0], *before[2:]]


def test_a_long_list_scrolls_along_at_the_windows_edge(open_page: Open) -> None:
    app = open_page("answers=40", height=800)
    before = order(app)
    grip(app, before[0]).scroll_into_view_if_needed()
    x, _ = middle(grip(app, before[0]))
    app.page.mouse.move(*middle(grip(app, before[0])))
    app.page.mouse.down()
    app.page.mouse.move(x, 780, steps=8)
    app.page.wait_for_timeout(2_500)
    app.page.mouse.up()
    app.settled()
    assert order(app).index(before[0]) > 12


def test_many_answers_are_rows_of_a_line_in_a_box_of_their_own(open_page: Open) -> None:
    app = open_page("answers=50", height=800)
    box = app.page.locator(".rows-box")
    assert box.evaluate("node => node.clientHeight") < 800 < box.evaluate("node => node.scrollHeight")
    assert (
        app.page.locator(".answer").evaluate_all("nodes => Math.max(...nodes.map((n) => n.offsetHeight))")
        <= 48
    )
    before = order(app)
    grip(app, before[0]).press("End")
    app.settled()
    assert order(app)[-1] == before[0]
    # The box followed the row to the end, the page did not move.
    assert box.evaluate("node => node.scrollTop + node.clientHeight >= node.scrollHeight - 1")
    assert (
        grip(app, before[0]).evaluate("node => document.querySelector('[data-testid=stMain]').scrollTop")
        < 400
    )


def test_hostile_titles_stay_text(open_page: Open) -> None:
    app = open_page("hostile=1", height=1600)
    last = app.page.locator(".answer .grip").last
    last.focus()
    app.page.keyboard.press("Home")
    app.page.wait_for_timeout(500)
    app.settled()
    assert "before" in words(app) and app.page.evaluate("window.hacked") is None
    assert app.errors == []


def test_one_answer_has_no_handle(open_page: Open) -> None:
    app = open_page("answers=1")
    assert not app.page.locator(".answer .grip").is_visible()
    assert not app.page.locator(".wish-line").is_visible()


def test_the_browser_and_python_say_the_same_wishes(browser: Any) -> None:
    rng = np.random.default_rng(5)
    page = browser.new_page()
    page.goto("about:blank")
    page.evaluate(
        """async source => {
            window.m = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
        }""",
        (_HERE / "ranking.js").read_text(encoding="utf-8"),
    )
    for _ in range(60):
        n = int(rng.integers(2, 14))
        base, order_ = rng.permutation(n).tolist(), rng.permutation(n).tolist()
        said = page.evaluate(
            "({ base, order }) => m.wishPhrases(m.turnedPairs(base, order), order)",
            {"base": base, "order": order_},
        )
        wanted_ = Wanted(from_texts("p", [str(i) for i in range(n)]), tuple(base), tuple(order_))
        python = [
            {"row": phrase.answer, "before": list(phrase.before), "behind": list(phrase.behind)}
            for phrase in phrases(wanted_.asked, wanted_.order)
        ]
        assert said == python
    page.close()
