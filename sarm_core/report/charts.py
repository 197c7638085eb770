"""Dots with whiskers, bars and distributions, each with a table of its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sarm_core.figures import count, reward, signed, tick
from sarm_core.markup import Markup, table
from sarm_core.report.chart_frame import WIDE, figure, key, padded
from sarm_core.report.drawing import SMALL_SIZE, TEXT_SIZE, Canvas, Scale, fitted, text_width

__all__ = [
    "BAR_SERIES",
    "Mark",
    "bar_chart",
    "distribution_chart",
    "dot_chart",
]

BAR_SERIES = 4


@dataclass(frozen=True)
class Mark:
    """One row of a dot chart. `kind` is "better", "worse", "unclear" or "plain"; `facts` stands under the name."""

    name: str
    facts: str
    value: float | None
    low: float | None
    high: float | None
    shown: str
    kind: str = "plain"


def dot_chart(
    name: str,
    title: str,
    marks: Sequence[Mark],
    axis: Callable[[float], str],
    axis_title: str,
    numbers: Markup,
    shown_key: Markup | None = None,
) -> Markup:
    """Dots with whiskers about 0, one row each; `numbers` is the table with the same figures."""

    def draw(width: float) -> Canvas:
        wide = width == WIDE
        row, top = (38.0, 10.0) if wide else (60.0, 6.0)
        left, right = (
            (262.0, width - min(180.0, max(text_width(m.shown) for m in marks) + 16))
            if wide
            else (12.0, width - 12)
        )
        canvas = Canvas(width, top + row * len(marks) + 46)
        found = [v for m in marks for v in (m.value, m.low, m.high, 0.0) if v is not None]
        margin = (max(found) - min(found)) * 0.05 or 0.01
        scale = Scale((min(found) - margin, max(found) + margin), (left, right))
        bottom = top + row * len(marks)
        canvas.x_axis(scale, bottom, top, axis, 6 if wide else 4, axis_title)
        canvas.line(scale(0), top, scale(0), bottom, "zero")
        for position, mark in enumerate(marks):
            y = top + row * position
            at = y + row / 2 if wide else y + 46
            if wide:
                canvas.text(left - 16, at - 2, fitted(mark.name, left - 20), "t", "end")
                canvas.text(left - 16, at + 13, fitted(mark.facts, left - 20, SMALL_SIZE), "m", "end")
                canvas.text(right + 14, at + 4, fitted(mark.shown, width - right - 14), "t")
            else:
                taken = text_width(mark.shown) + 14
                canvas.backed_text(0, y + 16, fitted(mark.name, width - taken), TEXT_SIZE)
                canvas.text(width, y + 16, mark.shown, "t halo", "end")
                canvas.backed_text(0, y + 31, fitted(mark.facts, width, SMALL_SIZE), SMALL_SIZE, "m")
            if mark.low is not None and mark.high is not None:
                canvas.line(scale(mark.low), at, scale(mark.high), at, f"whisker {mark.kind}")
                for end in (mark.low, mark.high):
                    canvas.line(scale(end), at - 4, scale(end), at + 4, f"whisker {mark.kind}")
            if mark.value is not None:
                shape = canvas.diamond if mark.kind == "worse" else canvas.circle
                shape(scale(mark.value), at, 5.5 if mark.kind == "worse" else 5, f"dot {mark.kind}")
        return canvas

    said = "; ".join(f"{mark.name}: {mark.shown}" for mark in marks)
    return figure(name, title, said, draw, numbers, shown_key)


def bar_chart(
    name: str,
    title: str,
    rows: Sequence[tuple[str, Mapping[str, float | None]]],
    series: Sequence[str],
    axis_title: str,
) -> Markup:
    """Bars from 0 for each row, one a series (at most `BAR_SERIES` are drawn; the table has all of them)."""
    drawn = list(series)[:BAR_SERIES]

    def draw(width: float) -> Canvas:
        wide = width == WIDE
        bar, gap = 13.0, 14.0
        label = 0.0 if wide else 20.0
        row = label + bar * len(drawn) + gap
        left, right = (262.0, width - 60) if wide else (8.0, width - 62)
        canvas = Canvas(width, 6 + row * len(rows) + 44)
        found = [0.0, *(v for _, values in rows for n in drawn if (v := values.get(n)) is not None)]
        scale = Scale(padded(min(found), max(found), 0.02), (left, right))
        bottom = 6 + row * len(rows)
        canvas.x_axis(scale, bottom, 6, tick, 5 if wide else 3, axis_title)
        canvas.line(scale(0), 6, scale(0), bottom, "zero")
        for position, (text, values) in enumerate(rows):
            y = 6 + row * position + gap / 2
            if wide:
                middle = y + bar * len(drawn) / 2 + 4
                canvas.text(left - 14, middle, fitted(text, left - 18), "t", "end")
            else:
                canvas.backed_text(0, y + 11, fitted(text, width), TEXT_SIZE)
            for number, series_name in enumerate(drawn):
                value = values.get(series_name)
                at = y + label + bar * number
                if value is None:
                    continue
                canvas.rect(scale(0), at, scale(value) - scale(0), bar - 3, f"bar c{number}")
                canvas.text(max(scale(value), scale(0)) + 5, at + bar - 3, signed(value), "m")
        return canvas

    numbers = table(
        ["feature", *series],
        [[text, *(signed(values.get(n)) for n in series)] for text, values in rows],
        caption=title,
    )
    said = "; ".join(
        f"{text}: " + ", ".join(f"{n} {signed(values.get(n))}" for n in drawn) for text, values in rows
    )
    shown_key = key([(n, f"bar c{i}") for i, n in enumerate(drawn)]) if len(drawn) > 1 else None
    return figure(name, title, said, draw, numbers, shown_key)


def distribution_chart(
    name: str,
    title: str,
    edges: Sequence[float],
    before: Sequence[int],
    after: Sequence[int] | None,
    means: tuple[float | None, float | None],
) -> Markup:
    """Rewards before (filled) and after (outlined) on common bins, with both means marked."""
    sides = [("before", before, means[0])] + ([("after", after, means[1])] if after is not None else [])

    def draw(width: float) -> Canvas:
        wide = width == WIDE
        height, left, top = (250.0, 44.0, 26.0) if wide else (220.0, 36.0, 26.0)
        canvas = Canvas(width, height)
        bottom, right = height - 44, width - 8
        scale_x = Scale((edges[0], edges[-1]), (left, right))
        scale_y = Scale((0, max(1, *(max(counts, default=0) for _, counts, _ in sides))), (bottom, top))
        canvas.y_axis(scale_y, left, right, lambda v: f"{v:g}" if v == int(v) else "", 4)
        canvas.x_axis(scale_x, bottom, bottom, tick, 6 if wide else 4, "reward")
        for side, counts, _ in sides:
            outline = [(scale_x(edges[0]), bottom)]
            for i, value in enumerate(counts):
                outline += [(scale_x(edges[i]), scale_y(value)), (scale_x(edges[i + 1]), scale_y(value))]
            outline.append((scale_x(edges[-1]), bottom))
            canvas.shape(outline, f"area {side}")
            canvas.lines(outline, f"outline {side}")
        for side, _, mean in sides:
            if mean is not None and edges[0] <= mean <= edges[-1]:
                canvas.line(scale_x(mean), top - 6, scale_x(mean), bottom, f"mean {side}")
        canvas.line(left, bottom, right, bottom, "zero")
        return canvas

    said = "; ".join(f"{side}: {sum(counts):,} answers, mean {reward(mean)}" for side, counts, mean in sides)
    numbers = table(
        ["reward from", "to", *(side for side, _, _ in sides)],
        [
            [reward(edges[i]), reward(edges[i + 1]), *(count(counts[i]) for _, counts, _ in sides)]
            for i in range(len(edges) - 1)
        ],
        caption=title,
        text_columns=(),
    )
    shown_key = key([(f"{side}, mean {reward(mean)}", f"area {side}") for side, _, mean in sides])
    return figure(name, title, said, draw, numbers, shown_key)
