"""Tables to take away: CSV that a spreadsheet opens without running anything in it, whoever wrote the text."""

from __future__ import annotations

import pandas as pd

from feature_db.exchange.foreign import csv_cell

__all__ = ["as_csv"]


def as_csv(table: pd.DataFrame) -> str:
    """The table as CSV without its index; text that would be a formula begins with an apostrophe."""
    safe = table.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = safe[name].map(csv_cell)
    return safe.to_csv(index=False)
