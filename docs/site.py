"""Hooks of mkdocs: the pages that are made from the code, and the documents that lie outside docs/.

The rooms stand in the order of the table in CONTRIBUTING.md, the commands are what their parsers say with --help.
"""

from __future__ import annotations

import argparse
import ast
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

COMMANDS_MARK = "<!-- commands -->"
WIDTH = 88  # columns of a help text, on every machine

OUTSIDE = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "NOTICE",
    "examples/files/preferences.jsonl",
    "examples/files/steering.json",
    "examples/find_and_prove.ipynb",
    "examples/over_refusal/README.md",
    "examples/propose.ipynb",
    "examples/readme.ipynb",
    "sarm_core/demo/model/README.md",
)
"""What is linked to outside docs/: documents become pages under project/, other files lie there as they are."""

_LINK = re.compile(r"(\]\()([^)#\s]+)")
_ROOM = re.compile(r"^\| `((?:sarm_core|feature_db|app)/[^`]+)` \| (.+) \|$", re.MULTILINE)


def rooms() -> list[tuple[str, str]]:
    """(room, what lives there) in the order in which they use each other, as CONTRIBUTING.md has them."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return [(room, words) for room, words in _ROOM.findall(text) if (ROOT / room).exists()]


def library() -> list[tuple[str, str]]:
    """The rooms that other programs may import from."""
    return [(room, words) for room, words in rooms() if not room.startswith("app/")]


def modules(room: str) -> list[str]:
    """The modules of a room as Python names them: its folder's, or the one file it is; its own rooms' apart."""
    path = ROOT / room
    if path.is_file():
        return [_dotted(path)]
    inner = [ROOT / other for other, _ in rooms() if other != room and other.startswith(room)]
    found = [p for p in sorted(path.rglob("*.py")) if not any(p == i or i in p.parents for i in inner)]
    return [_dotted(p) for p in found if p.name != "__init__.py" or "\n\n" in p.read_text(encoding="utf-8")]


def room_page(room: str, words: str) -> str:
    """The page of one room: what lives there, then each module from its docstrings."""
    lines = [f"# {room}", "", words, ""]
    return "\n".join(lines + [f"::: {name}\n" for name in modules(room)])


def app_page() -> str:
    """The app's rooms with what each module is for. They are pages and their parts: nothing to call from elsewhere."""
    lines = ["# The app", ""]
    for room, words in rooms():
        if room.startswith("app/"):
            lines += [f"## {room}", "", words, ""]
            for path in sorted((ROOT / room).rglob("*.py")):
                name = path.relative_to(ROOT / room).as_posix().removesuffix("/__init__.py")
                said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
                if said and name != "__init__.py":
                    lines.append(f"* `{name}`: {' '.join(said.split(chr(10) * 2)[0].split())}")
            lines.append("")
    return "\n".join(lines)


def page_of(room: str) -> str:
    """Where the page of `room` lies in the site."""
    return f"rooms/{room.rstrip('/').removesuffix('.py').replace('/', '.')}.md"


def commands() -> str:
    """Every command with what it prints under --help."""
    parts = []
    for parser in parsers():
        for name, command in parsers_of(parser):
            parts.append(f"## {name}\n\n```text\n{help_of(command)}```\n")
    return "\n".join(parts)


def parsers() -> list[argparse.ArgumentParser]:
    """The command lines of engine and store."""
    from feature_db import __main__ as store
    from sarm_core.cli.parser import COMMANDS, parser_of

    return [parser_of(COMMANDS), store.parser()]


def parsers_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """(what one types, its parser) of every command below `parser` that does something."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield parser.prog, parser
    for action in below:
        for command in action.choices.values():
            yield from parsers_of(command)


def help_of(parser: argparse.ArgumentParser) -> str:
    """The help text, equally wide on every machine."""
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=WIDTH)
    return parser.format_help()


def relinked(markdown: str, source: str, page: str) -> str:
    """`markdown` of the document `source` for the place `page` in the site: links to documents lead to their pages."""

    def moved(link: re.Match[str]) -> str:
        if link[2].startswith(("http:", "https:", "mailto:")):
            return link[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
        return link[1] + posixpath.relpath(_placed(target), posixpath.dirname(page))

    return _LINK.sub(moved, markdown)


def _placed(document: str) -> str:
    """Where a document of the repository lies in the site."""
    if document.startswith("docs/"):
        return document.removeprefix("docs/")
    return f"project/{document}" + ("" if posixpath.splitext(document)[1] else ".txt")


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


# -- what mkdocs calls ---------------------------------------------------------------------------------


def on_config(config: Any) -> Any:
    """Add the rooms to the navigation."""
    config.nav.append({"Python": ["python.md", *[page_of(room) for room, _ in library()], "rooms/app.md"]})
    config.nav.append({"Contributing": "project/CONTRIBUTING.md"})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are no files of docs/."""
    from mkdocs.structure.files import File

    for room, words in library():
        files.append(File.generated(config, page_of(room), content=room_page(room, words)))
    files.append(File.generated(config, "rooms/app.md", content=app_page()))
    for document in OUTSIDE:
        text = (ROOT / document).read_text(encoding="utf-8")
        page = _placed(document)
        content = relinked(text, document, page) if page.endswith(".md") else text
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Write the commands where their mark stands; lead links out of docs/ to the pages of what they name."""
    place = page.file.src_uri
    if page.file.generated_by:
        return markdown
    return relinked(markdown, f"docs/{place}", place).replace(COMMANDS_MARK, commands())
