"""The steering sliders and the ranking, in a real browser against a real Streamlit server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import AppPage, AppServer

pytestmark = pytest.mark.browser

SCRIPT = Path(__file__).parent / "rerank_page.py"
NEUTRAL: dict[str, dict[str, float]] = {"scale": {}, "set": {}, "offset": {}, "groups": {}}

Open = Callable[..., AppPage]


@pytest.fixture
def open_page(app_server: AppServer, new_page: Callable[..., AppPage]) -> Open:
    address = app_server(SCRIPT)

    def open_it(query: str = "", **options: Any) -> AppPage:
        app = new_page(**options)
        app.open(f"{address}/?{query}")
        app.page.wait_for_selector(".rerank .panel")
        return app

    return open_it


def report(app: AppPage) -> dict[str, Any]:
    """What the page's script knows after its last run."""
    return json.loads(app.page.locator(".report").text_content())


def order(app: AppPage) -> list[str]:
    """Titles from top to bottom as they are seen, once nothing slides any more."""
    return app.page.locator(".answers").evaluate(
        """async list => {
            const top = node => node.getBoundingClientRect().top;
            await new Promise(done => setTimeout(done, 260));
            const rows = [...list.children].sort((left, right) => top(left) - top(right));
            return rows.map(row => row.querySelector('.title').textContent);
        }"""
    )


def shown(app: AppPage) -> None:
    """Wait for the frame that shows what was just done."""
    app.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def python_order(rewards: list[float]) -> list[str]:
    return [chr(65 + row) for row in sorted(range(len(rewards)), key=lambda row: -rewards[row])]


def slider(app: AppPage, feature: int = 1287) -> Any:
    return app.page.locator(f'[data-feature="{feature}"] input.slider')


def box(app: AppPage, feature: int = 1287) -> Any:
    return app.page.locator(f'[data-feature="{feature}"] input.box')


def drag(app: AppPage, target: Any, share: float, steps: int = 12) -> None:
    """Take the thumb at "x1" (half way from -1 to 3) and hold it at `share` of the track; not released."""
    area = target.bounding_box()
    y = area["y"] + area["height"] / 2
    app.page.mouse.move(area["x"] + area["width"] / 2, y)
    app.page.mouse.down()
    app.page.mouse.move(area["x"] + area["width"] * share, y, steps=steps)
    shown(app)


def test_order_follows_the_held_mouse_and_the_server_hears_once_on_release(open_page: Open) -> None:
    app = open_page()
    before = order(app)
    runs = report(app)["runs"]
    sent = len(app.sent)
    drag(app, slider(app), 0.98)
    held = order(app)
    assert held != before
    app.page.wait_for_timeout(500)
    assert len(app.sent) == sent, "a message went to the server while the mouse was down"
    assert report(app)["runs"] == runs
    app.page.mouse.up()
    app.settled()
    after = report(app)
    assert after["runs"] == runs + 1
    assert len(app.sent) == sent + 1
    value = float(box(app).input_value())
    assert value > 2.5
    assert after["steering"] == {**NEUTRAL, "scale": {"1287": value}}
    assert order(app) == held == python_order(after["rewards"])
    assert app.errors == []


def test_a_drag_that_ends_outside_the_component_still_settles(open_page: Open) -> None:
    app = open_page()
    drag(app, slider(app), 0.1)
    app.page.mouse.move(5, 5)
    app.page.mouse.up()
    app.settled()
    assert report(app)["steering"]["scale"] == {"1287": float(box(app).input_value())}


def test_undo_and_redo_go_there_and_back(open_page: Open) -> None:
    app = open_page()
    before = order(app)
    drag(app, slider(app), 0.95)
    app.page.mouse.up()
    app.settled()
    steered, value = order(app), box(app).input_value()
    app.page.get_by_role("button", name="Undo").click()
    app.settled()
    assert report(app)["steering"] == NEUTRAL
    assert (order(app), box(app).input_value()) == (before, "1")
    app.page.get_by_role("button", name="Redo").click()
    app.settled()
    assert (order(app), box(app).input_value()) == (steered, value)


