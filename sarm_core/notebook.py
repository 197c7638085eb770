"""How results draw themselves in a notebook: small tables with bars, without script, style sheet or another host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sarm_core.markup import Markup, cut, tag

__all__ = ["BAR", "bar", "drawn", "feature_cell"]

_ABOVE, _BELOW = "rgba(37,99,235,.65)", "rgba(217,119,6,.75)"
"""Blue for what adds, orange for what takes away; both are seen on white and on black."""
_CELL = "padding:2px 8px;border:0;vertical-align:top;"
_NUMBER = f"{_CELL}text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap"
_TEXT = f"{_CELL}text-align:left"
BAR = ""
"""Heading of a column of bars."""


def drawn(
    title: str, head: Sequence[str], rows: Iterable[Sequence[object]], *, text: Sequence[int], note: str = ""
) -> Markup:
    """A table under a title; columns `text` (from 0) are words, the others numbers or bars. All text is escaped."""
    styles = [_TEXT if i in text else _NUMBER for i in range(len(head))]
    header = tag("tr", *(tag("th", name, scope="col", style=s) for name, s in zip(head, styles, strict=True)))
    body = [
        tag("tr", *(tag("td", cell, style=s, dir="auto") for cell, s in zip(row, styles, strict=True)))
        for row in rows
    ]
    caption = tag(
        "caption",
        title,
        style="caption-side:top;text-align:left;font-weight:600;padding:4px 8px;white-space:nowrap",
    )
    table = tag(
        "table",
        caption,
        tag("thead", header),
        tag("tbody", *body),
        style="border-collapse:collapse;color:inherit",
    )
    below = tag("div", note, style="padding:4px 8px;opacity:.75;font-size:90%") if note else ""
    return tag("div", table, below, style="max-width:100%;overflow-x:auto")


def bar(value: float, largest: float) -> Markup:
    """A bar from the middle, to the right for a positive value; half of the width is `largest`."""
    share = 0.0 if largest <= 0 else min(abs(value) / largest, 1.0) * 50
    place = f"left:{50 - (share if value < 0 else 0):.2f}%;width:{share:.2f}%"
    filled = tag(
        "span",
        style=f"position:absolute;top:10%;height:80%;{place};background:{_BELOW if value < 0 else _ABOVE}",
    )
    middle = tag(
        "span",
        style="position:absolute;left:50%;top:0;height:100%;width:1px;background:currentColor;opacity:.4",
    )
    return tag(
        "span",
        filled,
        middle,
        style="position:relative;display:inline-block;width:9em;height:1em",
        aria_hidden="true",
    )


def feature_cell(feature: int, names: Mapping[int, str]) -> str:
    """ "#17 asks back", or the number alone."""
    name = names.get(feature, "")
    return f"#{feature} {cut(name, 70)}" if name else f"#{feature}"
