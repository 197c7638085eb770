"""The reference contexts JSON: for each feature, the tokens it peaks on and the texts around them.

{total_latents, threshold, max_length, max_per_token, lines,
 latent_context_map: {"<feature>": {"<token>": [{"context": str, "activation": float}, ...]}}}
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feature_db.errors import RowError, StoreError
from feature_db.exchange.bad_rows import SKIP_BAD, BadRows
from feature_db.exchange.foreign import finite, read_json, whole, written_beside
from feature_db.exchange.format import Format, Look, Report
from feature_db.exchange.whose import REPLACE, check_fingerprint, check_width
from feature_db.features.evidence import StoredExample
from feature_db.records import ExampleRecord, FeatureRecord, TextRecord
from feature_db.store import Store

__all__ = ["Contexts", "export_contexts", "import_contexts"]

NOT_HELD = (
    "not held by this format: messages and roles, token boundaries, values at other tokens, silent texts, bands, "
    "which part is for checking labels, and all statistics of the features"
)
_HEADER = ("total_latents", "threshold", "max_length", "max_per_token", "lines")


class Contexts(Format):
    """The reference contexts JSON."""

    name = "contexts"
    title = "Contexts: tokens and the texts around them"
    endings = ("json",)
    read_options = (SKIP_BAD, REPLACE)

    def recognises(self, file: Look) -> bool:
        """By its map."""
        return "latent_context_map" in file.json

    def read(
        self, store: Store, path: Path, *, by: str = "", dry_run: bool = False, **options: Any
    ) -> Report:
        """See `import_contexts`."""
        return import_contexts(store, path, dry_run=dry_run, **options)

    def write(self, store: Store, path: Path, **options: Any) -> Report:
        """See `export_contexts`."""
        return export_contexts(store, path)


def import_contexts(
    store: Store,
    path: str | Path,
    *,
    dry_run: bool = False,
    skip_bad: bool = False,
    replace: bool = False,
) -> Report:
    """Take the contexts in as "top" examples of the features named; examples of another origin stay unless told to
    `replace` them.

    A text given twice for one feature keeps its larger activation. Raises RowError naming the file and the
    entry; nothing is changed then.
    """
    data = read_json(path)
    contexts = data.get("latent_context_map")
    if not isinstance(contexts, dict):
        raise StoreError(f"{path}: has no latent_context_map object; is it a contexts file?")
    check_width(store.model, data.get("total_latents"), path)
    check_fingerprint(store.model, data.get("fingerprint"), path)
    bad = BadRows(skip_bad)
    texts: dict[str, int] = {}
    places: list[tuple[int, str, str, float]] = []
    for key, tokens in contexts.items():
        with bad.at(path, f"latent_context_map/{key[:40]}"):
            feature = whole(key, "the feature", 0, store.model.n_features - 1)
            found = [(feature, *entry) for entry in _entries(tokens)]
            places += sorted(found, key=lambda entry: -entry[3])
    for _, _, context, _ in places:
        texts.setdefault(context, len(texts))

    def examples() -> Iterator[ExampleRecord]:
        rank, before = 0, -1
        for feature, token, context, activation in places:
            rank = rank + 1 if feature == before else 0
            before = feature
            yield ExampleRecord(feature, texts[context], "top", rank, activation=activation, token=token)

    counts = store.import_harvest(
        (FeatureRecord(feature) for feature in {place[0] for place in places}),
        (TextRecord([{"role": "text", "content": context}], source="contexts") for context in texts),
        (),
        examples(),
        source=str(path),
        format="contexts",
        header=_small_header(data),
        keep_examples=True,
        skip_repeated=True,
        dry_run=dry_run,
        origin="contexts",
        replace=replace,
    )
    report = Report(
        {"features": counts.features, "texts": counts.texts, "examples": counts.examples},
        [*bad.notes(), *counts.notes(dry_run)],
        dry_run,
    )
    repeated = sum(count - 1 for count in Counter((place[0], place[2]) for place in places).values())
    if repeated:
        report.notes.append(f"{repeated} contexts repeat a text of their feature")
    unknown = sorted(set(data) - {*_HEADER, "latent_context_map", "fingerprint"})
    if unknown:
        report.notes.append(f"keys without a meaning here: {', '.join(unknown)[:200]}")
    return report


def _entries(tokens: Any) -> Iterator[tuple[str, str, float]]:
    if not isinstance(tokens, dict):
        raise RowError("must be an object of token to contexts")
    for token, listed in tokens.items():
        if not isinstance(listed, list):
            raise RowError(f"the contexts of token {token[:20]!r} must be a list")
        for entry in listed:
            if not isinstance(entry, dict) or not isinstance(entry.get("context"), str):
                raise RowError(f"each context of token {token[:20]!r} needs a string 'context'")
            yield token, entry["context"], finite(entry.get("activation"), "activation")


def _small_header(data: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for key in _HEADER:
        value = data.get(key)
        if isinstance(value, (int, float)) and abs(value) < 2**53:
            kept[key] = value
    return kept


def export_contexts(
    store: Store, path: str | Path, *, purpose: str | None = "label", max_per_token: int | None = None
) -> Report:
    """Write the firing examples of every feature. The token of an example is the one at its peak.

    Where all of them are from contexts files, the header keeps what those files told of how they were made: the lowest
    threshold and the largest of the other numbers, unless what is written here goes beyond them.
    """
    contexts: dict[str, dict[str, list[dict[str, Any]]]] = {}
    written = texts = longest = most = 0
    foreign = True
    with store.snapshot():
        ids = [row[0] for row in store.rows("SELECT DISTINCT feature FROM examples ORDER BY feature")]
        for feature in ids:
            by_token: dict[str, list[dict[str, Any]]] = {}
            for example in store.examples(feature, purpose=purpose):
                if example.kind == "silent":
                    continue
                listed = by_token.setdefault(_token(example), [])
                if max_per_token is not None and len(listed) >= max_per_token:
                    continue
                entry = {"context": _context(example), "activation": example.activation}
                if entry not in listed:  # one text may be a top and a band example
                    listed.append(entry)
                    written += 1
                    longest = max(longest, len(example.text.tokens or ()))
                    most = max(most, len(listed))
                    # Only a contexts file names the token of an example.
                    foreign = foreign and example.token is not None
            if by_token:
                contexts[str(feature)] = by_token
        texts = store.value("SELECT count(*) FROM texts")
        told = [
            json.loads(row[0])
            for row in store.rows(
                "SELECT header FROM imports WHERE format = 'contexts' AND id > "
                "(SELECT coalesce(max(id), 0) FROM imports WHERE format = 'harvest')"
            )
        ]
    header: dict[str, Any] = {
        "fingerprint": store.model.fingerprint,
        "total_latents": store.model.n_features,
        "threshold": 0.0,
        "max_length": longest,
        "max_per_token": most,
        "lines": texts,
    }
    if foreign and told:
        header["threshold"] = min(one.get("threshold", 0.0) for one in told)
        for name in ("max_length", "lines", *(("max_per_token",) if max_per_token is None else ())):
            header[name] = max(header[name], *(one.get(name, 0) for one in told))
    with written_beside(path) as beside:
        beside.write_text(
            json.dumps({**header, "latent_context_map": contexts}, ensure_ascii=False), encoding="utf-8"
        )
    return Report({"features": len(contexts), "contexts": written}, [NOT_HELD])


def _token(example: StoredExample) -> str:
    if example.token is not None:
        return example.token
    tokens, peak = example.text.tokens, example.peak_position
    return tokens[peak] if tokens is not None and peak is not None and peak < len(tokens) else ""


def _context(example: StoredExample) -> str:
    if example.text.tokens is not None:
        return "".join(example.text.tokens)
    return "\n".join(str(message.get("content", "")) for message in example.text.messages)
