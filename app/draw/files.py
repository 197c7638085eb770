"""Files that people bring and take away: uploads as paths the readers take, tables as CSV."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

import pandas as pd

from feature_db.exchange.foreign import csv_cell
from sarm_core.errors import RowError, SarmError
from sarm_core.text.row_files import COMPRESSED_ENDINGS, ROW_ENDINGS, ending_of
from sarm_core.text.text_files import TEXT_ENDINGS

__all__ = ["UPLOADS", "as_csv", "uploaded"]


UPLOADS = tuple(ending.removeprefix(".") for ending in (*ROW_ENDINGS, *COMPRESSED_ENDINGS))
"""What a browser lets a person choose where rows are asked for; the first bytes of a file decide."""


@contextmanager
def uploaded(*files: tuple[str, bytes]) -> Iterator[list[Path]]:
    """Files (name, content) in a folder that is gone afterwards; a SarmError from the block names the upload.

    The ending decides how a file is read, so it is kept; the rest of the name comes from a browser and is not.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths: list[Path] = []
        names: dict[str, str] = {}
        for number, (name, data) in enumerate(files):
            ending = next((e for e in TEXT_ENDINGS if name.lower().endswith(e)), ending_of(name))
            # RM-Bench takes a missing domain from the file's name: pass on the harmless letters of it.
            stem = "".join(c for c in PurePath(name).stem if c.isalnum() or c in "-_")[:60]
            path = Path(folder) / f"{number}-{stem}{ending}"
            path.write_bytes(data)
            names[str(path)] = name
            paths.append(path)
        try:
            yield paths
        except RowError as error:
            raise RowError(
                error.reason, source=names.get(str(error.source), error.source), row=error.row
            ) from None
        except SarmError as error:
            text = str(error)
            for place, name in names.items():
                text = text.replace(place, name)
            raise type(error)(text) from None


def as_csv(table: pd.DataFrame) -> str:
    """The table as CSV without its index. Text that a spreadsheet would run as a formula begins with an apostrophe."""
    safe = table.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = safe[name].map(csv_cell)
    return safe.to_csv(index=False)
