"""Plain text files as answers: one .txt or .md file is one text, a folder of them a set."""

from __future__ import annotations

import json
from pathlib import Path

from sarm_core.errors import RowError, SarmError
from sarm_core.text.rows import Conversation, Message
from sarm_core.text.strict_json import MAX_ROW_BYTES

__all__ = ["TEXT_ENDINGS", "is_text_file", "read_text", "texts_in"]

TEXT_ENDINGS = (".txt", ".md")
_ROW_KEYS = frozenset(["messages", "prompt", "question", "input_ids", "chosen", "chosen_input_ids"])


def is_text_file(path: str | Path) -> bool:
    """Whether the file's name says that it is one text, and not rows."""
    return str(path).lower().endswith(TEXT_ENDINGS)


def texts_in(folder: str | Path) -> list[Path]:
    """The .txt and .md files of a folder, by name; hidden files and subfolders do not count.

    Raises SarmError when the folder cannot be read or has none.
    """
    try:
        found = [
            path
            for path in Path(folder).iterdir()
            if is_text_file(path) and not path.name.startswith(".") and path.is_file()
        ]
    except OSError as error:
        raise SarmError(f"{folder}: cannot be read ({error.strerror or error})") from None
    if not found:
        raise SarmError(f"{folder}: there is no .txt or .md file in it (its subfolders are not searched)")
    return sorted(found, key=lambda path: path.name)


def read_text(path: str | Path) -> Conversation:
    """One file as an answer that nothing precedes; white space at its ends is left out.

    Raises RowError for a file that cannot be read, is not UTF-8, holds no text or rows, or is larger than a row may be.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_ROW_BYTES + 1)
    except OSError as error:
        raise RowError(f"cannot be read ({error.strerror or error})", source=path) from None
    if len(data) > MAX_ROW_BYTES:
        raise RowError(f"the text is larger than {MAX_ROW_BYTES / 1e6:.0f} MB: split it", source=path)
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise RowError(
            f"not valid UTF-8 at byte {error.start + 1}: save the file as UTF-8", source=path
        ) from None
    if not text:
        raise RowError("the file holds no text: remove it, or write the text into it", source=path)
    if _is_row(text.split("\n", 1)[0]):
        raise RowError("holds rows, not one text: give the file the ending .jsonl", source=path)
    return Conversation(messages=(Message("assistant", text),))


def _is_row(line: str) -> bool:
    """An answer may be JSON; one with the keys of our rows is a file of rows under the wrong name."""
    if not line.startswith("{"):
        return False
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and not _ROW_KEYS.isdisjoint(row)
