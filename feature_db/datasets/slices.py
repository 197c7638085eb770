"""Which items of a data set are meant, and in what order: conditions and an order for SQL, with parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from feature_db.errors import StoreError
from feature_db.records import clean_text

__all__ = ["SORTS", "VERDICTS", "Slice"]

VERDICTS = ("agrees", "disagrees", "ties", "unscored", "unlabelled")
"""What the model makes of an item's labels, every item being of one kind. Of several stated orders the majority
decides, an equal reward being half for either."""

SORTS = ("file", "worst", "margin", "close", "length", "shortest", "longer", "shorter")
"""By what the items are sorted, its largest value first and items without one last. "file": as they stood."""


@dataclass(frozen=True)
class Slice:
    """Items with `words` in what is listed of their prompt, of one `verdict` (see `VERDICTS`) and one `subset`, with
    `value` in a `column` of one's own.

    `sort` is one of `SORTS`, or "own:" and such a column, or "-own:" for its largest value first.

    An empty field asks for nothing; `subset` None is any, "" those without one.
    """

    words: str = ""
    verdict: str = ""
    subset: str | None = None
    column: str = ""
    value: str = ""
    sort: str = "file"

    @property
    def is_all(self) -> bool:
        """Whether it leaves nothing out."""
        return not (
            self.words.strip() or self.verdict or self.subset is not None or (self.column and self.value)
        )

    def condition(self, dataset: int) -> tuple[str, dict[str, Any]]:
        """What to write after WHERE, for rows of `dataset_items AS i`, with its parameters. Raises StoreError."""
        parts, values = ["i.dataset = :dataset"], {"dataset": dataset}
        return " AND ".join([*parts, *self._parts(values)]), values

    def _parts(self, values: dict[str, Any]) -> list[str]:
        parts = []
        if self.verdict:
            if self.verdict not in VERDICTS:
                raise StoreError(f"a slice has no verdict {self.verdict!r}: use one of {', '.join(VERDICTS)}")
            parts.append("i.verdict = :verdict")
            values["verdict"] = self.verdict
        if self.subset is not None:
            parts.append("i.subset = :subset")
            values["subset"] = clean_text(self.subset)
        if self.words.strip():
            # SQLite's lower() knows ASCII only, so both sides are left to its LIKE, which is the same.
            sought = clean_text(" ".join(self.words.split()))
            for sign in ("\\", "%", "_"):
                sought = sought.replace(sign, f"\\{sign}")
            parts.append("i.prompt LIKE :words ESCAPE '\\'")
            values["words"] = f"%{sought}%"
        if self.column and self.value:
            parts.append(
                "i.number IN (SELECT item FROM dataset_values WHERE dataset = :dataset AND name = :column "
                "AND value IN (:value, :amount))"
            )
            values |= {
                "column": clean_text(self.column),
                "value": clean_text(self.value),
                "amount": _amount(self.value),
            }
        return parts

    @property
    def own_sort(self) -> tuple[str, bool] | None:
        """The column of one's own that it is sorted by, and whether from the largest value on."""
        name = self.sort.removeprefix("-")
        return (name.removeprefix("own:"), self.sort != name) if name.startswith("own:") else None


def _amount(text: str) -> float | str:
    """A number as it would be kept, else the text."""
    try:
        return float(text)
    except ValueError:
        return clean_text(text)