def test_the_same_value_again_after_undo_reaches_the_server(open_page: Open) -> None:
    app = open_page()
    for _ in range(2):
        box(app).fill("2")
        box(app).press("Enter")
        app.settled()
        assert report(app)["steering"]["scale"] == {"1287": 2.0}
        app.page.get_by_role("button", name="Undo").click()
        app.settled()
        assert report(app)["steering"] == NEUTRAL


def test_fast_undo_presses_are_not_lost(open_page: Open) -> None:
    app = open_page()
    for value in ("0", "0.5", "1.5", "2"):
        box(app).fill(value)
        box(app).press("Enter")
        app.settled()
    undo = app.page.get_by_role("button", name="Undo")
    for _ in range(3):
        undo.click()
        app.page.wait_for_timeout(40)
    app.settled()
    assert report(app)["steering"]["scale"] == {"1287": 0.0}
    assert box(app).input_value() == "0"


def test_keyboard_steps_are_sent_together_after_a_pause(open_page: Open) -> None:
    app = open_page()
    sent = len(app.sent)
    slider(app).focus()
    for _ in range(6):
        app.page.keyboard.press("ArrowRight")
    shown(app)
    assert box(app).input_value() == "1.3"
    assert len(app.sent) == sent
    app.page.wait_for_timeout(300)
    app.settled()
    assert len(app.sent) == sent + 1
    assert report(app)["steering"]["scale"] == {"1287": 1.3}
    assert slider(app).get_attribute("aria-valuetext") == "1.3"


def test_undo_takes_back_keyboard_steps_the_server_has_not_heard_of(open_page: Open) -> None:
    app = open_page()
    slider(app).focus()
    app.page.keyboard.press("ArrowRight")
    app.page.keyboard.press("Control+z")
    app.page.wait_for_timeout(400)
    app.settled()
    assert box(app).input_value() == "1"
    assert report(app)["log"] == []


def test_an_edit_still_waiting_arrives_before_the_button_press(open_page: Open) -> None:
    app = open_page()
    slider(app).focus()
    app.page.keyboard.press("ArrowRight")
    app.page.locator('[data-feature="33"]').get_by_role("button", name="Remove").click()
    app.settled()
    assert [next(iter(entry)) for entry in report(app)["log"]] == ["steering", "name"]
    assert report(app)["steering"]["scale"] == {"1287": 1.05}
    assert app.page.locator('[data-feature="33"]').count() == 0
    assert box(app).input_value() == "1.05"


def test_number_box_reaches_past_the_limits_and_the_slider_follows(open_page: Open) -> None:
    app = open_page()
    box(app).fill("7.25")
    box(app).press("Enter")
    app.settled()
    assert report(app)["steering"]["scale"] == {"1287": 7.25}
    assert float(slider(app).get_attribute("max")) == 7.25
    assert float(slider(app).input_value()) == 7.25
    box(app).fill("-2.5")
    box(app).press("Enter")
    app.settled()
    assert float(slider(app).get_attribute("min")) == -2.5
    assert app.page.locator('[data-feature="1287"] .state').text_content() == "reversed"
    box(app).fill("")
    box(app).blur()
    shown(app)
    assert box(app).input_value() == "-2.5"
    box(app).fill("1e40")
    box(app).press("Enter")
    app.settled()
    assert report(app)["steering"]["scale"] == {"1287": -2.5}


def test_zero_and_negative_are_marked_and_reset_one_returns(open_page: Open) -> None:
    app = open_page()
    state = app.page.locator('[data-feature="1287"] .state')
    for value, word in (("0", "silenced"), ("-1", "reversed"), ("0.5", "")):
        box(app).fill(value)
        shown(app)
        assert state.text_content() == word
    app.page.locator('[data-feature="1287"]').get_by_role("button", name="Reset").click()
    app.settled()
    assert box(app).input_value() == "1"
    assert report(app)["steering"] == NEUTRAL


