"""Draw what `sarm watch` found in two runs: python docs/make_watch.py FEATURE PLAIN.json OTHER.json.

Both were written by `sarm watch RUN --window 5 --feature FEATURE --out ...`. It writes docs/images/watch.svg: the
change of the feature's mean contribution in either run, and of everything else together.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sarm_core import Series, curve_chart, svg_file, whole_file
from sarm_core.figures import signed

IMAGE = Path(__file__).parent / "images" / "watch.svg"


def series(feature: int, name: str, found: dict[str, Any]) -> list[Series]:
    """The feature, with its interval, and the rise of the reward without it."""
    steps = [float(point["steps"][-1]) for point in found["points"]]
    row = next(row for row in found["features"] if row["feature"] == feature)
    others = [point["rise"]["value"] - own for point, own in zip(found["points"], row["change"], strict=True)]
    return [
        Series(f"#{feature}, {name}", steps, row["change"], row["change_low"], row["change_high"]),
        Series(f"others, {name}", steps, others),
    ]


def main(feature: str, *paths: str) -> None:
    """One chart of both runs."""
    runs = [json.loads(Path(path).read_text(encoding="utf-8")) for path in paths]
    drawn = [
        one
        for path, run in zip(paths, runs, strict=True)
        for one in series(int(feature), Path(path).stem, run)
    ]
    chart = curve_chart(
        "watch",
        f"Change of the mean contribution since the first steps: #{feature} and all others",
        [*drawn[::2], *drawn[1::2]],
        "step",
        shown=signed,
    )
    with whole_file(IMAGE) as file:
        file.write(svg_file(chart))


if __name__ == "__main__":
    main(*sys.argv[1:])
