"""The interchange formats: the one list that command line and pages go through."""

from __future__ import annotations

from pathlib import Path

from feature_db.errors import StoreError
from feature_db.exchange.auto_labels import AutoLabels
from feature_db.exchange.contexts import Contexts
from feature_db.exchange.csv_table import CsvTable
from feature_db.exchange.events import Events
from feature_db.exchange.feature_json import FeatureJson
from feature_db.exchange.format import Format, Look
from feature_db.exchange.labels import StandingLabels
from feature_db.exchange.neuronpedia import Neuronpedia
from feature_db.exchange.parquet_table import ParquetTable
from feature_db.exchange.saedashboard import SaeDashboard

__all__ = ["FORMATS", "named", "recognised"]

FORMATS: tuple[Format, ...] = (
    Events(),
    StandingLabels(),
    CsvTable(),
    ParquetTable(),
    Contexts(),
    AutoLabels(),
    Neuronpedia(),
    FeatureJson(),
    SaeDashboard(),
)
"""A new format is a file beside these and a line here."""


def named(name: str) -> Format:
    """The format of that name. Raises StoreError."""
    for format in FORMATS:
        if format.name == name:
            return format
    raise StoreError(f"there is no format {name!r}: choose one of {', '.join(f.name for f in FORMATS)}")


def recognised(path: str | Path) -> Format:
    """The format of a file or folder, by its name and first keys.

    Raises StoreError when there is no such file, and when none or more than one of the formats could be meant.
    """
    if not Path(path).exists():
        raise StoreError(f"{path}: no such file or folder")
    look = Look(path)
    found = [format for format in FORMATS if format.recognises(look)]
    if len(found) == 1:
        return found[0]
    among = " or ".join(format.name for format in found)
    raise StoreError(
        f"{path}: " + (f"may be {among}" if found else "cannot tell what this is") + "; name it with --format"
    )