def test_offset_shifts_every_reward_and_says_that_it_cannot_rerank(open_page: Open) -> None:
    app = open_page()
    before = order(app)
    row = app.page.locator('[data-feature="1287"]')
    row.get_by_role("button", name=re.compile("^offset feature")).click()
    shown(app)
    assert "cannot re-rank" in row.text_content()
    box(app).fill("4")
    box(app).press("Enter")
    app.settled()
    told = report(app)
    assert told["steering"] == {**NEUTRAL, "offset": {"1287": 4.0}}
    assert order(app) == before
    assert "same order" in app.page.locator(".list-head").text_content()


def test_set_is_sent_only_once_a_value_was_chosen(open_page: Open) -> None:
    app = open_page()
    sent = len(app.sent)
    app.page.locator('[data-feature="1287"]').get_by_role("button", name=re.compile("^set feature")).click()
    app.page.wait_for_timeout(400)
    assert len(app.sent) == sent
    box(app).fill("0")
    box(app).press("Enter")
    app.settled()
    told = report(app)
    assert told["steering"] == {**NEUTRAL, "set": {"1287": 0.0}}
    assert order(app) == python_order(told["rewards"])


def test_group_slider_scales_its_members(open_page: Open) -> None:
    app = open_page("groups=1")
    group = app.page.locator('[data-group="style"] input.box')
    group.fill("-2")
    group.press("Enter")
    app.settled()
    told = report(app)
    assert told["steering"]["groups"] == {"style": -2.0}
    assert order(app) == python_order(told["rewards"])
    assert "group style" in app.page.locator(".why-name").all_text_contents()


def test_a_steering_from_python_is_taken_only_with_a_new_revision(open_page: Open) -> None:
    app = open_page()
    app.page.get_by_role("button", name="Load a steering").click()
    app.settled()
    assert box(app).input_value() == "-0.5"
    told = report(app)
    assert order(app) == python_order(told["rewards"])
    assert told["log"] == [], "taking over what Python sent is not an edit"


def test_what_is_in_hand_wins_over_a_rerun_that_ends_meanwhile(open_page: Open) -> None:
    app = open_page("busy=0.8")
    drag(app, slider(app), 0.9)
    app.page.mouse.up()
    drag(app, slider(app, 33), 0.1)
    value = box(app, 33).input_value()
    app.settled()
    assert app.page.get_by_role("button", name="Undo").is_enabled()
    assert report(app)["steering"]["scale"].keys() == {"1287"}
    assert box(app, 33).input_value() == value != "1"
    app.page.mouse.up()
    app.settled()
    assert report(app)["steering"]["scale"].keys() == {"1287", "33"}


def test_reruns_keep_nodes_and_add_no_listeners(open_page: Open) -> None:
    app = open_page()
    app.page.locator(".answer").first.evaluate("node => { node.marked = true; }")
    slider(app).evaluate("node => { node.marked = true; }")
    for _ in range(3):
        app.page.get_by_role("button", name="Load a steering").click()
        app.settled()
    assert slider(app).evaluate("node => node.marked") is True
    assert app.page.locator(".answer").evaluate_all("nodes => nodes.some(node => node.marked)")
    app.page.get_by_role("button", name="Compare answer C").click()
    app.settled()
    assert report(app)["log"] == [{"name": "compare", "answer": "a2"}]
    assert report(app)["result"]["command"] == {"name": "compare", "answer": "a2"}


def test_what_moved_whom_names_the_slider_and_its_share_of_the_margin(open_page: Open) -> None:
    app = open_page()
    box(app).fill("-0.6")
    box(app).press("Enter")
    app.settled()
    told = report(app)
    row = app.page.locator('[data-answer="a3"]')
    assert row.locator(".why-name").text_content() == "#1287 refusal wording"
    expected = -1.6 * -0.31 * 2.4
    assert row.locator(".why-change").text_content().startswith(f"+{expected:.2f} over ")
    before = python_order(told["rewards_before"])
    moved = before.index("D") - order(app).index("D")
    assert moved > 0
    assert row.locator(".move").text_content() == str(moved)
    assert row.locator(".move").get_attribute("data-move") == "up"


