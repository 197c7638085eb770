"""Reading what the store knows about texts: examples of a feature, stored texts and their encodings."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_db.errors import StoreError
from feature_db.records import ExamplePlace, ImportRecord
from feature_db.sqlite.blobs import unpack_array, unpack_sparse, unpack_values
from feature_db.sqlite.connection import Connection

__all__ = ["ORDER", "TEXT_COLUMNS", "Evidence", "StoredExample", "StoredText", "text_of"]

TEXT_COLUMNS = "id, hash, messages, token_ids, tokens, source, category"
"""What `text_of` reads"""
_EXAMPLE = (
    "examples.id AS example, feature, kind, band, rank, purpose, peak_position, activation, per_token, "
    f"band_low, band_high, token, texts.{TEXT_COLUMNS}"
)

ORDER = (
    "CASE kind WHEN 'top' THEN 0 WHEN 'band' THEN 1 WHEN 'random' THEN 2 ELSE 3 END, band, rank, examples.id"
)
"""In which order the examples of a feature are listed, in SQL."""


@dataclass(frozen=True)
class StoredText:
    """A text of the store."""

    id: int
    hash: str
    messages: list[dict[str, Any]]
    token_ids: npt.NDArray[np.int32] | None
    """[T]"""
    tokens: list[str] | None
    """[T] display strings"""
    source: str | None
    category: str | None


@dataclass(frozen=True)
class StoredExample:
    """One example of a feature, with its text."""

    id: int
    feature: int
    kind: str
    band: int | None
    rank: int
    purpose: str
    peak_position: int | None
    activation: float
    values: npt.NDArray[np.float32] | None
    """[T], z at every token"""
    band_low: float | None
    band_high: float | None
    token: str | None
    text: StoredText


class Evidence(Connection):
    """Reading examples, texts and encodings."""

    def examples(
        self,
        feature: int,
        kind: str | None = None,
        limit: int | None = None,
        purpose: str | None = "label",
    ) -> list[StoredExample]:
        """Examples of a feature, by kind (top, band, random, silent), band and rank.

        The part kept for checking labels is left out unless `purpose` is "check" or None (both).
        """
        rows = self.rows(
            f"SELECT {_EXAMPLE} FROM examples JOIN texts ON texts.id = examples.text "
            "WHERE feature = :feature AND (:kind IS NULL OR kind = :kind) "
            "AND (:purpose IS NULL OR purpose = :purpose) "
            f"ORDER BY {ORDER} LIMIT :limit",
            {
                "feature": self.check_feature(feature),
                "kind": kind,
                "purpose": purpose,
                "limit": -1 if limit is None else limit,
            },
        )
        return [_example(row) for row in rows]

    def check_examples(
        self, feature: int, seed: int, n: int = 10, without: Collection[str] = ()
    ) -> list[StoredExample]:
        """Unseen texts to test a label on: half firing, half silent, shuffled; the same for one `seed`.

        All from the checking part, texts with a hash in `without` left out. Raises StoreError when too few of
        either are left.
        """
        unseen = [e for e in self.examples(feature, purpose="check") if e.text.hash not in without]
        rng = random.Random(seed)
        firing = [example for example in unseen if example.kind != "silent"]
        # One text may be there as a top and as a band example.
        firing = list({example.text.id: example for example in firing}.values())
        silent = [example for example in unseen if example.kind == "silent"]
        half = n // 2
        if len(firing) < half or len(silent) < n - half:
            raise StoreError(
                f"feature {feature} has {len(firing)} firing and {len(silent)} {'unseen ' if without else ''}silent "
                f"texts for checking; a test needs {half} and {n - half}: harvest a larger corpus"
            )
        chosen = rng.sample(firing, half) + rng.sample(silent, n - half)
        rng.shuffle(chosen)
        return chosen

    def text(self, text: int) -> StoredText:
        """One text. Raises StoreError."""
        row = self.row(f"SELECT {TEXT_COLUMNS} FROM texts WHERE id = ?", (text,))
        if row is None:
            raise StoreError(f"there is no text {text} in this store")
        return text_of(row)

    def answers_by_prompt(self) -> list[list[int]]:
        """The encoded texts that answer a prompt, a list for each prompt, in the order of their first ids."""
        rows = self.rows(
            "SELECT prompt, texts.id AS id FROM encodings JOIN texts ON texts.id = text "
            "WHERE prompt IS NOT NULL ORDER BY texts.id"
        )
        found: dict[str, list[int]] = defaultdict(list)
        for row in rows:
            found[row["prompt"]].append(row["id"])
        return list(found.values())

    def sample_texts(self, limit: int) -> list[int]:
        """The texts that silent examples are drawn from, a sample of the corpus; else the first `limit` stored."""
        rows = self.rows(
            "SELECT DISTINCT text FROM examples WHERE kind = 'silent' ORDER BY text"
        ) or self.rows("SELECT id FROM texts ORDER BY id LIMIT ?", (limit,))
        return [row[0] for row in rows]

    def places(self) -> Iterator[ExamplePlace]:
        """Every example that is silent or has a positive peak, by feature, top ones first; read as it is asked for."""
        rows = self.conn.execute(
            "SELECT feature, text, kind, purpose, peak_position FROM examples "
            "WHERE activation > 0 OR kind = 'silent' ORDER BY feature, kind = 'top' DESC, kind, rank, id"
        )
        return (ExamplePlace(*row) for row in rows)

    def n_exemplified(self, *, firing: bool = False) -> int:
        """Features that have examples, or with `firing` examples in which they fire."""
        which = "kind <> 'silent'" if firing else "true"
        return int(self.value(f"SELECT count(DISTINCT feature) FROM examples WHERE {which}"))

    def imports(self, format: str | None = None, *, since: int = 0) -> list[ImportRecord]:
        """What was taken in after the import with the number `since`, first to last; of one format or of any."""
        rows = self.rows(
            "SELECT id, format, source, header, time FROM imports "
            "WHERE id > :since AND (:format IS NULL OR format = :format) ORDER BY id",
            {"since": since, "format": format},
        )
        return [ImportRecord(row[0], row[1], row[2], json.loads(row[3]), row[4]) for row in rows]

    def encoding(self, text: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]] | None:
        """z of one text at its scored position: feature ids and values [n_active]; None if not encoded."""
        blob = self.value("SELECT z FROM encodings WHERE text = ?", (text,))
        return None if blob is None else unpack_sparse(blob)

    def encodings(
        self, texts: Sequence[int] | None = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """z of many texts as CSR parts: text ids [n], indptr [n + 1], feature ids and values [total].

        All encoded texts by id, or those of `texts` that are encoded.
        """
        sql, parameters = "SELECT text, z FROM encodings", ()
        if texts is not None:
            sql += " WHERE text IN (SELECT value FROM json_each(?))"
            parameters = (json.dumps([int(text) for text in texts]),)  # type: ignore[assignment]
        rows = self.rows(sql + " ORDER BY text", parameters)
        parts = [unpack_sparse(row["z"]) for row in rows]
        indptr = np.zeros(len(parts) + 1, dtype=np.int64)
        np.cumsum([ids.size for ids, _ in parts], out=indptr[1:])
        return (
            np.asarray([row["text"] for row in rows], dtype=np.int64),
            indptr,
            np.concatenate([ids for ids, _ in parts]) if parts else np.zeros(0, dtype=np.int32),
            np.concatenate([values for _, values in parts]) if parts else np.zeros(0, dtype=np.float32),
        )

    def stats(self) -> dict[str, Any]:
        """Counts of everything in the store, its model and its size in bytes."""
        counts = {
            table: self.value(f"SELECT count(*) FROM {table}")
            for table in (
                "features",
                "texts",
                "encodings",
                "examples",
                "suggestions",
                "label_events",
                "current_labels",
                "queues",
                "steerings",
                "sessions",
            )
        }
        return {
            "model": self.model.name,
            "fingerprint": self.model.fingerprint,
            "n_features": self.model.n_features,
            **counts,
            "bytes": self.value("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"),
        }


def text_of(row: sqlite3.Row) -> StoredText:
    """The text in a row that has `TEXT_COLUMNS`. Raises StoreError for a damaged one."""
    return StoredText(
        row["id"],
        row["hash"],
        json.loads(row["messages"]),
        None if row["token_ids"] is None else unpack_array(row["token_ids"], "<i4").astype(np.int32),
        None if row["tokens"] is None else json.loads(row["tokens"]),
        row["source"],
        row["category"],
    )


def _example(row: sqlite3.Row) -> StoredExample:
    return StoredExample(
        row["example"],
        row["feature"],
        row["kind"],
        row["band"],
        row["rank"],
        row["purpose"],
        row["peak_position"],
        row["activation"],
        None if row["per_token"] is None else unpack_values(row["per_token"]),
        row["band_low"],
        row["band_high"],
        row["token"],
        text_of(row),
    )
