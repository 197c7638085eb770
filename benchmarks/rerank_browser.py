"""How long one frame takes while a steering slider is dragged, in a real browser.

    python benchmarks/rerank_browser.py [--out rerank_browser.json]

Serves the component's test page with many answers and sliders, holds a slider with the mouse and moves it
once a frame. Reported per frame, in ms:

    work     script, style and layout of a frame by the wall clock, measured inside the page: what a person
             at this machine waits for, other programs' load included
    cpu      the same in time the browser's main thread really ran (script + style + layout, DevTools metrics
             in thread ticks), mean per frame: what the component costs
    thread   all that the main thread ran per frame, painting without a GPU included
    between  the time from one frame to the next, which the display's clock holds at 16.7 or above

The claim is about a frame's script, style and layout: at most 16 ms, so that the ranking moves with the mouse.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.browser.conftest import ARGUMENTS, CHROMIUM, AppPage, running_app

ROOT = Path(__file__).resolve().parents[1]

LIMIT_MS = 16.0
CASES = [(8, 8), (50, 32), (200, 32)]

DRAG = """
async ([root, frames]) => {
  const slider = root.querySelector("input.slider");
  const low = Number(slider.min), high = Number(slider.max);
  const list = root.querySelector(".answers");
  const orderOf = () => [...list.children].map((node) => node.style.transform).join();
  const rect = slider.getBoundingClientRect();
  const frame = () => new Promise(requestAnimationFrame);
  slider.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
  const work = [], between = [];
  let reorders = 0, order = orderOf(), last = await frame();
  for (let i = 0; i < frames; i += 1) {
    // A sweep to and fro across the whole track, so that answers keep passing each other.
    const at = 0.5 - 0.5 * Math.cos((i / 60) * 2 * Math.PI);
    slider.value = String(low + (high - low) * at);
    const start = performance.now();
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    // The component paints in the next frame; this callback is queued behind it.
    const now = await frame();
    list.getBoundingClientRect();
    work.push(performance.now() - Math.max(start, now));
    between.push(now - last);
    last = now;
    const next = orderOf();
    if (next !== order) reorders += 1;
    order = next;
  }
  window.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
  return { work, between, reorders };
}
"""


def measure(page: Any, address: str, answers: int, sliders: int, frames: int) -> dict[str, Any]:
    """One case: `frames` frames of dragging with so many answers and sliders."""
    app = AppPage(page)
    app.open(f"{address}/?answers={answers}&features={sliders}")
    page.wait_for_selector(".answer")
    root = page.locator(".rerank")
    root.evaluate(f"async root => ({DRAG})([root, 30])")
    app.settled()
    metrics = page.context.new_cdp_session(page)
    metrics.send("Performance.enable", {"timeDomain": "threadTicks"})

    def ran() -> dict[str, float]:
        return {m["name"]: m["value"] for m in metrics.send("Performance.getMetrics")["metrics"]}

    before = ran()
    told = root.evaluate(f"async root => ({DRAG})([root, {frames}])")
    after = ran()
    cpu = {
        part: round((after[name] - before[name]) * 1000 / frames, 2)
        for part, name in (
            ("script", "ScriptDuration"),
            ("style", "RecalcStyleDuration"),
            ("layout", "LayoutDuration"),
            ("thread", "TaskDuration"),
        )
    }
    app.settled()
    return {
        "answers": answers,
        "sliders": sliders,
        "frames": frames,
        "frames_with_new_order": told["reorders"],
        "work_ms": summary(told["work"]),
        "cpu_ms": round(cpu["script"] + cpu["style"] + cpu["layout"], 2),
        "cpu_parts_ms": cpu,
        "between_ms": summary(told["between"]),
        "limit_ms": LIMIT_MS,
        "within_limit": cpu["script"] + cpu["style"] + cpu["layout"] <= LIMIT_MS,
    }


def summary(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 2),
        "p95": round(percentile(values, 0.95), 2),
        "max": round(max(values), 2),
    }


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="also write the figures here as JSON")
    parser.add_argument("--frames", type=int, default=240)
    arguments = parser.parse_args()
    if not CHROMIUM.exists():
        raise SystemExit(f"no Chromium at {CHROMIUM}: install it or set CHROMIUM")
    from playwright.sync_api import sync_playwright

    results = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        version = browser.version
        with running_app(ROOT / "tests/browser/rerank_page.py", Path(folder)) as address:
            for answers, sliders in CASES:
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                results.append(measure(page, address, answers, sliders, arguments.frames))
                page.close()
        browser.close()
    heads = ("answers", "sliders", "median", "p95", "max", "cpu", "limit", "thread", "reordered")
    print("".join(f"{head:>10}" for head in heads))
    for r in results:
        work, cpu = r["work_ms"], r["cpu_ms"]
        figures = (work["median"], work["p95"], work["max"], cpu, LIMIT_MS, r["cpu_parts_ms"]["thread"])
        row = f"{r['answers']:>10}{r['sliders']:>10}" + "".join(f"{figure:>10.2f}" for figure in figures)
        print(f"{row}{r['frames_with_new_order']:>6}/{r['frames']}")
    report = {
        "claim": "script, style and layout of one frame while dragging stay within limit_ms",
        "browser": f"Chromium {version}, headless, no GPU",
        "machine": f"{platform.machine()}, {platform.system()} {platform.release()}",
        "measured": time.strftime("%Y-%m-%d"),
        "cases": results,
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
