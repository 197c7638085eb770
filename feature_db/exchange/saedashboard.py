"""SAEDashboard's batch files, as its Neuronpedia runner writes them before they are converted.

    batch-N.json: {model_id, layer, sae_set, features: [{feature_index, frac_nonzero, freq_hist_data_bar_*,
                   activations: [{tokens, values, bin_min, bin_max, bin_contains}, ...]}, ...]}

One file or a folder of them. Numbers are rounded there to three digits after the point. Read only; taken in as a
Neuronpedia folder is. The largest activation of a feature is that of its examples.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feature_db.errors import RowError, StoreError
from feature_db.exchange.bad_rows import SKIP_BAD, BadRows
from feature_db.exchange.foreign import members, read_json
from feature_db.exchange.format import Format, Look, Report
from feature_db.exchange.neuronpedia_import import Raw, take_in
from feature_db.exchange.whose import REPLACE, SAME_MODEL, check_model
from feature_db.store import Store

__all__ = ["SaeDashboard"]

_BATCH = re.compile(r"batch-(\d{1,9})\.json")
_STATISTICS = ("frac_nonzero", "freq_hist_data_bar_heights", "freq_hist_data_bar_values")


class SaeDashboard(Format):
    """Batches of features with their activations."""

    name = "saedashboard"
    title = "SAEDashboard batches"
    endings = ("json",)
    writable = False
    read_options = (SKIP_BAD, SAME_MODEL, REPLACE)

    def recognises(self, file: Look) -> bool:
        """By the names of the batches in a folder, or by model and features of a file."""
        if file.is_folder:
            return any(_BATCH.fullmatch(name) for name in file.names)
        return {"model_id", "features"} <= file.json.keys()

    def read(
        self, store: Store, path: Path, *, by: str = "", dry_run: bool = False, **options: Any
    ) -> Report:
        """Take the batches in; see `import_folder`."""
        bad = BadRows(options.get("skip_bad", False))
        files = _files(path)
        whose: set[tuple[str, str]] = set()
        batches = []
        for file in files:
            data = read_json(file)
            if not isinstance(data.get("features"), list):
                raise StoreError(f"{file}: has no list of features; is it a batch of SAEDashboard?")
            source = f"{data.get('layer')}-{data.get('sae_set')}"
            check_model(
                store.model,
                data.get("model_id"),
                data.get("layer"),
                file,
                same_model=options.get("same_model", False),
            )
            whose.add((str(data.get("model_id")), source))
            batches.append((file, data["features"]))
        if len(whose) > 1:
            named = ", ".join(map("/".join, sorted(whose)))
            raise StoreError(f"{path}: holds several sources, import one: {named[:300]}")

        def raw(kind: str) -> Iterator[Raw]:
            for file, listed in batches if kind != "explanations" else ():
                for number, feature in enumerate(listed, 1):
                    place = f"features/{number}"
                    if not isinstance(feature, dict) or not isinstance(
                        feature.get("activations") or [], list
                    ):
                        if kind == "features":
                            reason = "must be an object with a list of activations"
                            bad.take(RowError(reason, source=file, row=place))
                    elif kind == "features":
                        yield str(file), place, _feature(feature)
                    else:
                        yield from _activations(feature, file, place, bad)

        return take_in(
            store,
            path,
            raw,
            whose.pop(),
            format=self.name,
            header={"batches": len(files)},
            notes=[],
            bad=bad,
            dry_run=dry_run,
            replace=options.get("replace", False),
        )


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = {int(match[1]): path / name for name in members(path) if (match := _BATCH.fullmatch(name))}
    if not found:
        raise StoreError(f"{path}: holds no batch-N.json")
    return [found[number] for number in sorted(found)]


def _feature(feature: dict[str, Any]) -> dict[str, Any]:
    row = {"index": feature.get("feature_index")} | {
        key: feature[key] for key in _STATISTICS if key in feature
    }
    peaks = [_peak(one.get("values")) for one in feature.get("activations") or [] if isinstance(one, dict)]
    known = [peak for peak in peaks if peak is not None]
    return row | ({"maxActApprox": max(known)} if known else {})


def _peak(values: Any) -> float | None:
    """The largest of them; None where one is no number, which the row of the activation says."""
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        return None
    try:
        return max((peak for value in values if math.isfinite(peak := float(value))), default=None)
    except OverflowError:
        return None


def _activations(feature: dict[str, Any], file: Path, place: str, bad: BadRows) -> Iterator[Raw]:
    for number, one in enumerate(feature.get("activations") or [], 1):
        own = f"{place}/activations/{number}"
        if not isinstance(one, dict):
            bad.take(RowError("must be an object", source=file, row=own))
            continue
        names = {"binMin": "bin_min", "binMax": "bin_max", "binContains": "bin_contains"}
        row = {
            "index": feature.get("feature_index"),
            "tokens": one.get("tokens"),
            "values": one.get("values"),
        }
        yield str(file), own, row | {name: one[theirs] for name, theirs in names.items() if theirs in one}
