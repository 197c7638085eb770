"""Start of the app with the embedded model: server start to first page, first page to first scored answers.

Times a real server and a real Chromium; the converted weights are on disk. The model is loaded within the second
figure, since the first page does not need it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.report import Figure, arguments, publish
from tests.browser.conftest import ARGUMENTS, CHROMIUM, running_app

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pages, scores = [], []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch)
                started = time.perf_counter()
                env = {"SARM_DATA": str(folder / "data"), "OMP_NUM_THREADS": "2"}
                with running_app(ROOT / "app" / "main.py", folder, env) as address:
                    page = browser.new_page()
                    page.goto(address)
                    page.wait_for_selector("[data-testid=stSidebarNav]", timeout=60_000)
                    pages.append(time.perf_counter() - started)
                    page.wait_for_selector(".st-key-rerank", timeout=60_000)
                    scores.append(time.perf_counter() - started - pages[-1])
                    page.close()
        browser.close()
    publish(
        [
            Figure("server start to first page, median", statistics.median(pages), "s", ("<=", 3.0)),
            Figure("first page to first scored answers, median", statistics.median(scores), "s", ("<=", 2.0)),
        ],
        options.out,
        rounds=options.rounds,
    )


if __name__ == "__main__":
    main()