@pytest.mark.parametrize("width", [380, 760, 1280])
def test_whom_an_answer_overtook_is_read_whole_and_no_row_changes_its_height(
    open_page: Open, width: int
) -> None:
    app = open_page("long=1", width=width, height=1800)
    heights = "rows => rows.map(row => [row.dataset.answer, row.offsetHeight])"
    before = dict(app.page.locator(".answer").evaluate_all(heights))
    for share in (0.02, 0.3, 0.98):
        drag(app, slider(app), share)
        assert dict(app.page.locator(".answer").evaluate_all(heights)) == before
        order(app)
        cut = app.page.locator(".why-change").evaluate_all(
            """nodes => nodes.filter(node => {
                const [text, line] = [node.getBoundingClientRect(), node.closest('.under').getBoundingClientRect()];
                const button = node.closest('.under').querySelector('.compare').getBoundingClientRect();
                const [wide, low] = [text.right > button.left, text.bottom > line.bottom + 1];
                return node.scrollWidth > node.clientWidth + 1 || wide || low;
            }).map(node => node.textContent)"""
        )
        assert cut == []
        app.page.mouse.up()
        app.settled()
        app.page.get_by_role("button", name="Reset all").click()
        app.settled()
    drag(app, slider(app), 0.02)
    moved = [text for text in app.page.locator(".why-change").all_text_contents() if text]
    assert moved and all(" has a name th…" in text for text in moved)
    app.page.mouse.up()


def bars(app: AppPage) -> dict[str, tuple[float, float]]:
    """Title -> the bold figure, and the share of the axis that its bar takes."""
    drawn = app.page.locator(".answer").evaluate_all(
        """async rows => {
            await new Promise(done => setTimeout(done, 260));
            return rows.map(row => [
                row.querySelector('.title').textContent,
                Number(row.querySelector('.lead').textContent.replace('\u2212', '-')),
                1 - parseFloat(row.querySelector('.bar').style.clipPath.match(/([\\d.]+)%/)[1]) / 100,
            ]);
        }"""
    )
    return {title: (figure, share) for title, figure, share in drawn}


def test_a_bar_is_as_long_as_the_answer_is_above_the_lowest_also_when_all_answers_move_alike(
    open_page: Open,
) -> None:
    app = open_page("groups=1")
    box(app).fill("-2")
    box(app).press("Enter")
    app.settled()
    drawn = bars(app)
    low = float(app.page.locator(".axis .low").text_content().replace("\u2212", "-"))
    best = order(app)[0]
    assert drawn[best][0] > 0 and drawn[best][1] == 1, "the best has the longest bar"
    for title, (figure, share) in drawn.items():
        assert title == best or (figure <= 0 and share == pytest.approx(1 - figure / low, abs=0.01))
    app.page.locator('[data-feature="33"]').get_by_role("button", name="offset").click()
    box(app, 33).fill("-50")
    box(app, 33).press("Enter")
    app.settled()
    assert max(report(app)["rewards"]) < 0 or min(report(app)["rewards"]) > 0
    assert bars(app) == drawn


def test_the_button_of_a_row_marks_it_and_brings_what_compares_into_sight(open_page: Open) -> None:
    app = open_page("answers=20")
    top = "() => document.querySelector('.st-key-reveal').getBoundingClientRect().top"
    assert app.page.evaluate(top) > 900, "out of sight"
    app.page.get_by_role("button", name="Compare answer C").click()
    app.page.wait_for_function(f"({top})() < 120 && ({top})() > 0")
    app.settled()
    marked = app.page.locator(".answer.compared .title").all_text_contents()
    assert sorted(marked) == ["A", "C"] and app.errors == []


