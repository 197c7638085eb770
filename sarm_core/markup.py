"""HTML and SVG made so that text can never become markup: every string is escaped unless made here."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Collection, Iterable, Sequence

__all__ = [
    "Markup",
    "clean",
    "cut",
    "data_block",
    "isolated",
    "join",
    "markdown",
    "paragraphs",
    "script",
    "style_sheet",
    "table",
    "tag",
]

_VOID = frozenset(("br", "link", "meta", "line", "rect", "circle", "path", "polygon", "polyline"))


class Markup(str):
    """Text that is HTML already. Made by the functions of this module only."""

    __slots__ = ()


def clean(text: object) -> str:
    """As text that any encoder and parser takes: control characters and halves of characters are replaced."""
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs") else "\ufffd" for c in str(text)
    )


def cut(text: object, width: int) -> str:
    """At most `width` characters, white space as single spaces, an ellipsis where something is missing."""
    line = " ".join(str(text).split())
    return line if len(line) <= width else line[: max(width - 1, 0)].rstrip() + "…"


def markdown(text: object) -> str:
    """A text from elsewhere inside a line of Markdown, where it stays text: on one line, what marks up escaped."""
    kept = "".join(c if c.isprintable() else " " for c in str(text))
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|~&" else c for c in kept)


def isolated(text: object, width: int = 80) -> str:
    """A name inside a sentence: cut, and kept from turning the words around it (right-to-left scripts)."""
    return f"\u2068{cut(text, width)}\u2069"


def tag(element: str, /, *children: object, **attributes: object) -> Markup:
    """An element. Children that are not Markup and every attribute value are escaped; None attributes are left out.

    A trailing underscore is taken off attribute names (`class_`), others become hyphens (`aria_label`).
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(clean(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if element in _VOID and not children:
        return Markup(f"<{element}{written}/>")
    return Markup(f"<{element}{written}>{join(children)}</{element}>")


def join(parts: Iterable[object], separator: str = "") -> Markup:
    """The parts one after another, escaped where they are not Markup."""
    return Markup(
        html.escape(separator).join(
            part if isinstance(part, Markup) else html.escape(clean(part), quote=True) for part in parts
        )
    )


def style_sheet(css: str) -> Markup:
    """A style element around this project's own style sheet."""
    return Markup(f"<style>\n{css}</style>")


def script(source: str) -> Markup:
    """A script element around a module of this project's own."""
    if "</script" in source.lower() or "<!--" in source:
        raise ValueError("a script that ends its own element")
    return Markup(f'<script type="module">{source}</script>')


def data_block(name: str, text: str) -> Markup:
    """An element with the id `name` that holds JSON and is never run. No character of it can end the element."""
    escaped = "".join(c if c.isascii() and c not in "<>&" else _in_json(c) for c in text)
    return Markup(f'<script type="application/json" id="{html.escape(name)}">{escaped}</script>')


def _in_json(character: str) -> str:
    pair = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{pair[i : i + 2].hex()}" for i in range(0, len(pair), 2))


def paragraphs(text: str) -> Markup:
    """A typed text as paragraphs; blank lines separate them, line breaks stay."""
    blocks = [block.strip("\n") for block in clean(text).replace("\r\n", "\n").split("\n\n")]
    return join(tag("p", block, class_="typed", dir="auto") for block in blocks if block.strip())


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    caption: str,
    text_columns: Collection[int] = (0,),
    class_: str | None = None,
) -> Markup:
    """A table that scrolls on its own when it is too wide; `text_columns` are those that are not numbers."""

    def cell(column: int, content: object) -> Markup:
        kind = None if column in text_columns else "n"
        if column == 0 and kind is None:
            return tag("th", content, scope="row", dir="auto")
        return tag("td", content, class_=kind, dir=None if kind else "auto")

    body = join(tag("tr", *(cell(i, content) for i, content in enumerate(row))) for row in rows)
    header = tag(
        "tr",
        *(
            tag("th", name, scope="col", class_=None if i in text_columns else "n")
            for i, name in enumerate(head)
        ),
    )
    return tag(
        "div",
        tag("table", tag("caption", caption), tag("thead", header), tag("tbody", body), class_=class_),
        class_="scroll",
        role="region",
        aria_label=caption,
        tabindex="0",
    )
