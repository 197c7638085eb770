"""Features as JSON of Neuronpedia's web API: one object a feature, with its explanations and activations inside.

    {modelId, layer, index, maxActApprox, frac_nonzero, freq_hist_data_bar_*, explanations: [...], activations: [...]}

A .json file holds one object or a list of them, a .jsonl file one a line. Read only; taken in as a Neuronpedia folder
is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feature_db.errors import RowError, StoreError
from feature_db.exchange.bad_rows import SKIP_BAD, BadRows
from feature_db.exchange.foreign import json_rows, read_json_any
from feature_db.exchange.format import Format, Look, Report
from feature_db.exchange.neuronpedia_import import Raw, take_in
from feature_db.exchange.whose import REPLACE, SAME_MODEL, check_model
from feature_db.store import Store

__all__ = ["FeatureJson"]

_MARKS = {"modelId", "layer", "index"}
_INSIDE = ("explanations", "activations")
_READ = (
    *("modelId", "layer", "index", "maxActApprox", "frac_nonzero", "freq_hist_data_bar_heights"),
    *("freq_hist_data_bar_values", "topkCosSimIndices", "topkCosSimValues"),
)


class FeatureJson(Format):
    """What the web API answers for a feature."""

    name = "feature-json"
    title = "Features of Neuronpedia's web API"
    endings = ("json", "jsonl")
    writable = False
    read_options = (SKIP_BAD, SAME_MODEL, REPLACE)

    def recognises(self, file: Look) -> bool:
        """By model, layer and index of its first object."""
        return (file.first_object or file.first_line).keys() >= _MARKS

    def read(
        self, store: Store, path: Path, *, by: str = "", dry_run: bool = False, **options: Any
    ) -> Report:
        """Take the features in; see `import_folder`."""
        bad = BadRows(options.get("skip_bad", False))
        found = list(_objects(path, bad))
        if not found:
            raise StoreError(f"{path}: holds no feature")
        first = found[0][1]
        model_id, source_id = str(first.get("modelId")), str(first.get("layer"))
        if not first.keys() >= _MARKS:
            raise StoreError(
                f"{path}: names no model, layer and index; is it a feature of Neuronpedia's web API?"
            )
        check_model(store.model, model_id, source_id, path, same_model=options.get("same_model", False))

        def raw(kind: str) -> Iterator[Raw]:
            for place, data in found:
                if kind == "features":
                    yield str(path), place, {key: data[key] for key in _READ if key in data}
                    continue
                for number, row in enumerate(_listed(data, kind, path, place, bad), 1):
                    own = f"{place}/{kind}/{number}"
                    if isinstance(row, dict):
                        yield str(path), own, _rest(row) | {key: data.get(key) for key in _MARKS}
                    else:
                        bad.take(RowError("must be an object", source=path, row=own))

        return take_in(
            store,
            path,
            raw,
            (model_id, source_id),
            format=self.name,
            header={"features": len(found)},
            notes=[],
            bad=bad,
            dry_run=dry_run,
            replace=options.get("replace", False),
        )


def _objects(path: Path, bad: BadRows) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.suffix.lower() == ".jsonl":
        yield from json_rows(path, on_bad=bad.take)
        return
    data = read_json_any(path)
    for place, row in enumerate(data if isinstance(data, list) else [data], 1):
        if isinstance(row, dict):
            yield place, row
        else:
            bad.take(RowError("must be an object", source=path, row=place))


def _listed(data: dict[str, Any], kind: str, path: Path, place: int, bad: BadRows) -> list[Any]:
    value = data.get(kind)
    if value is None or isinstance(value, list):
        return value or []
    bad.take(RowError(f"{kind} must be a list", source=path, row=place))
    return []


def _rest(row: dict[str, Any]) -> dict[str, Any]:
    """What is read of an explanation or activation; the API adds much about votes, users and scores."""
    keys = (
        "id",
        "authorId",
        "description",
        "typeName",
        "explanationModelName",
        "dataSource",
        "tokens",
        "values",
    )
    more = ("maxValue", "minValue", "maxValueTokenIndex", "binMin", "binMax", "binContains")
    return {key: row[key] for key in (*keys, *more) if key in row}
