"""Neuronpedia-style export folders.

    {modelId}/{sourceId}/{features,explanations,activations}/batch-N.jsonl.gz     1,024 rows a batch

A folder or a .zip of one is read; a folder is written. Labels and suggestions are written as explanations and all
explanations are read as suggestions: nobody here has vouched for them.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from feature_db.errors import RowError, StoreError
from feature_db.evidence import StoredExample
from feature_db.interchange.foreign import Report, finite, json_rows, member_names, strings, whole
from feature_db.records import ExampleRecord, FeatureRecord, SuggestionRecord, TextRecord
from feature_db.store import Store

__all__ = ["BATCH", "LABEL_TYPE", "NOT_HELD", "export_folder", "import_folder"]

BATCH = 1_024
LABEL_TYPE = "human-label"

NOT_HELD = (
    "head weights, firing counts with their denominators (only the density), mean activations, co-firing",
    "histogram edges (only the middle of each bar; edges are inferred again when read)",
    "encodings, messages with their roles, token ids, categories of texts",
    "examples without tokens or per-token values",
    "label history, verdicts, categories, votes, flags, adjudications, evidence of suggestions",
)
"""What the format has no place for; in the report of every export."""

_PATH = re.compile(
    r"(?P<model>[^/]+)/(?P<layer>[^/]+)/(?P<kind>features|explanations|activations)/batch-(?P<n>\d{1,9})\.jsonl\.gz"
)
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OWN_ID = re.compile(r"sarm:(\d{1,9}):(top|band|random|silent):(\d{0,9}):(label|check):(\d{1,9})")


# -- writing ---------------------------------------------------------------------------------------------


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
        with store.snapshot():
            counts = {
                "features": _write(beside / "features", _feature_rows(store, common)),
                "explanations": _write(beside / "explanations", _explanation_rows(store, common)),
                "activations": _write(beside / "activations", _activation_rows(store, common, skipped)),
            }
        os.replace(beside, target)
    except OSError as error:
        raise StoreError(f"{target}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    notes = [f"not held by this format: {what}" for what in NOT_HELD]
    if left_out := next(skipped):
        notes.append(f"{left_out} examples have no tokens or no per-token values and were left out")
    return Report(counts, notes)


def _write(folder: Path, rows: Iterable[dict[str, Any]]) -> int:
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
            gzip.GzipFile("", "wb", 6, raw, 0) as file,
        ):
            for row in batch:
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        count += len(batch)
    raise AssertionError("unreachable")


def _feature_rows(store: Store, common: dict[str, str]) -> Iterator[dict[str, Any]]:
    made = store.value("SELECT created FROM models")
    created = datetime.fromtimestamp(made / 1e6, UTC).isoformat()
    for record in store.records():
        middles, counts = [], []
        if record.histogram_edges is not None and record.histogram_counts is not None:
            edges = np.asarray(record.histogram_edges, dtype=np.float64)
            geometric = bool((edges > 0).all())
            middle = np.sqrt(edges[:-1] * edges[1:]) if geometric else (edges[:-1] + edges[1:]) / 2
            middles, counts = middle.tolist(), np.asarray(record.histogram_counts).tolist()
        yield {
            **common,
            "index": str(record.id),
            "maxActApprox": record.max,
            "frac_nonzero": record.density,
            "freq_hist_data_bar_heights": counts,
            "freq_hist_data_bar_values": middles,
            "topkCosSimIndices": [feature for feature, _ in record.neighbours],
            "topkCosSimValues": [cosine for _, cosine in record.neighbours],
            "vector": [],
            "vectorLabel": None,
            "hookName": store.model.info.get("hook"),
            "createdAt": created,
        }


def _explanation_rows(store: Store, common: dict[str, str]) -> Iterator[dict[str, Any]]:
    for row in store.conn.execute(
        "SELECT uid, feature, annotator, text FROM current_labels ORDER BY feature, seq"
    ):
        yield _explanation(
            row["uid"], common, row["feature"], row["annotator"], row["text"], LABEL_TYPE, None
        )
    for row in store.conn.execute(
        "SELECT id, feature, method, text, evidence FROM suggestions ORDER BY feature, id"
    ):
        evidence = json.loads(row["evidence"])
        yield _explanation(
            evidence.get("id", f"suggestion-{row['id']}"),
            common,
            row["feature"],
            evidence.get("authorId"),
            row["text"],
            row["method"],
            evidence.get("explanationModelName"),
        )


def _explanation(
    key: str, common: dict[str, str], feature: int, author: Any, text: str, type_name: str, model: Any
) -> dict[str, Any]:
    return {
        "id": key,
        **common,
        "index": str(feature),
        "authorId": author,
        "description": text,
        "typeName": type_name,
        "explanationModelName": model,
    }


def _activation_rows(
    store: Store, common: dict[str, str], skipped: Iterator[int]
) -> Iterator[dict[str, Any]]:
    for (feature,) in store.rows("SELECT DISTINCT feature FROM examples ORDER BY feature"):
        for example in store.examples(feature, purpose=None):
            if example.values is None or example.text.tokens is None:
                next(skipped)
            else:
                yield _activation(example, common)


def _activation(example: StoredExample, common: dict[str, str]) -> dict[str, Any]:
    assert example.values is not None
    band = "" if example.band is None else example.band
    low, high = example.band_low, example.band_high
    return {
        "id": f"sarm:{example.feature}:{example.kind}:{band}:{example.purpose}:{example.rank}",
        **common,
        "index": str(example.feature),
        "dataSource": example.text.source,
        "tokens": example.text.tokens,
        "values": example.values.tolist(),
        "maxValue": example.activation,
        "minValue": float(example.values.min()) if example.values.size else None,
        "maxValueTokenIndex": example.peak_position,
        "binMin": -1 if low is None else low,
        "binMax": -1 if high is None else high,
        "binContains": -1,
    }


# -- reading ---------------------------------------------------------------------------------------------


def import_folder(store: Store, path: str | Path) -> Report:
    """Take in an export folder, a folder above it or a .zip of either; one model and source only.

    Statistics of named features are updated (numbers the format lacks stay), their examples replaced, and
    explanations added as suggestions whose method is their typeName. Raises RowError naming the file and
    line; nothing is changed then.
    """
    batches, notes = _batches(path)
    last = store.model.n_features - 1
    named: set[int] = set()
    unknown: set[str] = set()

    def rows(kind: str) -> Iterator[tuple[str, int, dict[str, Any], int]]:
        for name in batches[kind]:
            for line, row in json_rows(path, name):
                try:
                    feature = whole(row.get("index"), "index", 0, last)
                except RowError as error:
                    raise error.at(f"{path}/{name}", line) from None
                unknown.update(set(row) - _KNOWN[kind])
                yield name, line, row, feature

    def read(kind: str, convert: Any) -> Iterator[Any]:
        for name, line, row, feature in rows(kind):
            try:
                yield convert(row, feature)
            except RowError as error:
                raise error.at(f"{path}/{name}", line) from None

    def features() -> Iterator[FeatureRecord]:
        for record in read("features", _feature):
            named.add(record.id)
            yield record
        # A folder may hold explanations or activations of features it has no row for.
        for kind in ("explanations", "activations"):
            for _, _, _, feature in rows(kind):
                if feature not in named:
                    named.add(feature)
                    yield FeatureRecord(feature)

    def examples() -> Iterator[ExampleRecord]:
        ranks: dict[tuple[int, str], int] = {}
        for position, record in enumerate(read("activations", _example)):
            record.text = position
            if record.rank < 0:
                record.rank = ranks.get((record.feature, record.kind), 0)
                ranks[record.feature, record.kind] = record.rank + 1
            yield record

    with store.write():
        n_rows = sum(1 for _ in rows("activations"))
        counts = store.import_harvest(
            features(),
            read("activations", _text),
            (),
            examples(),
            source=str(path),
            format="neuronpedia",
            header={"batches": {kind: len(names) for kind, names in batches.items()}},
            keep_examples=True,
            skip_repeated=True,
        )
        suggestions = store.add_suggestions(read("explanations", _suggestion), source=str(path))
    if n_rows > counts.examples:
        notes.append(f"{n_rows - counts.examples} activations repeat a text of their feature and kind")
    if unknown:
        notes.append(f"keys without a meaning here: {', '.join(sorted(unknown))[:200]}")
    return Report(
        {"features": counts.features, "examples": counts.examples, "suggestions": suggestions}, notes
    )


_COMMON_KEYS = {"modelId", "layer", "index"}
_KNOWN = {
    "features": _COMMON_KEYS
    | {"maxActApprox", "frac_nonzero", "freq_hist_data_bar_heights", "freq_hist_data_bar_values"}
    | {"topkCosSimIndices", "topkCosSimValues", "vector", "vectorLabel", "hookName", "createdAt"},
    "explanations": _COMMON_KEYS | {"id", "authorId", "description", "typeName", "explanationModelName"},
    "activations": _COMMON_KEYS
    | {"id", "dataSource", "tokens", "values", "maxValue", "minValue", "maxValueTokenIndex"}
    | {"binMin", "binMax", "binContains"},
}


def _batches(path: str | Path) -> tuple[dict[str, list[str]], list[str]]:
    kinds: dict[str, list[tuple[int, str]]] = {"features": [], "explanations": [], "activations": []}
    sources: set[str] = set()
    other = 0
    base = "/".join(Path(path).resolve().parts[-2:])
    for name in member_names(path):
        # The path given may be the folder of the source, of the model, or one above.
        match = _PATH.search(f"{base}/{name}")
        if match is None or not f"{base}/{name}".endswith(match.group(0)):
            other += 1
            continue
        sources.add(f"{match['model']}/{match['layer']}")
        kinds[match["kind"]].append((int(match["n"]), name))
    if not sources:
        raise StoreError(f"{path}: holds no features, explanations or activations/batch-N.jsonl.gz")
    if len(sources) > 1:
        raise StoreError(f"{path}: holds several sources, import one: {', '.join(sorted(sources))[:300]}")
    notes = [f"{other} other files were not read"] if other else []
    return {kind: [name for _, name in sorted(found)] for kind, found in kinds.items()}, notes


def _feature(row: dict[str, Any], feature: int) -> FeatureRecord:
    heights = row.get("freq_hist_data_bar_heights") or []
    values = row.get("freq_hist_data_bar_values") or []
    ids, cosines = row.get("topkCosSimIndices") or [], row.get("topkCosSimValues") or []
    for name, pair in (("freq_hist_data", (heights, values)), ("topkCosSim", (ids, cosines))):
        if not all(isinstance(part, list) for part in pair) or len(pair[0]) != len(pair[1]):
            raise RowError(f"the two lists of {name} must be equally long")
    edges = _edges(np.asarray([finite(value, "freq_hist_data_bar_values") for value in values]))
    maximum, density = row.get("maxActApprox"), row.get("frac_nonzero")
    return FeatureRecord(
        feature,
        density=None if density is None else finite(density, "frac_nonzero"),
        max=None if maximum is None else finite(maximum, "maxActApprox"),
        histogram_edges=edges,
        histogram_counts=None
        if edges is None
        else [whole(height, "freq_hist_data_bar_heights") for height in heights],
        neighbours=[
            (whole(i, "topkCosSimIndices"), finite(c, "topkCosSimValues"))
            for i, c in zip(ids, cosines, strict=True)
        ],
    )


def _edges(middles: np.ndarray) -> np.ndarray | None:
    """Edges [n + 1] of bars with these middles [n]: of log-spaced bars when the middles grow by one factor."""
    if middles.size < 2:
        return None
    if (np.diff(middles) <= 0).any():
        raise RowError("freq_hist_data_bar_values must ascend")
    if (middles > 0).all():
        logs = np.log(middles)
        if np.allclose(np.diff(logs), logs[1] - logs[0], rtol=1e-3):
            return np.exp(_between(logs))
    return _between(middles)


def _between(middles: np.ndarray) -> np.ndarray:
    inner = (middles[:-1] + middles[1:]) / 2
    return np.concatenate([[2 * middles[0] - inner[0]], inner, [2 * middles[-1] - inner[-1]]])


def _text(row: dict[str, Any], feature: int) -> TextRecord:
    tokens = strings(row.get("tokens"), "tokens")
    source = row.get("dataSource")
    return TextRecord(
        [{"role": "text", "content": "".join(tokens)}],
        None,
        tokens,
        source if isinstance(source, str) else None,
    )


def _example(row: dict[str, Any], feature: int) -> ExampleRecord:
    tokens, values = strings(row.get("tokens"), "tokens"), row.get("values")
    if not isinstance(values, list) or len(values) != len(tokens):
        raise RowError(f"values must be a list of {len(tokens)} numbers, one a token")
    numbers = np.asarray([finite(value, "values") for value in values])
    if numbers.size and np.abs(numbers).max() > np.finfo(np.float32).max:
        raise RowError("values must fit float32")
    peak = row.get("maxValueTokenIndex")
    if peak is not None:
        peak = whole(peak, "maxValueTokenIndex", 0, max(len(tokens) - 1, 0))
    elif numbers.size:
        peak = int(numbers.argmax())
    maximum = row.get("maxValue")
    activation = float(numbers.max(initial=0.0)) if maximum is None else finite(maximum, "maxValue")
    low, high = (
        None if row.get(name) in (None, -1) else finite(row[name], name) for name in ("binMin", "binMax")
    )
    own = _OWN_ID.fullmatch(row["id"]) if isinstance(row.get("id"), str) else None
    if own is not None and int(own[1]) == feature:
        kind, band, purpose, rank = own[2], int(own[3]) if own[3] else None, own[4], int(own[5])
    else:
        kind, band, purpose, rank = ("top" if low is None else "band"), None, "label", -1
    return ExampleRecord(
        feature, 0, kind, rank, purpose, activation, peak, numbers.astype(np.float32), band, low, high
    )


def _suggestion(row: dict[str, Any], feature: int) -> SuggestionRecord:
    text, type_name = row.get("description"), row.get("typeName")
    if not isinstance(text, str) or not text.strip():
        raise RowError("description must be text")
    evidence = {
        key: row[key]
        for key in ("id", "authorId", "explanationModelName")
        if isinstance(row.get(key), (str, int)) and row[key] is not True and row[key] is not False
    }
    method = type_name if isinstance(type_name, str) and type_name.strip() else "neuronpedia"
    return SuggestionRecord(feature, method, text, evidence)
