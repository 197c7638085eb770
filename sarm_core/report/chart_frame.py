"""What all pictures of the report share: two widths, a frame with title, key and the table of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sarm_core.markup import Markup, cut, join, tag
from sarm_core.report.drawing import Canvas

__all__ = ["NARROW", "WIDE", "figure", "key", "padded"]

WIDE, NARROW = 720.0, 350.0


def figure(
    name: str,
    title: str,
    said: str,
    draw: Callable[[float], Canvas],
    numbers: Markup,
    shown_key: Markup | None = None,
) -> Markup:
    """A picture drawn for both widths; `said` describes it, `numbers` is the table of the same figures."""
    return tag(
        "figure",
        tag("figcaption", title),
        draw(WIDE).svg(f"{name}-wide", title, said, "wide"),
        draw(NARROW).svg(f"{name}-narrow", title, said, "narrow"),
        shown_key or "",
        tag("details", tag("summary", "The numbers of this picture"), numbers),
        id=name,
    )


def key(entries: Sequence[tuple[str, str]], class_: str = "key") -> Markup:
    """What colours and dashes mean: (text, class of the shape) each."""

    def sample(kind: str) -> Markup:
        canvas = Canvas(22, 10)
        if kind.startswith("curve"):
            canvas.line(0, 5, 22, 5, kind)
        else:
            canvas.rect(0.5, 0.5, 21, 9, kind)
            if kind.startswith("area"):
                canvas.rect(0.5, 0.5, 21, 9, kind.replace("area", "outline"))
        return tag("svg", join(canvas.parts), viewBox="0 0 22 10", aria_hidden="true", class_="sample")

    return tag(
        "ul", *(tag("li", sample(kind), tag("bdi", cut(text, 60))) for text, kind in entries), class_=class_
    )


def padded(low: float, high: float, share: float) -> tuple[float, float]:
    """A domain with some room at both ends."""
    room = (high - low) * share or 0.01
    return low - room, high + room
