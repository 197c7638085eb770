"""The real app on the embedded model in a real browser: compare, steer, explain, switch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from tests.app.draw.test_token_view import luminance
from tests.browser.conftest import ROOT, AppPage, AppServer

pytestmark = pytest.mark.browser

HACK = (
    '<img src=x onerror="window.hacked=1"><script>window.hacked=2</script> $\\frac12$ **b** ![](http://x/y)'
)
Open = Callable[..., AppPage]


@pytest.fixture(scope="module")
def address(app_server: AppServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    env = {"SARM_MODEL": "demo", "SARM_DATA": str(tmp_path_factory.mktemp("data"))}
    return app_server(ROOT / "app" / "main.py", env)


@pytest.fixture
def open_page(address: str, new_page: Callable[..., AppPage]) -> Iterator[Open]:
    """`open_page("explain")` on a fresh session. No page may log an error or talk to any other server."""
    opened: list[AppPage] = []
    asked: set[str | None] = set()

    def make(path: str = "", **options: Any) -> AppPage:
        app = new_page(**options)
        app.page.set_default_timeout(90_000)
        app.page.on("request", lambda request: asked.add(urlsplit(request.url).hostname))
        start(app, f"{address}/{path}")
        opened.append(app)
        return app

    yield make
    for app in opened:
        assert app.page.evaluate("window.hacked") is None
        # Streamlit looks for its own server below the page's address first, and logs that it is not there.
        assert [line for line in app.errors if "404 (Not Found)" not in line] == []
    assert asked <= {None, "127.0.0.1"}


def start(app: AppPage, url: str) -> None:
    """Open a page and wait for what comes last on it."""
    app.page.goto(url)
    app.page.wait_for_selector(".rerank .answer, .feature-bars .bar-row, .st-key-switch_source")
    if urlsplit(url).path in ("", "/"):  # a component whose script came first must not stand for the other
        app.page.wait_for_selector(".rerank .answer")
    app.settled()


def order(app: AppPage) -> list[str]:
    """Letters of the answers from top to bottom as they are seen, once nothing slides any more."""
    return app.page.locator(".answers").evaluate(
        """async list => {
            await new Promise(done => setTimeout(done, 300));
            const top = node => node.getBoundingClientRect().top;
            const rows = [...list.children].sort((left, right) => top(left) - top(right));
            return rows.map(row => row.querySelector('.title').textContent.split(' ')[0]);
        }"""
    )


def panel(app: AppPage) -> dict[str, str]:
    """Feature -> number in its box, in the order of the sliders."""
    rows = app.page.locator(".row.feature").evaluate_all(
        "rows => rows.map(row => [row.dataset.feature, row.querySelector('input.box').value])"
    )
    return dict(rows)


def texts(app: AppPage) -> set[str]:
    return set(app.page.locator(".answer .text").all_text_contents())


def query(app: AppPage) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(app.page.url).query).items()}


def why(app: AppPage) -> str:
    return app.page.get_by_text(" by ").filter(has_text="most of all through").first.inner_text()


def hold(app: AppPage, number: int, share: float) -> None:
    """Take the thumb of a slider that stands at 1 and hold it at `share` of the track; not released."""
    slider = app.page.locator(".row.feature input.slider").nth(number)
    slider.scroll_into_view_if_needed()
    area = slider.bounding_box()
    y = area["y"] + area["height"] / 2
    app.page.mouse.move(area["x"] + area["width"] / 2, y)
    app.page.mouse.down()
    app.page.mouse.move(area["x"] + area["width"] * share, y, steps=10)
    app.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def popover(app: AppPage, label: str) -> Any:
    """Open a popover by its button."""
    app.page.locator("[data-testid=stPopover] button:visible").filter(has_text=label).first.click()
    app.settled()
    return app.page.locator("[data-testid=stPopoverBody]").first


def upload(app: AppPage, name: str, *rows: Any) -> None:
    data = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()
    box = app.page.locator("[data-testid=stPopoverBody] input[type=file]")
    box.set_input_files({"name": name, "mimeType": "application/jsonl", "buffer": data})
    app.settled()


def sideways(app: AppPage) -> list[int]:
    """Pixels that the document and Streamlit's own scroller could be pushed sideways.

    Once all is drawn: what stands for an element whose code is being fetched is as wide as the window.
    """
    app.page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')")
    return app.page.evaluate(
        """[document.documentElement, document.querySelector('[data-testid=stMain]')]
           .map(node => node.scrollWidth - node.clientWidth)"""
    )


def test_order_follows_the_held_mouse_undo_goes_back_and_the_link_opens_the_same(
    open_page: Open, browser: Any
) -> None:
    app = open_page(height=1600)
    before, said = order(app), why(app)
    sent = len(app.sent)
    hold(app, 0, 0.01)
    held = order(app)
    assert held != before, "the feature that separates the answers most, reversed, changes the order"
    app.page.wait_for_timeout(400)
    assert len(app.sent) == sent, "a message went to the server while the mouse was down"
    app.page.mouse.up()
    app.settled()
    assert len(app.sent) == sent + 1
    assert order(app) == held
    assert why(app) != said
    steered, sides = panel(app), (query(app)["l"], query(app)["r"])
    assert set(steered.values()) == {"1", "-1"}

    app.page.get_by_role("button", name="Undo").click()
    app.settled()
    assert order(app) == before
    assert why(app) == said
    app.page.get_by_role("button", name="Redo").click()
    app.settled()
    assert order(app) == held
    assert (query(app)["l"], query(app)["r"]) == sides, "the sides follow the answers, not the ranks"

    popover(app, "Share")
    link = app.page.locator("[data-testid=stPopoverBody] [data-testid=stCode] code").inner_text().strip()
    assert urlsplit(link).query and parse_qs(urlsplit(link).query) == parse_qs(urlsplit(app.page.url).query)
    context = browser.new_context(viewport={"width": 1280, "height": 1600})
    other = AppPage(context.new_page())
    start(other, link)
    assert (order(other), panel(other), texts(other)) == (held, steered, texts(app))
    assert query(other) == query(app)
    assert other.page.get_by_role("button", name="Undo").is_disabled()
    assert other.errors == []
    context.close()


def test_answers_come_from_files_and_paste_and_a_bad_file_loses_nothing(open_page: Open) -> None:
    app = open_page(height=1400)
    before = texts(app)
    body = popover(app, "Upload")
    good = [{"prompt": HACK, "response": f"{HACK} {i}", "note": HACK} for i in range(2)]
    upload(app, "<img src=x onerror=window.hacked=3>.jsonl", good[0], {"prompt": "p", "response": ""})
    error = body.get_by_text("row 2").inner_text()
    assert "empty" in error and "<img src=x" in error
    assert texts(app) == before
    upload(app, "<b>good</b>.jsonl", *good)
    body.wait_for(state="hidden")
    app.settled()
    assert texts(app) == {row["response"] for row in good}
    assert app.page.locator(".st-key-prompt_box").inner_text() == HACK
    assert app.page.locator("img[src=x], .katex, [src^='http://x']").count() == 0

    body = popover(app, "Paste")
    body.get_by_label("Prompt", exact=True).fill("Which one?")
    body.get_by_label("Answers, separated").fill("The first.\n---\nThe second, since it is shorter.")
    body.get_by_role("button", name="Compare").click()
    body.wait_for(state="hidden")
    app.settled()
    assert texts(app) == {"The first.", "The second, since it is shorter."}


@pytest.mark.parametrize("width", [380, 1920])
def test_pages_fit_narrow_and_wide_windows_in_dark_and_light(open_page: Open, width: int) -> None:
    grounds = []
    for dark in (False, True):
        app = open_page(width=width, height=900, dark=dark)
        assert sideways(app) == [0, 0]
        bars = app.page.locator(".feature-bars .bar-row").first
        bars.scroll_into_view_if_needed()
        shown = bars.locator(".cell").evaluate_all("cells => cells.map(cell => cell.offsetWidth > 0)")
        assert shown == ([False, False, True] if width == 380 else [True, True, True])
        assert bars.locator(".cell.last .track").evaluate("node => node.offsetWidth") > 40
        grounds.append(
            app.page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
        )
        colour = bars.locator(".fill").last.evaluate("node => getComputedStyle(node).backgroundColor")
        assert colour not in ("rgba(0, 0, 0, 0)", grounds[-1])
    assert grounds[0] != grounds[1]
    for path in ("explain", "model"):
        app = open_page(path, width=width, height=900)
        assert sideways(app) == [0, 0], path


def test_the_keyboard_steers_and_takes_back(open_page: Open) -> None:
    app = open_page(height=1400)
    slider = app.page.locator(".row.feature input.slider").first
    box = app.page.locator(".row.feature input.box").first
    slider.focus()
    for _ in range(4):
        app.page.keyboard.press("ArrowRight")
    app.page.wait_for_timeout(300)
    app.settled()
    value = float(box.input_value())
    assert value > 1
    assert value in [change[1] for change in json.loads(query(app)["s"])["steering"].values()]
    assert slider.evaluate("node => node.getRootNode().activeElement === node"), (
        "the focus stays on the slider"
    )
    app.page.keyboard.press("Control+z")
    app.settled()
    assert box.input_value() == "1"


def test_a_bar_adds_its_feature_and_its_card_opens_its_page(open_page: Open) -> None:
    app = open_page(height=1800)
    add = app.page.locator(".feature-bars button.add").first
    feature = add.get_attribute("data-feature")
    before = panel(app)
    assert feature not in before
    add.click()
    app.settled()
    assert list(panel(app)) == [*before, feature]
    app.page.locator(f'.feature-bars button.label[data-feature="{feature}"]').click()
    app.page.locator(".feature-card [data-act=open]").click()
    app.page.wait_for_url("**/feature?**")
    app.settled()
    assert query(app)["feature"] == feature


def test_from_a_bar_to_the_features_page_to_the_sliders_and_back_by_link(open_page: Open) -> None:
    app = open_page(height=1800)
    before, answers = panel(app), texts(app)
    bars = app.page.locator(".feature-bars button.label").evaluate_all(
        "labels => labels.map(label => label.dataset.feature)"
    )
    feature = next(name for name in bars if name not in before)
    app.page.locator(f'.feature-bars button.label[data-feature="{feature}"]').click()
    app.page.locator(".feature-card [data-act=open]").click()
    app.page.wait_for_url("**/feature?**")
    app.page.locator(".sarm-example").first.wait_for()
    app.settled()
    # Read it: what it fires on, its weight, and the answers it was reached from.
    app.page.wait_for_function(
        "wanted => document.querySelector('.st-key-feature input')?.value === wanted",
        arg=feature,
        timeout=15_000,
    )
    assert "z = " in app.page.locator(".sarm-example").first.text_content()
    assert "head weight w" in app.page.locator(".sarm-figures").inner_text()
    app.page.locator("[data-testid=stDataFrame] canvas").first.wait_for()
    app.page.get_by_role("button", name="Add to sliders").click()
    app.page.get_by_role("button", name="On the sliders").wait_for()
    app.settled()
    # Back by the page's link, and by the address in another browser.
    app.page.get_by_test_id("stMain").get_by_role("link", name="Compare and steer").click()
    app.page.wait_for_selector(".rerank .answer")
    app.settled()
    assert list(panel(app)) == [*before, feature] and texts(app) == answers
    assert query(app)["s"] and feature in query(app)["s"]
    again = open_page("?" + urlsplit(app.page.url).query, height=1800)
    assert list(panel(again)) == [*before, feature] and texts(again) == answers


def test_tokens_are_coloured_by_the_feature_that_was_clicked(open_page: Open) -> None:
    app = open_page("explain", height=1400)
    tokens = app.page.locator(".sarm-tokens")
    scored = tokens.locator(".scored")
    titles = []
    for row in (0, 1):
        label = app.page.locator(".feature-bars button.label").nth(row)
        feature = label.get_attribute("data-feature")
        if row:  # a press on the row, or on the card of its name
            label.click()
            app.page.locator(".feature-card [data-act=own]").click()
        else:
            app.page.locator(".bar-row .cell").nth(row).click()
        app.settled()
        app.page.get_by_text(f"z of feature #{feature} at each token").wait_for()
        app.page.locator(f'.bar-row.chosen[data-feature="{feature}"]').wait_for()
        app.settled()
        assert query(app)["f"] == feature
        titles.append(scored.get_attribute("title"))
        colour = scored.evaluate("node => getComputedStyle(node).backgroundColor")
        assert colour.startswith("rgba(") and not colour.endswith(", 0)")
    assert titles[0] != titles[1]
    answer = app.page.get_by_role("combobox", name="Answer").first
    assert answer.count() == 1
    assert "<|im_end|>" in tokens.inner_text()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (380, True)])
def test_the_text_stays_in_sight_when_a_bar_far_down_is_clicked(
    open_page: Open, width: int, dark: bool
) -> None:
    app = open_page("explain", width=width, height=800, dark=dark)
    label = app.page.locator(".feature-bars button.label").nth(36)
    app.page.locator(".bar-row .cell").nth(36).click()
    app.settled()
    app.page.get_by_text(f"z of feature #{label.get_attribute('data-feature')} at each token").wait_for()
    app.settled()
    hit = """node => {
        const box = node.getBoundingClientRect();
        const at = document.elementFromPoint(box.left + 12, Math.min(box.bottom, innerHeight) - 12);
        return node.contains(at) || at.contains(node);
    }"""
    assert app.page.locator(".st-key-traced_text").evaluate(hit), (
        "the end of the text is seen, bars pass under it"
    )
    scored = app.page.locator(".sarm-tokens .scored").bounding_box()
    assert 60 <= scored["y"] <= 800, "below Streamlit's bar and within the window"
    clicked = label.bounding_box()
    assert scored["y"] + scored["height"] <= clicked["y"] <= 800 or width > 640, "the bar is not covered"
    assert sideways(app) == [0, 0]


@pytest.mark.parametrize("dark", [False, True])
def test_one_shade_is_one_activation_in_prompt_and_answer_and_its_word_can_be_read(
    open_page: Open, dark: bool
) -> None:
    app = open_page("explain", height=1400, dark=dark)
    seen = app.page.locator(".sarm-tokens").evaluate(
        """node => {
            const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
            const over = (colours) => {  // as the browser paints them, one over the other
                for (const colour of colours) { paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1); }
                return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
            };
            const paper = getComputedStyle(document.querySelector('.stApp')).backgroundColor;
            const look = (span, grounds) => ({
                ground: over(grounds), ink: over([...grounds, getComputedStyle(span).color]),
            });
            const shaded = [...node.querySelectorAll('span[title]')].map(span => ({
                z: span.title, prompt: span.closest('.prompt') !== null,
                alpha: Number(getComputedStyle(span).backgroundColor.match(/[\\d.]+(?=\\)$)/)[0]),
                ...look(span, [paper, getComputedStyle(span).backgroundColor]),
            }));
            let faded = false;
            for (let at = node.querySelector('.prompt span'); at; at = at.parentElement) {
                faded ||= getComputedStyle(at).opacity !== '1';
            }
            return { shaded, faded, plain: look(node.querySelector('.prompt'), [paper]) };
        }"""
    )
    assert {token["prompt"] for token in seen["shaded"]} == {True, False}
    assert not seen["faded"], "nothing around a shaded word of the prompt thins its colour"
    strengths = sorted((float(token["z"].removeprefix("z = ")), token["alpha"]) for token in seen["shaded"])
    assert [alpha for _, alpha in strengths] == sorted(alpha for _, alpha in strengths)
    assert min(contrast(token["ink"], token["ground"]) for token in seen["shaded"]) >= 4.5
    plain = contrast(seen["plain"]["ink"], seen["plain"]["ground"])
    assert 4.5 <= plain < contrast(seen["shaded"][-1]["ink"], seen["plain"]["ground"]), "muted, and readable"


def contrast(one: list[int], other: list[int]) -> float:
    """Of WCAG 2."""
    light, dark = sorted((luminance(np.array(one)), luminance(np.array(other))), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_a_wrong_model_is_one_line_and_the_one_in_use_stays(open_page: Open, tmp_path: Path) -> None:
    app = open_page("model", height=1200)
    facts = app.page.locator("[data-testid=stTable]").inner_text()
    app.page.get_by_role("textbox", name="Checkpoint").fill(str(tmp_path))
    app.page.get_by_role("button", name="Load", exact=True).click()
    alert = app.page.get_by_role("alert")
    alert.wait_for()
    app.settled()
    assert alert.count() == 1
    assert tmp_path.name in alert.inner_text() and "has not changed" in alert.inner_text()
    assert app.page.locator("[data-testid=stTable]").inner_text() == facts


def test_the_embedded_model_answers_a_prompt(open_page: Open) -> None:
    app = open_page(height=1400)
    body = popover(app, "Sample")
    body.get_by_label("Prompt", exact=True).fill("Name a fruit and say why you like it.")
    body.get_by_label("Answers").fill("2")
    body.get_by_label("Tokens at most").press("Home")
    body.get_by_role("button", name="Sample").click()
    body.wait_for(state="hidden")
    app.settled()
    answers = texts(app)
    assert len(answers) == 2
    assert all(len(answer.split()) >= 3 for answer in answers)
    assert "Name a fruit" in app.page.locator(".st-key-prompt_box").inner_text()
    assert "example" not in query(app)["a"]


def test_a_steering_is_saved_compared_and_composed_and_its_hostile_name_stays_text(open_page: Open) -> None:
    app = open_page(height=1400)
    name = f"{HACK} steering"
    box = app.page.locator(".row.feature input.box").first
    box.fill("0.5")
    box.press("Enter")
    app.settled()
    app.page.get_by_role("button", name="Steerings").click()
    dialog = app.page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill(name[:80])
    dialog.get_by_label("Note").fill(HACK)
    dialog.get_by_role("button", name="Save", exact=True).click()
    dialog.get_by_text("Saved as version 1").wait_for()
    app.settled()
    dialog.get_by_role("button", name="Save", exact=True).click()
    dialog.get_by_text("Nothing new to save").wait_for()
    app.settled()
    dialog.get_by_role("tab", name="Saved").click()
    dialog.get_by_text("No difference").wait_for()
    assert dialog.get_by_role("button", name="Open version 1").is_disabled()
    dialog.get_by_text("Composed", exact=True).click()
    app.settled()
    dialog.get_by_role("button", name="Compose onto").click()
    dialog.wait_for(state="hidden")
    app.settled()
    assert box.input_value() == "0.25", "half of a half"
    app.page.get_by_role("button", name="Undo").click()
    app.settled()
    assert box.input_value() == "0.5"
    app.page.get_by_role("button", name="Steerings").click()
    dialog.get_by_label("Name", exact=True).wait_for()
    app.settled()
    app.page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    app.settled()
    box.fill("0.75")
    box.press("Enter")
    app.settled()
    assert dialog.count() == 0, "a dialog that was closed stays closed when the page runs again"


def test_the_shares_are_drawn_once_a_group_of_any_active_features_is_made(open_page: Open) -> None:
    app = open_page(height=2600)
    before = panel(app)
    chart = app.page.locator(".st-key-share_chart .js-plotly-plot")
    assert chart.count() == 0, "one grey bar says nothing"
    app.page.get_by_role("button", name="Make a group").click()
    body = app.page.get_by_role("dialog")
    body.get_by_label("Name of the group").fill(HACK[:40])
    body.get_by_role("combobox").click()
    option = app.page.get_by_role("option").nth(6)
    feature = option.inner_text().split()[0].lstrip("#")
    assert feature not in before
    option.click()
    app.page.keyboard.press("Escape")
    body.get_by_role("button", name="Make group").click()
    body.wait_for(state="hidden")
    app.settled()
    assert list(panel(app)) == [*before, feature]
    chart.locator(".legendtext").last.wait_for()
    texts = chart.locator(".legendtext").all_text_contents()
    assert texts[1:] == ["unassigned", "sum"] and texts[0].startswith("<img src=x onerror=")
    assert chart.locator(".barlayer .trace").count() == 2


def test_a_click_on_the_menu_leaves_while_a_popover_is_open(open_page: Open) -> None:
    app = open_page()
    popover(app, "Paste").get_by_label("Answers, separated").fill("One\n---\nAnother")
    app.page.get_by_role("link", name="Disagreements").click(delay=80)
    app.page.get_by_role("heading", name="Disagreements").wait_for()
    app.page.wait_for_timeout(1_000)
    app.settled()
    assert urlsplit(app.page.url).path == "/disagreements"


def test_a_group_made_in_a_popover_closes_it_and_leaves_an_empty_form(open_page: Open) -> None:
    app = open_page(height=1400)
    first = f"#{next(iter(panel(app)))}"
    body = popover(app, "Group")
    body.get_by_label("Name of the group").fill("wording")
    body.get_by_role("combobox").click()
    app.page.get_by_role("option").filter(has_text=first).first.click()
    app.page.keyboard.press("Escape")
    body.get_by_role("button", name="Make group").click()
    body.wait_for(state="hidden")
    app.settled()
    assert popover(app, "Group").get_by_label("Name of the group").input_value() == ""


def test_nothing_said_of_the_old_answers_stands_under_a_new_prompt_while_it_is_scored(
    open_page: Open,
) -> None:
    app = open_page(height=1400)
    body = popover(app, "Paste")
    body.get_by_label("Prompt", exact=True).fill("Which is the longest?")
    body.get_by_label("Answers, separated").fill("\n---\n".join(f"{i} word" * 150 for i in range(12)))
    body.get_by_role("button", name="Compare").click()
    app.page.get_by_text("Scoring 12 answers").wait_for()
    app.page.wait_for_timeout(300)
    assert app.page.get_by_text("Scoring 12 answers").count() == 1, "the test needs it to take its time"
    assert app.page.locator(".rerank .answer").count() == 0
    assert app.page.get_by_text("most of all through").count() == 0
    app.page.locator(".rerank .answer").nth(11).wait_for()
