"""The reference auto-label JSON: what a language model wrote about each feature.

    {engine, features_scored, results: {"<feature>": {score: 1..5 | null, explanation, contexts: [str], response}}}

They come in as suggestions of the method "auto-label: <engine>", never as labels. Names that `sarm name` made go out as
an engine of the same kind, called by model and prompt: the explanation is theirs, and the name and its checks stand
beside it. Cannot be held: anything but one explanation a feature and engine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from feature_db.errors import RowError, StoreError
from feature_db.exchange.bad_rows import SKIP_BAD, BadRows
from feature_db.exchange.foreign import read_json, strings, whole, written_beside
from feature_db.exchange.format import Format, Look, Option, Report
from feature_db.exchange.whose import SAME_MODEL, check_fingerprint, check_model, check_width
from feature_db.harvest.undo import undoable_suggestions
from feature_db.records import LLM_PREFIX, SuggestionRecord, clean_text
from feature_db.store import Store

__all__ = ["METHOD_PREFIX", "AutoLabels", "export_auto_labels", "import_auto_labels"]

METHOD_PREFIX = "auto-label: "
_CHECKS = ("detection", "auc", "low", "high", "pairs", "ties", "holds", "tried", "prompt_hash")
_KNOWN = {"score", "explanation", "contexts", "response"}


def _engines(store: Store) -> list[str]:
    return list(_methods(store))


def _methods(store: Store) -> dict[str, str]:
    """The method of each engine; of two of one name the auto-labels'."""
    methods = [row[0] for row in store.rows("SELECT DISTINCT method FROM suggestions ORDER BY method")]
    return {
        method.removeprefix(prefix): method
        for prefix in (LLM_PREFIX, METHOD_PREFIX)
        for method in methods
        if method.startswith(prefix)
    }


class AutoLabels(Format):
    """The reference auto-label JSON."""

    name = "auto-labels"
    title = "Auto-labels of one engine"
    endings = ("json",)
    read_options = (SKIP_BAD, SAME_MODEL)
    write_options = (Option("engine", "which engine's", choices=_engines),)

    def recognises(self, file: Look) -> bool:
        """By its results."""
        return "results" in file.json

    def read(
        self, store: Store, path: Path, *, by: str = "", dry_run: bool = False, **options: Any
    ) -> Report:
        """See `import_auto_labels`."""
        return import_auto_labels(store, path, dry_run=dry_run, **options)

    def write(self, store: Store, path: Path, *, engine: str | None = None, **options: Any) -> Report:
        """See `export_auto_labels`."""
        return export_auto_labels(store, path, engine)


def import_auto_labels(
    store: Store,
    path: str | Path,
    *,
    dry_run: bool = False,
    skip_bad: bool = False,
    same_model: bool = False,
) -> Report:
    """Replace the suggestions of the file's engine. Keys that are not known are kept with the evidence.

    What the file says of its model (fingerprint, model, layer, total_latents) has to be the store's.

    Raises RowError naming the file and the entry; nothing is changed then.
    """
    data = read_json(path)
    results, engine = data.get("results"), data.get("engine", "unknown")
    if not isinstance(results, dict):
        raise StoreError(f"{path}: has no results object; is it an auto-label file?")
    if not isinstance(engine, str) or len(engine) > 200:
        raise StoreError(f"{path}: engine must be a string of at most 200 characters")
    check_width(store.model, data.get("total_latents"), path)
    if not check_fingerprint(store.model, data.get("fingerprint"), path):
        check_model(store.model, data.get("model"), data.get("layer"), path, same_model=same_model)
    bad = BadRows(skip_bad)
    records, empty = [], 0
    for key, entry in results.items():
        with bad.at(path, f"results/{key[:40]}"):
            feature = whole(key, "the feature", 0, store.model.n_features - 1)
            record = _suggestion(feature, engine, entry)
            if record is None:
                empty += 1
            else:
                records.append(record)
    method = METHOD_PREFIX + engine
    with (
        store.rehearsal() if dry_run else store.write(),
        undoable_suggestions(store, "auto-labels", str(path), {"engine": clean_text(engine)}),
    ):
        before = len(store.suggestions(clean_text(method)))
        count = store.replace_suggestions(method, records, source=str(path))
    report = Report({"suggestions": count}, bad.notes(), dry_run)
    if before:
        report.notes.append(
            f"{before} suggestions of this engine {'would be' if dry_run else 'were'} replaced"
        )
    if empty:
        report.notes.append(f"{empty} features have no explanation and were left out")
    return report


def _suggestion(feature: int, engine: str, entry: Any) -> SuggestionRecord | None:
    if not isinstance(entry, dict):
        raise RowError("must be an object with score, explanation, contexts and response")
    explanation, response = entry.get("explanation"), entry.get("response")
    if explanation is not None and not isinstance(explanation, str):
        raise RowError("explanation must be a string or null")
    if response is not None and not isinstance(response, str):
        raise RowError("response must be a string or null")
    score = entry.get("score")
    if score is not None:
        score = whole(score, "score", 1, 5)
    evidence: dict[str, Any] = {
        "score": score,
        "contexts": strings(entry.get("contexts", []), "contexts"),
        "response": response,
    }
    other = {key: value for key, value in entry.items() if key not in _KNOWN}
    if other:
        evidence["other"] = other
    try:
        json.dumps(evidence, allow_nan=False)
    except (ValueError, RecursionError):
        raise RowError("holds a number that is not finite or too long, or is nested too deeply") from None
    if explanation is None or not explanation.strip():
        return None
    return SuggestionRecord(feature, METHOD_PREFIX + engine, explanation, evidence)


def export_auto_labels(store: Store, path: str | Path, engine: str | None = None) -> Report:
    """Write the auto-labels of one engine; without `engine`, of the only one there is. Raises StoreError."""
    engines = _engines(store)
    if engine is None and len(engines) == 1:
        engine = engines[0]
    if engine is None or engine not in engines:
        raise StoreError(f"choose one of the engines in this store: {', '.join(engines) or 'it has none'}")
    results = {}
    method = _methods(store)[engine]
    for record in store.suggestions(method):
        evidence = dict(record.evidence)
        written = method.startswith(LLM_PREFIX)
        checks = {key: evidence[key] for key in _CHECKS if key in evidence} if written else {}
        results[str(record.feature)] = {
            "score": evidence.get("score"),
            "explanation": evidence.get("description", record.text) if written else record.text,
            "contexts": evidence.get("contexts", []),
            "response": evidence.get("response"),
            **({"name": record.text, "checks": checks} if written else evidence.get("other", {})),
        }
    with written_beside(path) as beside:
        beside.write_text(
            json.dumps(
                {
                    "engine": engine,
                    "model": store.model.name,
                    "fingerprint": store.model.fingerprint,
                    "total_latents": store.model.n_features,
                    "features_scored": len(results),
                    "results": results,
                },
                ensure_ascii=False,
            ),
            encoding="utf-8",
        )
    return Report(
        {"suggestions": len(results)}, ["other methods' suggestions and all labels are not in this file"]
    )
