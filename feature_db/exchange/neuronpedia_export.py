"""Writing Neuronpedia-style export folders.

    {modelId}/{sourceId}/{features,explanations,activations}/batch-N.jsonl.gz     1,024 rows a batch
    {modelId}/{sourceId}/sarm.json                                                whose features these are

Labels and suggestions are written as explanations. `neuronpedia_import` reads them back.
"""

from __future__ import annotations

import gzip
import itertools
import json
import math
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from feature_db.errors import StoreError
from feature_db.exchange.bars import middles_of
from feature_db.exchange.format import Report
from feature_db.exchange.neuronpedia_import import SARM_FILE
from feature_db.features.evidence import ORDER
from feature_db.records import LABEL_METHOD
from feature_db.sqlite.blobs import unpack_values
from feature_db.store import Store

__all__ = ["BATCH", "NOT_HELD", "export_folder"]

BATCH = 1_024
COMPRESSION = 4
"""gzip's level: half the time of the usual 6 for 7 % more bytes."""

NOT_HELD = (
    "head weights, firing counts with their denominators (only the density), mean activations, co-firing",
    "histogram edges (only the middle of each bar; edges are inferred again when read)",
    "encodings, messages with their roles, token ids, categories of texts",
    "examples without tokens or per-token values",
    "label history, verdicts, categories, votes, flags, adjudications, evidence of suggestions",
)
"""What the format has no place for; in the report of every export."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def export_folder(store: Store, out: str | Path, *, model_id: str, source_id: str) -> Report:
    """Write `out`/`model_id`/`source_id`, whole or not at all. `source_id` is "{layer}-{setName}".

    Raises StoreError when a name cannot be a folder's, or the folder is there already.
    """
    for name in (model_id, source_id):
        if not _SAFE_NAME.fullmatch(name) or ".." in name:
            raise StoreError(f"{name!r} cannot name a folder: use letters, digits, '.', '_' and '-'")
    target = Path(out) / model_id / source_id
    if target.exists():
        raise StoreError(f"{target}: is there already; remove it or choose another name")
    beside = target.with_name(f".{source_id}.{os.getpid()}.part")
    common = {"modelId": model_id, "layer": source_id}
    skipped = itertools.count()
    try:
        with (
            store.snapshot(),
            tqdm(
                total=store.value("SELECT count(*) FROM examples"),
                desc="writing",
                unit=" examples",
                unit_scale=True,
                disable=None,  # where stderr is no terminal
                leave=False,
            ) as bar,
        ):
            activations = _activation_rows(store, common, skipped.__next__, bar)
            counts = {
                "features": _write(beside / "features", _feature_rows(store, common)),
                "explanations": _write(beside / "explanations", _explanation_rows(store, common)),
                "activations": _write(beside / "activations", activations),
            }
            whose = {
                "fingerprint": store.model.fingerprint,
                "model": store.model.name,
                "n_features": store.model.n_features,
                "layer": store.model.info.get("layer"),
            }
            (beside / SARM_FILE).write_text(_json(whose) + "\n", encoding="utf-8")
        os.replace(beside, target)
    except OSError as error:
        raise StoreError(f"{target}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    notes = [f"not held by this format: {what}" for what in NOT_HELD]
    if left_out := next(skipped):
        notes.append(f"{left_out} examples have no tokens or no per-token values and were left out")
    return Report(counts, notes)


def _write(folder: Path, rows: Iterable[str]) -> int:
    """Write JSON texts, one a line, as batches; returns how many there were."""
    folder.mkdir(parents=True)
    count = 0
    iterator = iter(rows)
    for number in itertools.count():
        batch = list(itertools.islice(iterator, BATCH))
        if not batch:
            return count
        # mtime=0: the same store gives the same bytes.
        with (
            open(folder / f"batch-{number}.jsonl.gz", "wb") as raw,
            gzip.GzipFile("", "wb", COMPRESSION, raw, 0) as file,
        ):
            file.write("".join(f"{row}\n" for row in batch).encode())
        count += len(batch)
    raise AssertionError("unreachable")


def _feature_rows(store: Store, common: dict[str, str]) -> Iterator[str]:
    made = store.value("SELECT created FROM models")
    created = datetime.fromtimestamp(made / 1e6, UTC).isoformat()
    for record in store.records():
        bars: tuple[list[Any], list[Any]] = ([], [])
        if record.histogram_edges is not None and record.histogram_counts is not None:
            bars = np.asarray(record.histogram_counts).tolist(), middles_of(record.histogram_edges)
        # A store filled by an earlier version may hold a cosine that no float32 can.
        neighbours = [(feature, cosine) for feature, cosine in record.neighbours if math.isfinite(cosine)]
        yield _json(
            {
                **common,
                "index": str(record.id),
                "maxActApprox": record.max,
                "frac_nonzero": record.density,
                "freq_hist_data_bar_heights": bars[0],
                "freq_hist_data_bar_values": bars[1],
                "topkCosSimIndices": [feature for feature, _ in neighbours],
                "topkCosSimValues": [cosine for _, cosine in neighbours],
                "vector": [],
                "vectorLabel": None,
                "hookName": store.model.info.get("hook"),
                "createdAt": created,
            }
        )


def _explanation_rows(store: Store, common: dict[str, str]) -> Iterator[str]:
    for row in store.conn.execute(
        "SELECT feature, 0 AS suggested, seq AS place, uid, annotator, text, NULL AS method, NULL AS evidence "
        "FROM current_labels UNION ALL SELECT feature, 1, id, NULL, NULL, text, method, evidence "
        "FROM suggestions ORDER BY feature, suggested, place"
    ):
        evidence = json.loads(row["evidence"]) if row["suggested"] else {}
        yield _json(
            {
                "id": evidence.get("id", f"suggestion-{row['place']}") if row["suggested"] else row["uid"],
                **common,
                "index": str(row["feature"]),
                "authorId": evidence.get("authorId") if row["suggested"] else row["annotator"],
                "description": row["text"],
                "typeName": row["method"] if row["suggested"] else LABEL_METHOD,
                "explanationModelName": evidence.get("explanationModelName"),
            }
        )


def _activation_rows(
    store: Store, common: dict[str, str], left_out: Callable[[], Any], bar: tqdm
) -> Iterator[str]:
    @lru_cache(maxsize=4_096)
    def text_of(text: int) -> tuple[str | None, str | None]:
        """Tokens as JSON, and the source: a text is an example of many features."""
        row = store.row("SELECT tokens, source FROM texts WHERE id = ?", (text,))
        assert row is not None  # a foreign key holds it
        return None if row["tokens"] is None else _json(json.loads(row["tokens"])), row["source"]

    for (feature,) in store.rows("SELECT DISTINCT feature FROM examples ORDER BY feature"):
        for row in store.rows(
            "SELECT text, kind, band, rank, purpose, peak_position, activation, per_token, band_low, band_high "
            f"FROM examples WHERE feature = ? ORDER BY {ORDER}",
            (feature,),
        ):
            bar.update()
            tokens, source = text_of(row["text"])
            if row["per_token"] is None or tokens is None:
                left_out()
            else:
                yield _activation(row, feature, tokens, source, common)


def _activation(
    row: sqlite3.Row, feature: int, tokens: str, source: str | None, common: dict[str, str]
) -> str:
    values = unpack_values(row["per_token"])
    band = "" if row["band"] is None else row["band"]
    low, high = row["band_low"], row["band_high"]
    rest = _json(
        {
            "id": f"sarm:{feature}:{row['kind']}:{band}:{row['purpose']}:{row['rank']}",
            **common,
            "index": str(feature),
            "dataSource": source,
            "maxValue": row["activation"],
            "minValue": float(values.min()) if values.size else None,
            "maxValueTokenIndex": row["peak_position"],
            "binMin": -1 if low is None else low,
            "binMax": -1 if high is None else high,
            "binContains": -1,
        }
    )
    # Most values are 0, and tokens are JSON already: twice as fast as to write the whole.
    numbers = ["0.0"] * values.size
    for place in values.nonzero()[0].tolist():
        numbers[place] = repr(float(values[place]))
    return f'{rest[:-1]}, "tokens": {tokens}, "values": [{", ".join(numbers)}]}}'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
