"""One HTML document that loads nothing: heading, contents, sections; the frame of every report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sarm_core.markup import Markup, cut, join, style_sheet, tag
from sarm_core.version import VERSION

__all__ = ["POLICY", "document"]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def document(heading: str, header: Markup, sections: Sequence[tuple[str, str, Sequence[object]]]) -> str:
    """The page of `sections`, each (place, name, parts), under `header`; `heading` is its title in a browser's tab."""
    css = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="generator", content=f"SARM Explorer {VERSION}"),
        # Without an icon of its own a browser asks the server for one when the file is served.
        tag("link", rel="icon", href="data:,"),
        tag("title", cut(heading, 200)),
        style_sheet(css),
    )
    contents = tag(
        "nav",
        *(tag("a", name, href=f"#{place}") for place, name, _ in sections),
        aria_label="Sections",
    )
    body = join(
        tag(
            "section",
            tag("h2", name, id=f"{place}-heading"),
            *parts,
            id=place,
            aria_labelledby=f"{place}-heading",
        )
        for place, name, parts in sections
    )
    footer = tag(
        "footer",
        f"Made by SARM Explorer {VERSION}. This file loads nothing from anywhere and runs no program.",
    )
    page = tag("body", header, contents, tag("main", body), footer)
    return f"<!doctype html>\n{tag('html', head, page, lang='en')}\n"
