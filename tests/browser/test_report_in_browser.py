"""The report in a real browser: offline, quiet, readable at both widths; and made by the page as it was asked."""

import contextlib
import http.server
import threading

import pytest

from sarm_core import load_sarm
from sarm_core.demo.corpus import answers as corpus_answers
from sarm_core.report.html_report import FeatureNote, html_report
from sarm_core.score.encoded import encode_once
from tests.browser.conftest import ROOT
from tests.sarm_core.evaluations import SCALED, evaluation, pairs
from tests.sarm_core.html_page import Page
from tests.sarm_core.tiny_models import text_checkpoint

pytestmark = pytest.mark.browser

HOSTILE = (
    '"><img src="http://127.0.0.1:9/x.png" onerror="document.title=1"><script>document.title=2</script>'
    "<style>@import url(http://127.0.0.1:9/x.css)</style>"
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    data = evaluation(pairs())
    for flip in data["flips"]:
        flip["prompt"] = flip["right_answer"] = HOSTILE
    data["model"]["name"] = HOSTILE
    path = tmp_path_factory.mktemp("report") / "report.html"
    notes = {i: FeatureNote(HOSTILE, "suggested", 0.1, (HOSTILE,)) for i in SCALED.features()}
    path.write_text(html_report(data, question=HOSTILE, title="A report", author=HOSTILE, notes=notes))
    return path


@pytest.fixture(scope="module")
def served(file):
    """The same file from a server that counts what is asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(file.parent))

        def do_GET(self):
            asked.append(self.path)
            with contextlib.suppress(ConnectionError):
                super().do_GET()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/report.html", asked
    server.shutdown()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [380, 1280])
def test_the_file_asks_for_nothing_says_nothing_and_fits(file, served, new_page, width, dark):
    app = new_page(width=width, dark=dark)
    page, requests = app.page, []
    page.on("request", lambda request: requests.append(request.url))
    address, asked = served
    for opened in (file.as_uri(), address):
        asked.clear()
        requests.clear()
        page.goto(opened)
        page.wait_for_timeout(300)
        assert [url for url in requests if not url.startswith("data:")] == [opened]
        assert asked == ([] if opened.startswith("file:") else ["/report.html"])
    assert app.errors == [] and page.title() == "A report"
    assert page.evaluate("document.scripts.length + document.images.length") == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shown = {name: page.locator(f"figure svg.{name}:visible").count() for name in ("wide", "narrow")}
    assert (shown["wide"] > 4) == (width > 1000) and (shown["narrow"] > 4) == (width < 1000)
    background, ink = (
        page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color")
    )
    light = [sum(map(int, colour[4:-1].split(","))) for colour in (background, ink)]
    assert (light[0] < light[1]) == dark
    # Every picture can be read aloud, and its numbers opened by keyboard.
    names = page.eval_on_selector_all(
        "figure svg[role=img]:not([aria-hidden])",
        "all => all.filter(svg => svg.getClientRects().length).map(svg => svg.getAttribute('aria-labelledby')"
        ".split(' ').map(id => document.getElementById(id).textContent).join('|'))",
    )
    assert names and all(len(name) > 20 for name in names)
    summary = page.locator("#changes summary")
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("#changes table").is_visible()


def test_no_label_of_a_picture_leaves_the_picture(file, new_page):
    for width in (380, 1280):
        page = new_page(width=width).page
        page.goto(file.as_uri())
        outside = page.evaluate(
            """() => [...document.querySelectorAll('figure svg[role=img]')].filter(s => s.getClientRects().length)
            .flatMap(svg => { const box = svg.getBoundingClientRect();
              return [...svg.querySelectorAll('text')].filter(t => { const r = t.getBoundingClientRect();
                return r.left < box.left - 2 || r.right > box.right + 2 ||
                       r.top < box.top - 2 || r.bottom > box.bottom + 2 })
              .map(t => svg.getAttribute('aria-labelledby') + ': ' + t.textContent) })"""
        )
        assert outside == []


def test_the_policy_in_the_file_stops_what_would_get_past_the_escaping(file, new_page):
    app = new_page()
    app.page.goto(file.as_uri())
    picture = '<img src="http://127.0.0.1:9/y.png" onerror="window.hacked = 1">'
    app.page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", picture)
    app.page.wait_for_timeout(300)
    assert app.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in line for line in app.errors)


# -- from the page -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(app_server, tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    folder = text_checkpoint(root / "tiny")
    answers = [answer.conversation for answer in corpus_answers()]
    encode_once(load_sarm(folder), answers, folder=root / "cache" / "encoded")
    env = {"SARM_MODEL": folder, "SARM_DATA": root / "data", "SARM_CACHE": root / "cache"}
    return app_server(ROOT / "app" / "main.py", {name: str(path) for name, path in env.items()})


def test_a_question_typed_just_before_the_click_is_in_the_file(address, new_page, tmp_path):
    app = new_page(width=1280, height=1400, accept_downloads=True)
    page = app.page
    page.set_default_timeout(60_000)
    page.goto(f"{address}/evaluate")
    app.finished()
    page.locator("section[data-testid=stSidebar] input").first.fill("Grace Hopper")
    page.keyboard.press("Enter")
    app.finished()
    page.locator(".st-key-eval_go button").click()
    page.locator(".st-key-eval_report_page button").wait_for()
    app.finished()
    page.locator(".st-key-eval_question textarea").fill("Does <b>it</b> refuse too much?")
    page.locator(".st-key-eval_report_page button").click()
    offered = page.locator(".st-key-eval_report_file button")
    offered.wait_for()
    app.finished()
    with page.expect_download() as waiting:
        offered.click()
    saved = tmp_path / "report.html"
    waiting.value.save_as(saved)
    assert waiting.value.suggested_filename == "report.html"
    made = Page.of(saved.read_text())
    assert "Does <b>it</b> refuse too much?" in made.texts["question"]
    assert "Grace Hopper" in saved.read_text()
    assert "The plain model reaches a total of" in made.texts["verdict"]
    assert not [line for line in app.errors if "Failed to load resource" not in line]