def test_one_answer_shows_its_reward_and_offers_nothing_to_compare(open_page: Open) -> None:
    app = open_page("answers=1")
    assert app.page.locator(".axis-title").inner_text().split("\n")[-1] == "reward"
    assert not app.page.locator(".list .axis").is_visible()
    assert not app.page.locator(".answer .scale").is_visible()
    assert not app.page.get_by_role("button", name="Compare answer").is_visible()
    assert app.page.locator(".lead").text_content() in app.page.locator(".figures").get_attribute("title")
    assert not app.page.locator(".legend").is_visible()


def test_ties_keep_their_order_and_share_a_rank(open_page: Open) -> None:
    app = open_page("ties=1")
    titles, ranked = app.page.locator(".answer .title"), app.page.locator(".answer .rank")
    ranks = dict(zip(titles.all_text_contents(), ranked.all_text_contents(), strict=True))
    assert ranks["A"] == ranks["B"] and ranks["A"].endswith("=")
    assert order(app).index("B") == order(app).index("A") + 1
    drag(app, slider(app), 0.02)
    assert order(app).index("B") == order(app).index("A") + 1
    app.page.mouse.up()


@pytest.mark.parametrize("query", ["hostile=1&groups=1", "hostile=1&groups=1&answers=1"])
def test_hostile_texts_stay_text(open_page: Open, query: str) -> None:
    app = open_page(query)
    box(app).fill("-0.6")
    box(app).press("Enter")
    app.settled()
    assert app.page.evaluate("window.hacked") is None
    inside = "root => root.querySelectorAll('.rerank img, .rerank script').length"
    assert app.page.locator(".rerank").evaluate("node => " + f"({inside})(node.getRootNode())") == 0
    assert "<img src=x" in app.page.locator(".answer .text").first.text_content()
    assert report(app)["steering"]["scale"] == {"1287": -0.6}


@pytest.mark.parametrize(
    ("answers", "query"),
    [(0, "empty=answers"), (1, "answers=1"), (2, "answers=2"), (200, "answers=200&features=32")],
)
def test_any_number_of_answers(open_page: Open, answers: int, query: str) -> None:
    app = open_page(query)
    assert app.page.locator(".answer").count() == answers
    first = app.page.locator("input.slider").first
    first.focus()
    app.page.keyboard.press("Home")
    app.page.keyboard.press("Enter")
    app.settled()
    assert list(report(app)["steering"]["scale"].values()) == [-1.0]
    assert app.page.locator(".list .empty").is_visible() == (answers == 0)
    assert app.errors == []


def test_no_features_says_what_to_do(open_page: Open) -> None:
    app = open_page("empty=features")
    assert "Add a feature" in app.page.locator(".panel .empty").text_content()
    assert app.page.locator(".answer").count() == 8


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [380, 1280])
def test_layout_fits_the_width_and_the_theme(open_page: Open, width: int, dark: bool) -> None:
    app = open_page("groups=1", width=width, dark=dark)
    panel = app.page.locator(".panel").bounding_box()
    answers = app.page.locator(".list").bounding_box()
    if width < 720:
        assert answers["y"] > panel["y"] + panel["height"] - 1
        assert app.page.locator(".strip").is_visible()
    else:
        assert answers["x"] > panel["x"] + panel["width"]
        assert not app.page.locator(".strip").is_visible()
    overflow = app.page.locator(".rerank").evaluate(
        """root => [...root.querySelectorAll('.row *, .answer *, h2, .axis')]
            .filter(node => node.getBoundingClientRect().right > root.getBoundingClientRect().right + 1)
            .map(node => node.className)"""
    )
    assert overflow == []
    ink, paper = app.page.locator(".answer").first.evaluate(
        "node => [getComputedStyle(node).color, getComputedStyle(node).backgroundColor]"
    )
    assert (_lightness(ink) > _lightness(paper)) == dark


