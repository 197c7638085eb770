"""Scores along a multiplier: any number of curves over it, or one score against another."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sarm_core.figures import percent, tick
from sarm_core.markup import Markup, join, style_sheet, table, tag
from sarm_core.report.chart_frame import WIDE, figure, key, padded
from sarm_core.report.drawing import SMALL_SIZE, Canvas, Scale, fitted, text_width

__all__ = ["LINE_SERIES", "Series", "curve_chart", "svg_file", "trade_off_chart"]

LINE_SERIES = 8
"""Lines told apart by colour and dashes in one chart"""


@dataclass(frozen=True)
class Series:
    """A named score over x, with an interval where `low` and `high` are given; None is a gap."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None


def curve_chart(
    name: str,
    title: str,
    series: Sequence[Series],
    x_title: str,
    *,
    marks: Sequence[tuple[float, str]] = (),
    shown: Callable[[float | None], str] = percent,
    shown_x: Callable[[float], str] = tick,
) -> Markup:
    """Any number of named scores over one x, with bands where they have intervals.

    The first `LINE_SERIES` are drawn, the table has all. `marks` are (x, what it is); `shown` writes a score,
    by default a share in percent.
    """
    drawn = list(series)[:LINE_SERIES]
    banded = [s for s in drawn if s.low is not None and s.high is not None]
    banded = banded if len(banded) <= 4 else []

    def draw(width: float) -> Canvas:
        wide = width == WIDE
        height, left, top = (340.0, 52.0, 30.0) if wide else (280.0, 46.0, 30.0)
        right, bottom = (width - 170 if wide else width - 14), height - 46
        canvas = Canvas(width, height)
        xs = [x for s in drawn for x in s.x] or [0.0]
        ys = [v for s in drawn for v in s.y if v is not None]
        ys += [v for s in banded for side in (s.low, s.high) for v in side or () if v is not None]
        scale_x = Scale((min(xs), max(xs)), (left, right))
        scale_y = Scale(padded(min(ys, default=0.0), max(ys, default=1.0), 0.05), (bottom, top))
        canvas.y_axis(scale_y, left, right, lambda v: shown(v).replace(".0\u00a0%", "\u00a0%"), 6)
        canvas.x_axis(scale_x, bottom, bottom, shown_x, 8 if wide else 5, x_title)
        for x, text in marks:
            canvas.line(scale_x(x), top - 4, scale_x(x), bottom, "mark")
            anchor = "start" if scale_x(x) < (left + right) / 2 - 1 or x == min(xs) else "middle"
            canvas.text(scale_x(x), top - 10, fitted(text, (right - left) / 2, SMALL_SIZE), "m", anchor)
        for number, s in enumerate(drawn):
            if s in banded:
                for part in _runs(s.x, s.low or (), s.high or ()):
                    outline = [(scale_x(x), scale_y(low)) for x, low, _ in part]
                    outline += [(scale_x(x), scale_y(high)) for x, _, high in reversed(part)]
                    canvas.shape(outline, f"band c{number}")
        ends = []
        for number, s in enumerate(drawn):
            for part in _runs(s.x, s.y, s.y):
                canvas.lines([(scale_x(x), scale_y(y)) for x, y, _ in part], f"curve c{number}")
            known = [(x, y) for x, y in zip(s.x, s.y, strict=True) if y is not None]
            if known and wide:
                ends.append((scale_y(known[-1][1]), number, s.name))
        for y, number, text in _apart(ends, 15, top, bottom):
            canvas.line(right + 4, y, right + 18, y, f"curve c{number}")
            canvas.text(right + 23, y + 4, fitted(text, width - right - 25), "t")
        return canvas

    rows = sorted({x for s in series for x in s.x})
    found = [
        {x: (y, low, high) for x, y, low, high in zip(s.x, s.y, *_sides(s), strict=True)} for s in series
    ]
    numbers = table(
        [x_title, *(s.name for s in series)],
        [[shown_x(x), *(_with_interval(points.get(x), shown) for points in found)] for x in rows],
        caption=title,
    )
    said = "; ".join(
        f"{s.name}: from {shown(s.y[0])} at {shown_x(s.x[0])} to {shown(s.y[-1])} at {shown_x(s.x[-1])}"
        for s in series
        if len(s.x)
    )
    shown_key = key([(s.name, f"curve c{i}") for i, s in enumerate(drawn)], class_="key narrow")
    return figure(name, title, said, draw, numbers, shown_key)


