"""The feature store of a command: the one place of the engine that opens one, and that says so when it cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarm_core.errors import SarmError

if TYPE_CHECKING:
    from sarm_core.score.scorer import Scorer

__all__ = ["harvest_into", "store_errors"]


@contextmanager
def store_errors(path: Path, otherwise: str = "cannot be written") -> Iterator[None]:
    """What a store raises as SarmError; `otherwise` is said of what SQLite itself raises."""
    import sqlite3

    from feature_db import StoreError

    try:
        yield
    except StoreError as error:
        raise SarmError(str(error)) from None
    except sqlite3.Error as error:
        raise SarmError(f"{path}: {otherwise} ({error})") from None


def harvest_into(
    database: Path, scorer: Scorer, paths: Sequence[str | Path], *arguments: Any, **named: Any
) -> dict[str, Any] | None:
    """Harvest `paths` into the store in the file `database`; see `harvest_into_store`. Raises SarmError."""
    from feature_db import ModelRecord, Store
    from sarm_core.harvest.into_store import harvest_into_store, model_facts

    model = ModelRecord(**vars(model_facts(scorer.facts)))

    def open_store() -> Store:
        return Store.open(database, create=model)

    with store_errors(database):
        return harvest_into_store(open_store, database, scorer, paths, *arguments, **named)
