"""Prompts as plain files: one a step, with places for what changes, and a version that says which words they were.

A place is `$NAME`, `$DATA`, `$MARK` or `$N`. Texts go in as JSON, one object a line, between two marks that no text can
hold: JSON has no line break in it, and the mark is drawn from what is asked. A folder with files of the same names
takes the place of the project's own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sarm_core.errors import SarmError

__all__ = ["OWN", "STEPS", "Prompts", "read_prompts"]

OWN = Path(__file__).with_name("prompts")
VERSION = 1
"""Of the project's own prompts; to be raised when their words change"""
STEPS: Mapping[str, frozenset[str]] = {
    "label": frozenset(["DATA", "MARK"]),
    "detect": frozenset(["DATA", "MARK", "NAME", "N"]),
    "pair": frozenset(["DATA", "MARK", "NAME"]),
}
"""The steps, and the places each prompt has to have"""
MOST_BYTES = 20_000
_PLACE = re.compile(r"\$([A-Z]+)")


@dataclass(frozen=True)
class Prompts:
    """The words of each step, and what to call them."""

    texts: Mapping[str, str]
    version: str
    """ "v1" for the project's own; "own" and a hash for others"""

    @property
    def hash(self) -> str:
        """Eight hex digits of all words."""
        return _hash(self.texts)

    def filled(self, step: str, rows: Sequence[Mapping[str, Any]], name: str = "") -> str:
        """The prompt of a step with its texts (and the name that is checked) in it."""
        data = "\n".join(json.dumps(dict(row), ensure_ascii=False) for row in rows)
        places = {
            "DATA": data,
            "MARK": "data-"
            + hashlib.sha256(f"{step}\n{name}\n{data}".encode("utf-8", "replace")).hexdigest()[:12],
            "NAME": json.dumps(name, ensure_ascii=False),
            "N": str(len(rows)),
        }
        # One pass: what looks like a place inside a text stays as it is.
        return _PLACE.sub(lambda found: places.get(found[1], found[0]), self.texts[step])


def read_prompts(folder: Path | None = None) -> Prompts:
    """The prompts in `folder`, else the project's own. Raises SarmError for one that is missing or lacks a place."""
    texts = {}
    for step, needed in STEPS.items():
        path = (folder or OWN) / f"{step}.txt"
        try:
            data = path.read_bytes()
            text = data.decode("utf-8")
        except OSError as error:
            raise SarmError(f"{path}: cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise SarmError(f"{path}: is not UTF-8 text") from None
        if len(data) > MOST_BYTES:
            raise SarmError(f"{path}: has more than {MOST_BYTES:,} bytes; a prompt is a page of text")
        missing = sorted(needed - set(_PLACE.findall(text)))
        if missing:
            raise SarmError(f"{path}: has no place ${missing[0]}, where its texts or the name would go")
        texts[step] = text
    return Prompts(texts, f"v{VERSION}" if folder is None else f"own {_hash(texts)}")


def _hash(texts: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(texts), sort_keys=True).encode()).hexdigest()[:8]
