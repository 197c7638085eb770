"""What a browser would make of an HTML file, by Python's parser: elements, tables and text, balanced or refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "input", "hr"}


@dataclass
class Page(HTMLParser):
    """`elements` are (tag, attributes) in order; `tables` maps captions to rows of cell texts."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    """Text under each element that has an id"""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[tuple[str, str | None]] = []
        self._rows: list[list[str]] = []
        self._caption = ""

    @classmethod
    def of(cls, text: str) -> Page:
        """Parse a whole document; elements that are not closed in order raise AssertionError."""
        page = cls()
        page.feed(text)
        page.close()
        assert not page._open, page._open
        return page

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), "an attribute twice"
        if tag in VOID:
            return
        self._open.append((tag, dict(attrs).get("id")))
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> closes nothing"
        opened = self._open.pop()[0]
        assert opened == tag, f"</{tag}> closes <{opened}>"
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data):
        names = [tag for tag, _ in self._open]
        for _, place in self._open:
            if place:
                self.texts[place] = self.texts.get(place, "") + data
        if "table" in names:
            if "caption" in names:
                self._caption += data
            elif "small" in names:
                self._rows[-1][-1] += f" | {data}"
            elif names[-1] in ("td", "th") or "td" in names or "th" in names:
                self._rows[-1][-1] += data

    def table(self, start: str) -> dict[str, list[str]]:
        """The one table whose caption begins with `start`: first cell -> the other cells, without the header."""
        (rows,) = [rows for caption, rows in self.tables.items() if caption.startswith(start)]
        return {row[0]: row[1:] for row in rows[1:]}


def number(text: str) -> float:
    """The number a cell begins with, as a reader reads it: a real minus sign, separators, a unit after it."""
    word = text.split("|")[0].strip().replace("\u00a0", " ").split(" ")[0]
    return float(word.replace("\u2212", "-").replace(",", "").lstrip("×"))
