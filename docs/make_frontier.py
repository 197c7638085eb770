"""Draw what `sarm learn --report` found: python docs/make_frontier.py REPORT.json writes docs/images/learn-*.svg."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sarm_core import Series, curve_chart, svg_file, trade_off_chart, whole_file

IMAGES = Path(__file__).parent / "images"


def main(path: str) -> None:
    """The frontier of gain against what turns elsewhere, and the learning curve."""
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    points = sorted(found["frontier"], key=lambda point: point["turned"])
    number = [float(i + 1) for i in range(len(points))]
    turned = Series(
        "orders that turn elsewhere",
        number,
        [point["turned"] for point in points],
        [point["turned_low"] for point in points],
        [point["turned_high"] for point in points],
    )
    gains = [point["gain"] for point in points]
    gained = Series(
        "held-out accuracy gained",
        number,
        [gain["difference"] for gain in gains],
        [gain["low"] for gain in gains],
        [gain["high"] for gain in gains],
    )
    marks = [(at, "written") for at, point in zip(number, points, strict=True) if point["chosen"]]
    frontier = trade_off_chart(
        "learn-frontier",
        "Gain against what turns elsewhere, one point a strength",
        turned,
        gained,
        marks=marks,
    )
    curve = found["learning_curve"]
    learned = curve_chart(
        "learn-curve",
        "Held-out gain against pairs learned from",
        [
            Series(
                "gain",
                [float(point["n_pairs"]) for point in curve],
                [point["gain"]["difference"] for point in curve],
                [point["gain"]["low"] for point in curve],
                [point["gain"]["high"] for point in curve],
            )
        ],
        "pairs learned from",
    )
    for name, chart in (("frontier", frontier), ("curve", learned)):
        with whole_file(IMAGES / f"learn-{name}.svg") as file:
            file.write(svg_file(chart))


if __name__ == "__main__":
    main(sys.argv[1])