def test_the_ranking_stays_in_sight_on_a_phone(open_page: Open) -> None:
    app = open_page("features=12", width=380, height=700)
    app.page.mouse.move(190, 500)
    app.page.mouse.wheel(0, 500)
    app.page.wait_for_timeout(200)
    strip = app.page.locator(".strip").bounding_box()
    assert 0 <= strip["y"] < 120
    chips = app.page.locator(".chip").evaluate_all(
        """nodes => nodes.sort((a, b) => a.getBoundingClientRect().left - b.getBoundingClientRect().left)
            .map(node => node.querySelector('.chip-title').textContent)"""
    )
    assert chips == order(app)


def test_reduced_motion_is_respected(open_page: Open) -> None:
    app = open_page(reduced_motion="reduce")
    slides = "node => node.getRootNode().getAnimations().filter(one => one.transitionProperty === 'transform').length"
    box(app).fill("3")
    shown(app)
    assert app.page.locator(".rerank").evaluate(slides) == 0
    still = open_page()
    box(still).fill("3")
    shown(still)
    assert still.page.locator(".rerank").evaluate(slides) > 0


def test_rows_slide_and_the_reading_order_follows_when_they_rest(open_page: Open) -> None:
    app = open_page()
    reading = app.page.locator(".answer .title")
    before = reading.all_text_contents()
    drag(app, slider(app), 0.98)
    seen = order(app)
    assert seen != before
    assert reading.all_text_contents() == before
    app.page.mouse.up()
    app.settled()
    app.page.wait_for_timeout(400)
    assert reading.all_text_contents() == seen


def test_rows_never_overlap_when_one_is_unfolded(open_page: Open) -> None:
    app = open_page()
    app.page.get_by_role("button", name="More").first.click()
    order(app)
    gaps = app.page.locator(".answer").evaluate_all(
        """nodes => {
            const boxes = nodes.map(node => node.getBoundingClientRect()).sort((a, b) => a.top - b.top);
            return boxes.slice(1).map((box, i) => Math.abs(box.top - boxes[i].bottom));
        }"""
    )
    assert max(gaps) < 1
    assert app.page.get_by_role("button", name="Less").count() == 1


@pytest.mark.parametrize("width", [380, 1280])
def test_a_very_long_answer_unfolds_into_a_box_that_the_keyboard_scrolls(open_page: Open, width: int) -> None:
    app = open_page("huge=1", width=width)
    row = app.page.locator('[data-answer="a0"]')
    text = row.locator(".text")
    folded = row.evaluate("node => node.offsetHeight")
    assert text.get_attribute("tabindex") is None, "a preview does not scroll: the keyboard passes it by"
    row.get_by_role("button", name="More").click()
    assert row.evaluate("node => node.offsetHeight") < folded + 500
    box = row.get_by_role("region", name="Answer A, whole")
    box.focus()
    app.page.keyboard.press("End")
    end = "node => Math.abs(node.scrollHeight - node.clientHeight - node.scrollTop) < 2"
    app.page.wait_for_function(
        f"() => ({end})(document.activeElement.shadowRoot?.activeElement ?? document.activeElement)"
    )
    assert box.evaluate(end) and box.evaluate("node => node.scrollTop > 1000")
    row.get_by_role("button", name="Less").click()
    assert text.evaluate("node => node.scrollTop") == 0
    assert app.page.get_by_role("region", name="whole").count() == 0


def test_which_answer_was_cut_and_by_how_much_stands_beside_it(open_page: Open) -> None:
    app = open_page("huge=1")
    said = app.page.locator(".answer .cut").all_text_contents()
    assert [text for text in said if text] == [
        "The first 12,345 tokens, prompt included, were cut: no influence."
    ]
    assert app.page.locator('[data-answer="a0"] .cut').is_visible()
    assert not app.page.locator('[data-answer="a1"] .cut').is_visible()


def _lightness(colour: str) -> float:
    numbers = [float(part) for part in colour[colour.index("(") + 1 : -1].replace(",", " ").split()[:3]]
    return sum(numbers) / 3
