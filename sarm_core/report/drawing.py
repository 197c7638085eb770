"""A small canvas for SVG: shapes with classes, text that fits, axes with round ticks. No colour is set here."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence

from sarm_core.markup import Markup, clean, join, tag

__all__ = ["SMALL_SIZE", "TEXT_SIZE", "Canvas", "Scale", "fitted", "text_width", "ticks"]

TEXT_SIZE = 12.0
SMALL_SIZE = 11.0


class Scale:
    """Data units to pixels. A domain without extent is widened, so that one value stands in the middle."""

    def __init__(self, domain: tuple[float, float], pixels: tuple[float, float]) -> None:
        low, high = domain
        if not high > low:
            room = abs(low) * 0.1 or 0.5
            low, high = low - room, high + room
        self.domain, self.pixels = (low, high), pixels

    def __call__(self, value: float) -> float:
        (low, high), (start, end) = self.domain, self.pixels
        return start + (value - low) / (high - low) * (end - start)


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """About `wanted` round numbers from low to high, in steps of 1, 2 or 5 times a power of ten."""
    if not high > low or wanted < 1:
        return [low]
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((m * power for m in (1.0, 2.0, 5.0) if m * power >= rough * 0.999), 10.0 * power)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def text_width(text: str, size: float = TEXT_SIZE) -> float:
    """An estimate of the width in pixels: East Asian wide characters count as one em, others as 0.56."""
    return size * sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.56 for c in text)


def fitted(text: object, width: float, size: float = TEXT_SIZE) -> str:
    """The text on one line, cut with an ellipsis where it is wider than `width` pixels."""
    line = " ".join(clean(text).split())
    if text_width(line, size) <= width:
        return line
    while line and text_width(line + "…", size) > width:
        line = line[:-1]
    return line.rstrip() + "…"


class Canvas:
    """Shapes in pixels of a picture `width` x `height`."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.parts: list[Markup] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, class_: str) -> None:
        """A straight line."""
        self.parts.append(tag("line", x1=_n(x1), y1=_n(y1), x2=_n(x2), y2=_n(y2), class_=class_))

    def rect(self, x: float, y: float, width: float, height: float, class_: str) -> None:
        """A rectangle; a negative width or height extends to the left or upwards."""
        x, width = (x, width) if width >= 0 else (x + width, -width)
        y, height = (y, height) if height >= 0 else (y + height, -height)
        self.parts.append(tag("rect", x=_n(x), y=_n(y), width=_n(width), height=_n(height), class_=class_))

    def circle(self, x: float, y: float, r: float, class_: str) -> None:
        """A circle."""
        self.parts.append(tag("circle", cx=_n(x), cy=_n(y), r=_n(r), class_=class_))

    def diamond(self, x: float, y: float, r: float, class_: str) -> None:
        """A square that stands on a corner."""
        self.shape([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], class_)

    def shape(self, points: Sequence[tuple[float, float]], class_: str) -> None:
        """A filled polygon."""
        self.parts.append(tag("polygon", points=_points(points), class_=class_))

    def lines(self, points: Sequence[tuple[float, float]], class_: str) -> None:
        """A line through all the points."""
        self.parts.append(tag("polyline", points=_points(points), class_=class_))

    def text(
        self, x: float, y: float, text: object, class_: str = "t", anchor: str = "start", turn: float = 0
    ) -> None:
        """Text with its baseline at y."""
        self.parts.append(
            tag(
                "text",
                text,
                x=_n(x),
                y=_n(y),
                class_=class_,
                text_anchor=None if anchor == "start" else anchor,
                transform=f"rotate({_n(turn)} {_n(x)} {_n(y)})" if turn else None,
            )
        )

    def backed_text(self, x: float, y: float, text: str, size: float, class_: str = "t") -> None:
        """Text that starts at x on a ground of its own, so that lines under it do not cross it."""
        self.rect(x - 1, y - size, text_width(text, size) + 4, size + 4, "paper")
        self.text(x, y, text, class_)

    def x_axis(
        self, scale: Scale, y: float, top: float, shown: Callable[[float], str], wanted: int, title: str = ""
    ) -> None:
        """Ticks below y with grid lines up to `top`, and a title under them."""
        for value in ticks(*scale.domain, wanted):
            self.line(scale(value), top, scale(value), y, "grid")
            self.text(scale(value), y + 15, shown(value), "m", "middle")
        if title:
            middle = (scale.pixels[0] + scale.pixels[1]) / 2
            self.text(middle, y + 33, fitted(title, self.width - 8, SMALL_SIZE), "m", "middle")

    def y_axis(
        self, scale: Scale, x: float, right: float, shown: Callable[[float], str], wanted: int
    ) -> None:
        """Ticks left of x with grid lines to `right`."""
        for value in ticks(*scale.domain, wanted):
            self.line(x, scale(value), right, scale(value), "grid")
            self.text(x - 6, scale(value) + 4, shown(value), "m", "end")

    def svg(self, name: str, title: str, description: str, class_: str) -> Markup:
        """The picture, with a title and a description for screen readers under ids that begin with `name`."""
        return tag(
            "svg",
            tag("title", title, id=f"{name}-title"),
            tag("desc", description, id=f"{name}-desc"),
            join(self.parts),
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {_n(self.width)} {_n(self.height)}",
            role="img",
            aria_labelledby=f"{name}-title {name}-desc",
            class_=class_,
        )


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_n(x)},{_n(y)}" for x, y in points)


def _n(value: float) -> str:
    """A coordinate to a tenth of a pixel, written the same on every machine."""
    text = f"{value:.1f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
