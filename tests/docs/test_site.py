"""The built documentation: nothing asks another host, every room, command and public name has its place."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import feature_db
import sarm_core
from tests.docs.pages_of import site

SITE = Path(__file__).parents[2] / "build" / "site"
# What a browser fetches by itself when it opens a page; a link that a reader may follow is none of it.
FETCHED = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}
ELSEWHERE = re.compile(r"^\s*(https?:)?//", re.IGNORECASE)

pytestmark = pytest.mark.docs


class Fetches(HTMLParser):
    """The addresses a page makes a browser fetch, and the ids one can link to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids.add(given.get("id", ""))
        if tag in FETCHED and FETCHED[tag] in given and given.get("rel") not in ("canonical", "author"):
            self.fetched.append(given[FETCHED[tag]])
        self.fetched += re.findall(r"url\([\"']?([^)\"']+)", given.get("style", ""))


@pytest.fixture(scope="module")
def pages() -> dict[str, Fetches]:
    assert SITE.is_dir(), "build the documentation first: make docs"
    found = sorted(SITE.rglob("*.html"))
    return {str(path.relative_to(SITE)): Fetches(path.read_text(encoding="utf-8")) for path in found}


def test_no_page_asks_another_host_for_anything(pages):
    assert len(pages) > 30
    for name, page in pages.items():
        assert [address for address in page.fetched if ELSEWHERE.match(address)] == [], name
    for style in SITE.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", text), style
    for script in SITE.rglob("*.js"):
        # A script that loads another would name its file.
        assert not re.search(r"[\"'](https?:)?//[^\"']+\.(js|css|woff2?)\b", script.read_text("utf-8")), (
            script
        )


def test_what_a_page_fetches_is_in_the_site(pages):
    for name, page in pages.items():
        for address in page.fetched:
            target = address.split("#")[0].split("?")[0]
            if target and not target.startswith("data:"):
                base = SITE if target.startswith("/") else (SITE / name).parent
                assert (base / target.lstrip("/")).exists(), f"{name}: {address}"


def test_every_room_has_a_page_that_shows_its_modules(pages):
    for room, _ in site.library():
        page = pages[site.page_of(room).replace(".md", ".html")]
        for module in site.modules(room):
            assert module in page.ids, f"{room}: {module}"


def test_the_public_door_shows_every_name_it_hands_on(pages):
    for door in (sarm_core, feature_db):
        for name in set(door.__all__) - {"__version__"}:
            assert f"{door.__name__}.{name}" in pages["python.html"].ids, name


def test_every_command_is_on_its_page_with_its_help():
    text = html.unescape(re.sub(r"<[^>]+>", "", (SITE / "commands.html").read_text(encoding="utf-8")))
    for parser in site.parsers():
        for name, command in site.parsers_of(parser):
            assert name in text
            assert site.help_of(command) in text, name
