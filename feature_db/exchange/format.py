"""What an interchange format is: a name, how it is told from others, and how it is read and written.

A new one is a class in a file of its own and a line in `formats.FORMATS`; command line and page then offer it.
"""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from feature_db.exchange.foreign import json_rows, members, read_json_any
from feature_db.exchange.spreadsheet import separator_of
from feature_db.store import Store

__all__ = ["Format", "Look", "Option", "Report"]


@dataclass
class Report:
    """What an import or export did, or after a dry run would do, in lines for a person."""

    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What could not be kept, and why."""
    dry_run: bool = False
    changed: Mapping[int, tuple[Sequence[str], Sequence[str]]] = field(default_factory=dict)
    """feature -> (what stood before, what stands after), where a format can tell"""

    def words(self, done: str, would_be: str) -> str:
        """One line: "3 features, 5 examples taken in", with `would_be` in the place of `done` after a dry run."""
        counts = ", ".join(f"{count:,} {what}" for what, count in self.counts.items())
        return f"{counts or 'nothing'} {would_be if self.dry_run else done}"


@dataclass(frozen=True)
class Option:
    """Something a person may say when a file of a format is read or written."""

    name: str
    """"model-id": `--model-id` on the command line and the argument `model_id` of `read` or `write`"""
    help: str
    flag: bool = False
    """Said or not said, rather than a text"""
    choices: Callable[[Store], Sequence[str]] | None = None
    """What there is to choose from in a store; the first is taken where nothing is said"""

    @property
    def argument(self) -> str:
        """Its name in Python."""
        return self.name.replace("-", "_")


class Look:
    """A first look at what may be of any format. Each part is read once, when it is asked for.

    Parts raise StoreError where a file cannot be read as what its name says.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.is_folder = self.path.is_dir()
        self.suffix = "" if self.is_folder else self.path.suffix.lower()

    @cached_property
    def names(self) -> Sequence[str]:
        """Names of the files in a folder or .zip, with "/" between parts; of any other file none."""
        return list(members(self.path)) if self.is_folder or self.suffix == ".zip" else []

    @cached_property
    def _value(self) -> Any:
        return read_json_any(self.path) if self.suffix == ".json" else None

    @property
    def json(self) -> Mapping[str, Any]:
        """The object in a .json file; of any other file an empty one."""
        return self._value if isinstance(self._value, dict) else {}

    @property
    def first_object(self) -> Mapping[str, Any]:
        """The same, or the first object of a list of them."""
        first = self._value[0] if isinstance(self._value, list) and self._value else None
        return first if isinstance(first, dict) else self.json

    @cached_property
    def first_line(self) -> Mapping[str, Any]:
        """The object in the first line of a .jsonl file; of any other file an empty one."""
        rows = json_rows(self.path) if self.suffix == ".jsonl" else iter(())
        return next((row for _, row in rows), {})

    @cached_property
    def first_row(self) -> Mapping[str, str]:
        """The first row of a .csv file by the names of its columns, "" in all where there is none."""
        if self.suffix != ".csv":
            return {}
        with open(self.path, encoding="utf-8-sig", errors="replace", newline="") as file:
            lines = [file.readline(100_000) for _ in range(3)]
        if lines[0].lower().strip('"').startswith("sep="):
            del lines[0]
        try:
            names, *rows = csv.reader(lines, delimiter=separator_of(lines[0]))
        except (csv.Error, ValueError):
            return {}
        values = rows[0] if rows else []
        return {name: values[place] if place < len(values) else "" for place, name in enumerate(names)}

    def says(self, key: str) -> Any:
        """What the first line or row says under `key`."""
        return self.first_line.get(key, self.first_row.get(key))


class Format(ABC):
    """One interchange format."""

    name: ClassVar[str]
    """On the command line"""
    title: ClassVar[str]
    """For a person, on a page: a few words"""
    endings: ClassVar[Sequence[str]] = ()
    """Endings of its files, the usual one first: "json". A folder's is "zip", which is read as the folder is."""
    folder: ClassVar[bool] = False
    """Whether `write` makes a folder"""
    writable: ClassVar[bool] = True
    admin: ClassVar[bool] = False
    """Whether what is read comes in under its authors' names, which takes an admin"""
    read_options: ClassVar[Sequence[Option]] = ()
    write_options: ClassVar[Sequence[Option]] = ()

    @abstractmethod
    def recognises(self, file: Look) -> bool:
        """Whether a file or folder is of this format, by its name and first keys. Raises StoreError."""

    @abstractmethod
    def read(
        self, store: Store, path: Path, *, by: str = "", dry_run: bool = False, **options: Any
    ) -> Report:
        """Take a file in, all of it or nothing; with `dry_run` nothing, but the report is the same.

        `by` is who takes it in, where that takes an admin. Raises StoreError, or RowError naming file and row.
        """

    def write(self, store: Store, path: Path, **options: Any) -> Report:
        """Write what the format can hold of a store to `path`, whole or not at all. Raises StoreError."""
        raise NotImplementedError(f"{self.name} is not written")
