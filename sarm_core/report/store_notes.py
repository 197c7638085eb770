"""Names and examples of features from a store that is only read. The store is known to no other part of the report."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sarm_core.errors import SarmError
from sarm_core.report.evidence import FeatureNote

if TYPE_CHECKING:
    from feature_db import Store
    from feature_db.features.catalogue import FeatureTitle

__all__ = ["notes_in_store", "notes_of"]

TEXTS = 3
_TEMPLATE = re.compile(r"<\|[^|<>]*\|>|</?[a-z_]+>")
TOKENS_BEFORE, TOKENS_AFTER = 32, 10


def notes_in_store(path: Path, features: Sequence[int], fingerprint: str) -> dict[int, FeatureNote]:
    """What the store at `path` knows about `features`. Nothing is written to it, not even a migration.

    Raises SarmError when it cannot be read, or holds the features of another model.
    """
    from feature_db import ModelRecord, Store, StoreError

    if not path.is_file():
        raise SarmError(f"{path}: no such store; harvest a corpus into it first")
    # Without a log beside it nobody has the store open, and a plain file leaves no log behind.
    how = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)
    except sqlite3.Error as error:
        raise SarmError(f"{path}: cannot be opened ({error})") from None
    connection.row_factory = sqlite3.Row
    try:
        with Store(connection, path) as store:
            row = store.row("SELECT fingerprint, name, n_features FROM models")
            if row is None:
                raise SarmError(f"{path}: holds no model yet; harvest a corpus into it first")
            if row["fingerprint"] != fingerprint:
                raise SarmError(
                    f"{path}: holds features of {row['name']!r} (fingerprint {row['fingerprint'][:12]}), the "
                    f"evaluation is of another model ({fingerprint[:12]})"
                )
            store.model = ModelRecord(row["fingerprint"], row["name"], row["n_features"])
            return notes_of(store, features)
    except (sqlite3.Error, StoreError) as error:
        raise SarmError(f"{path}: cannot be used as a store ({error}); open it with the app once") from None


def notes_of(
    store: Store, features: Sequence[int], titles: Mapping[int, FeatureTitle] | None = None
) -> dict[int, FeatureNote]:
    """Name, density and three excerpts around the peak of each feature. Raises StoreError.

    `titles` replaces the store's own, where not everyone may read every label yet.
    """
    wanted = list(dict.fromkeys(features))
    titles = store.titles(wanted) if titles is None else titles
    densities = store.densities_of(wanted)
    notes = {}
    for feature in wanted:
        title = titles.get(feature)
        notes[feature] = FeatureNote(
            title.text if title else "",
            bool(title and title.suggested),
            densities.get(feature),
            _texts(store, feature),
        )
    return notes


def _texts(store: Store, feature: int) -> tuple[str, ...]:
    """The ends of the texts it fires on most: what stands before the token where it peaks, and a little after."""
    found = []
    for example in store.examples(feature, kind="top", limit=TEXTS):
        tokens, peak = example.text.tokens, example.peak_position
        if not tokens or peak is None:
            continue
        start, stop = max(0, peak - TOKENS_BEFORE), min(len(tokens), peak + 1 + TOKENS_AFTER)
        # A chat template's marks are no part of what was written.
        text = (
            "".join(t for t in tokens[start:stop] if not _TEMPLATE.fullmatch(t)).replace("\ufffd", "").strip()
        )
        found.append(f"{'… ' if start else ''}{text}{' …' if stop < len(tokens) else ''}")
    return tuple(found)