def trade_off_chart(
    name: str,
    title: str,
    across: Series,
    up: Series,
    *,
    marks: Sequence[tuple[float, str]] = (),
    shown: Callable[[float | None], str] = percent,
    multiplier: str = "strength",
) -> Markup:
    """One score against another along a multiplier (the x of both series, which must be the same).

    `marks` name multipliers; at these the intervals are drawn as a cross. Points with a gap are left out.
    """
    if list(across.x) != list(up.x):
        raise ValueError("both series of a trade-off must be over the same multipliers")
    points = [
        (m, a, u) for m, a, u in zip(across.x, across.y, up.y, strict=True) if a is not None and u is not None
    ]
    known = {m: i for i, m in enumerate(across.x)}

    def draw(width: float) -> Canvas:
        wide = width == WIDE
        height, left = (400.0, 62.0) if wide else (320.0, 52.0)
        right, top, bottom = width - (130 if wide else 16), 28.0, height - 46
        canvas = Canvas(width, height)
        crosses = [known[m] for m, _ in marks if m in known]
        sides = [
            [p[i] for p in points]
            + [v for at in crosses for side in _sides(s) if (v := side[at]) is not None]
            for i, s in ((1, across), (2, up))
        ]
        scales = [
            Scale(padded(min(v, default=0.0), max(v, default=1.0), 0.06), pixels)
            for v, pixels in zip(sides, ((left, right), (bottom, top)), strict=True)
        ]

        def tick(value: float) -> str:
            return shown(value).replace(".0\u00a0%", "\u00a0%")

        canvas.y_axis(scales[1], left, right, tick, 6)
        canvas.x_axis(scales[0], bottom, top, tick, 6 if wide else 4, f"{across.name} →")
        canvas.text(0, 14, fitted(f"↑ {up.name}", width, SMALL_SIZE), "m")
        for at in crosses:
            a, u = across.y[at], up.y[at]
            if a is None or u is None:
                continue
            (low_a, high_a), (low_u, high_u) = ([side[at] for side in _sides(s)] for s in (across, up))
            if low_a is not None and high_a is not None:
                canvas.line(scales[0](low_a), scales[1](u), scales[0](high_a), scales[1](u), "cross")
            if low_u is not None and high_u is not None:
                canvas.line(scales[0](a), scales[1](low_u), scales[0](a), scales[1](high_u), "cross")
        canvas.lines([(scales[0](a), scales[1](u)) for _, a, u in points], "curve c0")
        named = dict(marks)
        for m, a, u in points:
            canvas.circle(scales[0](a), scales[1](u), 5.5 if m in named else 2.5, "dot plain")
        placed: list[tuple[float, float, float]] = []
        together: dict[tuple[float, float], list[str]] = {}
        for m, a, u in points:
            if m in named:
                together.setdefault((a, u), []).append(named[m])
        for (a, u), texts in together.items():
            _label(canvas, ", ".join(texts), scales[0](a), scales[1](u), placed, width)
        return canvas

    sides = [_sides(across), _sides(up)]
    numbers = table(
        [multiplier, across.name, up.name],
        [
            [
                tick(m),
                *(
                    _with_interval((s.y[i], side[0][i], side[1][i]), shown)
                    for s, side in zip((across, up), sides, strict=True)
                ),
            ]
            for i, m in enumerate(across.x)
        ],
        caption=title,
    )
    said = "; ".join(
        f"{multiplier} {tick(m)}: {across.name} {shown(a)}, {up.name} {shown(u)}"
        for m, a, u in (points if len(points) < 8 else points[:: max(1, len(points) // 6)])
    )
    return figure(name, title, said, draw, numbers)


def _sides(s: Series) -> tuple[Sequence[float | None], Sequence[float | None]]:
    none = [None] * len(s.x)
    return (s.low if s.low is not None else none), (s.high if s.high is not None else none)


def _runs(
    xs: Sequence[float], one: Sequence[float | None], two: Sequence[float | None]
) -> list[list[tuple[float, float, float]]]:
    """Stretches without a gap."""
    runs: list[list[tuple[float, float, float]]] = [[]]
    for x, a, b in zip(xs, one, two, strict=True):
        if a is None or b is None:
            runs.append([])
        else:
            runs[-1].append((x, a, b))
    return [run for run in runs if run]


def _with_interval(
    found: tuple[float | None, float | None, float | None] | None, shown: Callable[[float | None], str]
) -> Markup | str:
    if found is None:
        return ""
    value, low, high = found
    if low is None or high is None:
        return shown(value)
    return join([shown(value), tag("small", f"{shown(low)} to {shown(high)}")], " ")


def _apart(
    ends: list[tuple[float, int, str]], gap: float, top: float, bottom: float
) -> list[tuple[float, int, str]]:
    """Labels at their lines' ends, moved so that none covers another."""
    placed: list[tuple[float, int, str]] = []
    for y, number, text in sorted(ends):
        y = max(y, placed[-1][0] + gap) if placed else max(y, top)
        placed.append((y, number, text))
    limit = bottom
    for i in range(len(placed) - 1, -1, -1):
        y, number, text = placed[i]
        placed[i] = (min(y, limit), number, text)
        limit = placed[i][0] - gap
    return placed


def _label(
    canvas: Canvas, text: str, x: float, y: float, placed: list[tuple[float, float, float]], width: float
) -> None:
    """Beside a point, where there is room: right of it, else left, else moved down past what is there."""
    size = text_width(text, SMALL_SIZE)
    right = x + 10 + size < width
    start = x + 10 if right else x - 10 - size
    at = y - 8
    while any(abs(at - other) < 13 and start < end and begin < start + size for begin, end, other in placed):
        at += 13
    placed.append((start, start + size, at))
    canvas.text(x + 10 if right else x - 10, at, text, "m halo", "start" if right else "end")


def svg_file(chart: str) -> str:
    """The wide picture of a chart as an SVG file of its own, with the report's colours in it. Raises ValueError."""
    found = re.search(r'<svg [^>]*class="wide"[^>]*>', chart)
    if found is None:
        raise ValueError("the chart has no wide picture")
    end = chart.index("</svg>", found.end())
    opening = found[0].replace('class="wide"', 'class="wide" style="background: var(--paper)"')
    css = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    return f"{opening}{style_sheet(css)}{chart[found.end() : end]}</svg>\n"
