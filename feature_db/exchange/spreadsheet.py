"""CSV as spreadsheets leave it: separated by ";" or tabs, with decimal commas, a "sep=" line or another encoding."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from feature_db.errors import StoreError

__all__ = ["Sheet", "opened_csv", "separator_of"]

LARGEST_CELL = 64 * 2**20
_DECIMAL = re.compile(r"\s*-?\d+,\d+\s*")


@dataclass
class Sheet:
    """An open CSV file."""

    reader: csv.DictReader[str]
    separator: str
    lines_before: int
    """Lines before the header"""

    @property
    def line(self) -> int:
        """The line that was read last, from 1."""
        return self.reader.line_num + self.lines_before

    def number(self, cell: str) -> str:
        """`cell` with a point for its decimal comma, where commas do not separate cells."""
        return cell.replace(",", ".") if self.separator != "," and _DECIMAL.fullmatch(cell) else cell


def separator_of(header: str) -> str:
    """What stands between the names of a header."""
    return max((",", ";", "\t"), key=header.count)


@contextmanager
def opened_csv(path: str | Path) -> Iterator[Sheet]:
    """A CSV file by the names of its header. Raises StoreError, with the remedy, for what cannot be read."""
    previous = csv.field_size_limit(LARGEST_CELL)
    try:
        with open(path, "rb") as raw:
            if raw.read(2) in (b"\xff\xfe", b"\xfe\xff"):
                raise StoreError(f'{path}: is in UTF-16; save it as "CSV UTF-8"')
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield _sheet(file)
    except UnicodeDecodeError as error:
        raise StoreError(f'{path}: is not in UTF-8; save it as "CSV UTF-8" ({error.reason})') from None
    except (OSError, csv.Error) as error:
        raise StoreError(f"{path}: cannot be read ({error})") from None
    finally:
        csv.field_size_limit(previous)


def _sheet(file: IO[str]) -> Sheet:
    first = file.readline()
    stated = re.fullmatch(r"\"?sep=(.)\"?\s*", first, re.IGNORECASE)
    if stated:
        return Sheet(csv.DictReader(file, delimiter=stated[1]), stated[1], 1)
    file.seek(0)
    # A name of a column may be quoted with a line break in it; nobody's is, and then the first line tells all the same.
    separator = separator_of(first)
    return Sheet(csv.DictReader(file, delimiter=separator), separator, 0)
