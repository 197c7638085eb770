"""The first picture: a real server and a real Chromium, the embedded model, a data folder that is empty at the start.

From the moment the server answers to the first ranking with live sliders; the same with the start of the process; the
first score of a text that nobody scored before, asked for at once and after a person's first seconds; and how far
things jump meanwhile (the browser's own layout shift). An empty Streamlit page of one title stands beside, as the
limit of what can be had. The converted backbone is on disk, and what `sarm demo fetch` leaves beside it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from benchmarks.report import Figure, arguments, publish
from sarm_core.score.kept_sarm import load_or_kept
from tests.browser.conftest import ARGUMENTS, CHROMIUM, running_app

ROOT = Path(__file__).resolve().parents[1]
SHIFTS = """
window.shifts = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifts += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
EMPTY = "import streamlit as st\nst.set_page_config(layout='wide')\nst.title('Empty', anchor=False)\n"
READ_FIRST_S = 4.0
"""What a person looks before the first text of their own, at the least"""


def first_picture(browser: Any, script: Path, shown: str) -> dict[str, float]:
    """Seconds of one start, and the page's layout shift; `shown` selects what counts as the picture."""
    with tempfile.TemporaryDirectory() as scratch:
        started = time.perf_counter()
        env = {"SARM_DATA": f"{scratch}/data", "OMP_NUM_THREADS": "2"}
        with running_app(script, Path(scratch), env) as address:
            answered = time.perf_counter()
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.add_init_script(SHIFTS)
            page.goto(address)
            page.wait_for_selector(shown, timeout=120_000)
            found = {
                "picture": time.perf_counter() - answered,
                "with_start": time.perf_counter() - started,
            }
            if script.name == "main.py":
                found["new_text"] = new_text(page, "What is the capital of Kenya?", "Nairobi.", "Mombasa.")
                page.wait_for_timeout(READ_FIRST_S * 1000)
                found["next_text"] = new_text(page, "How many legs has a spider?", "Eight.", "Six, I think.")
            page.wait_for_timeout(1_000)
            found["shift"] = page.evaluate("window.shifts")
            page.close()
    return found


def new_text(page: Any, prompt: str, *answers: str) -> float:
    """Seconds from pressing Compare, with a prompt and answers of one's own, to their ranking."""
    shifts = page.evaluate("window.shifts")
    prompt += f" ({time.time_ns()})"  # or it would be known from the round before
    page.get_by_role("button", name="Paste").first.click()
    page.locator(".st-key-paste_prompt textarea").fill(prompt)
    page.locator(".st-key-paste_answers textarea").fill("\n---\n".join(answers))
    pressed = time.perf_counter()
    page.get_by_role("button", name="Compare", exact=True).first.click()
    page.locator(".st-key-rerank .answer", has_text=answers[0]).wait_for(timeout=120_000)
    seconds = time.perf_counter() - pressed
    page.evaluate("value => { window.shifts = value }", shifts)  # what was asked for may move what is there
    return seconds


def main() -> None:
    parser = arguments("Time to the first picture and to the first score of a new text.")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    load_or_kept("demo")
    ours: list[dict[str, float]] = []
    empty: list[dict[str, float]] = []
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "empty.py"
        bare.write_text(EMPTY)
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        for _ in range(options.rounds):
            ours.append(first_picture(browser, ROOT / "app" / "main.py", ".st-key-rerank .answer"))
            empty.append(first_picture(browser, bare, "h1"))
        browser.close()

    def median(of: list[dict[str, float]], name: str) -> float:
        return statistics.median(found[name] for found in of)

    publish(
        [
            Figure("server answers to first ranking, median", median(ours, "picture"), "s", ("<=", 2.5)),
            Figure("the same of an empty Streamlit page", median(empty, "picture"), "s"),
            Figure("process start to first ranking, median", median(ours, "with_start"), "s"),
            Figure("the same of an empty Streamlit page", median(empty, "with_start"), "s"),
            Figure("new text, asked for at once, median", median(ours, "new_text"), "s"),
            Figure("new text after some seconds, median", median(ours, "next_text"), "s", ("<=", 2.0)),
            Figure("layout shift, largest", max(found["shift"] for found in ours), "", ("<=", 0.001)),
            Figure("the same of an empty Streamlit page", max(found["shift"] for found in empty), ""),
        ],
        options.out,
        rounds=options.rounds,
    )


if __name__ == "__main__":
    main()
