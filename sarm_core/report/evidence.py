"""Why these features: rows of a contrast, and what a store knows about the features."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sarm_core.errors import RowError, SarmError

__all__ = ["Evidence", "FeatureNote", "evidence_from_rows", "read_contrast"]

NUMBERS = (
    "w",
    "s",
    "s_low",
    "s_high",
    "freq_difference",
    "freq_difference_low",
    "freq_difference_high",
    "cohens_d",
    "stability",
    "margin_share",
    "n_firing",
    "n_differing",
)
FLAGS = ("opposes_head", "few", "fragile")
NEEDED = ("feature", "w", "s", "freq_difference", "cohens_d", "stability", "opposes_head")
LARGEST = 1e30


@dataclass(frozen=True)
class FeatureNote:
    """What a store knows about a feature: its name, the words that stand beside it (`mark`: "suggested", "1
    label"), the share of positions it fires at, and excerpts of the texts it fires on most."""

    name: str = ""
    mark: str = ""
    density: float | None = None
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """Rows of a contrast, largest |s| first: `feature` (int), numbers or None, flags as bool (see `contrast`).

    `title` says what was contrasted, `facts` how (pairs, prompts, intervals), `positive` names the side on which
    s is above 0, `file` is name and sha256 of the table. `same_items` says whether the contrast used items that
    are evaluated in the report as well; None when that is not known.
    """

    rows: Sequence[Mapping[str, Any]]
    title: str = ""
    facts: tuple[str, ...] = ()
    positive: str = "chosen"
    file: Mapping[str, str] | None = None
    same_items: bool | None = None
    by_feature: Mapping[int, Mapping[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_feature", {row["feature"]: row for row in self.rows})

    def rank(self, feature: int) -> int:
        """The place of a feature in the table, counted from 1. KeyError when it is not there."""
        return 1 + next(i for i, row in enumerate(self.rows) if row["feature"] == feature)


def evidence_from_rows(records: Iterable[Mapping[str, Any]], **about: Any) -> Evidence:
    """From rows of `Contrast.table` (`to_dict("records")`); `about` are the other fields of Evidence.

    Raises SarmError when a column is missing or a value is not what it should be.
    """
    rows = []
    for position, record in enumerate(records):
        try:
            rows.append(_row(record))
        except ValueError as error:
            raise SarmError(f"row {position + 1} of the contrast: {error}") from None
    return Evidence(rows=_sorted(rows), **about)


def read_contrast(path: str | Path, **about: Any) -> Evidence:
    """From the CSV that the command `contrast` wrote. Raises SarmError or RowError for anything else."""
    path = Path(path)
    rows: list[dict[str, Any]] = []
    seen: set[int] = set()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise SarmError(f"{path}: no column {missing[0]!r}; give what `sarm contrast` wrote")
            for number, record in enumerate(reader, 2):
                try:
                    row = _row(record)
                except ValueError as error:
                    raise RowError(str(error), source=path, row=number) from None
                if row["feature"] in seen:
                    raise RowError(f"feature {row['feature']} is there twice", source=path, row=number)
                seen.add(row["feature"])
                rows.append(row)
    except OSError as error:
        raise SarmError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SarmError(f"{path}: not a readable CSV file ({error})") from None
    if not rows:
        raise SarmError(f"{path}: the table has no rows")
    return Evidence(rows=_sorted(rows), **about)


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(
        rows, key=lambda row: (-abs(row["s"]) if row["s"] is not None else math.inf, row["feature"])
    )


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"feature": _feature(record.get("feature"))}
    for name in NUMBERS:
        row[name] = _number(record.get(name), name)
    for name in FLAGS:
        row[name] = _flag(record.get(name), name)
    return row


def _feature(value: Any) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"{text[:40]!r} is not a feature number")
    return int(text)


def _number(value: Any, name: str) -> float | None:
    """Empty and NaN are "undefined", as `contrast` means them."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{str(value)[:40]!r} in column {name} is not a number") from None
    if math.isnan(number):
        return None
    if abs(number) > LARGEST:
        raise ValueError(f"{str(value)[:40]} in column {name} is not a usable number")
    return number


def _flag(value: Any, name: str) -> bool:
    text = str(value).lower() if value is not None else "false"
    if text not in ("true", "false"):
        raise ValueError(f"{str(value)[:40]!r} in column {name} is neither true nor false")
    return text == "true"
