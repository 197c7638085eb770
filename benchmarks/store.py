"""How fast the store is: 65,536 synthetic features x 50 examples, each figure beside its limit.

    python benchmarks/store.py            full size, several minutes and a few GB in a temporary folder
    python benchmarks/store.py --small    1/32 of it, to try the script

Prints a table and writes JSON. Times are of warm queries over many features, words and pages: median and 95th
percentile. The limits hold for the full size. On a busy machine wall time says little, so the time the processor
spent is given beside it, and the load.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from feature_db import (
    EncodingRecord,
    ExampleRecord,
    FeatureFilter,
    FeatureRecord,
    ModelRecord,
    Store,
    SuggestionRecord,
    TextRecord,
)
from feature_db.features.same_prompt import quiet_answers
from feature_db.features.text_search import TextRanking, features_by_texts, rank_by_texts

TOKENS = 96
ANSWERS = 5
"""To one prompt"""
ACTIVE = 64
WORDS = np.array([f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "bdgklmnprst"])


def sentence(rng: np.random.Generator, n: int) -> list[str]:
    # Zipf-like, so that a common word is in a large part of all labels, as "the" and "refusal" are.
    ranks = np.minimum(rng.zipf(1.3, n) - 1, WORDS.size - 1)
    return [str(word) for word in WORDS[ranks]]


def texts(n: int) -> Iterator[TextRecord]:
    rng = np.random.default_rng(1)
    for i in range(n):
        asked = sentence(np.random.default_rng((7, i // ANSWERS)), 30)
        words = [*asked, *sentence(rng, TOKENS - 31), f"n{i}"]
        yield TextRecord(
            [
                {"role": "user", "content": " ".join(words[:30])},
                {"role": "assistant", "content": " ".join(words[30:])},
            ],
            rng.integers(0, 128_000, TOKENS),
            words,
            "synthetic",
            "chat",
        )


def encodings(n_texts: int, n_features: int) -> Iterator[EncodingRecord]:
    rng = np.random.default_rng(4)
    for i in range(n_texts):
        ids = np.unique(rng.integers(0, n_features, ACTIVE))
        yield EncodingRecord(i, ids, rng.exponential(size=ids.size).astype(np.float32))


def features(n: int) -> Iterator[FeatureRecord]:
    rng = np.random.default_rng(2)
    edges = np.geomspace(1e-3, 1e2, 41)
    for i in range(n):
        count = int(rng.integers(1, 1_000_000))
        yield FeatureRecord(
            i,
            float(rng.normal()),
            count,
            1_000_000,
            mean=float(rng.exponential()),
            max=float(rng.exponential() + 3),
            histogram_edges=edges,
            histogram_counts=rng.integers(0, 5_000, 40),
            neighbours=[
                (int(j), float(c))
                for j, c in zip(rng.integers(0, n, 10), -np.sort(-rng.random(10)), strict=True)
            ],
            cofiring=[
                (int(j), int(c))
                for j, c in zip(rng.integers(0, n, 10), rng.integers(0, 999, 10), strict=True)
            ],
        )


def examples(n_features: int, per_feature: int, n_texts: int) -> Iterator[ExampleRecord]:
    """20 top, 20 in four bands, 5 random, 5 silent of every 50; one in five kept for checking."""
    rng = np.random.default_rng(3)
    for feature in range(n_features):
        chosen = rng.choice(n_texts, per_feature, replace=False)
        peaks = rng.integers(0, TOKENS, per_feature)
        z = np.sort(rng.exponential(size=per_feature))[::-1]
        for rank in range(per_feature):
            share = rank * 50 // per_feature
            kind = "top" if share < 20 else "band" if share < 40 else "random" if share < 45 else "silent"
            values = np.zeros(TOKENS, dtype=np.float32)
            if kind != "silent":
                values[peaks[rank]] = z[rank]
                values[(peaks[rank] + np.arange(3, 30, 7)) % TOKENS] = z[rank] / 2
            yield ExampleRecord(
                feature,
                int(chosen[rank]),
                kind,
                rank,
                "check" if rank % 5 == 4 else "label",
                0.0 if kind == "silent" else float(z[rank]),
                int(peaks[rank]),
                values,
                (share - 20) // 5 if kind == "band" else None,
            )


def timed(work: Callable[[Any], Any], arguments: list[Any]) -> dict[str, float]:
    work(arguments[0])
    milliseconds, processor = [], []
    for argument in arguments:
        start, start_cpu = time.perf_counter(), time.process_time()
        work(argument)
        milliseconds.append((time.perf_counter() - start) * 1e3)
        processor.append((time.process_time() - start_cpu) * 1e3)
    return {
        "processor_ms": float(np.median(processor)),
        "processor_p95_ms": float(np.quantile(processor, 0.95)),
        "median_ms": float(np.median(milliseconds)),
        "p95_ms": float(np.quantile(milliseconds, 0.95)),
        "max_ms": max(milliseconds),
        "n": len(milliseconds),
    }


def run(folder: Path, n_features: int, per_feature: int, n_texts: int) -> dict[str, Any]:
    path = folder / "store.db"
    results: dict[str, Any] = {}
    generate = time.process_time()
    generated = sum(1 for _ in examples(n_features, per_feature, n_texts))
    generate = time.process_time() - generate

    with Store.open(path, create=ModelRecord("0" * 64, "synthetic", n_features)) as store:
        start, start_cpu = time.perf_counter(), time.process_time()
        counts = store.import_harvest(
            features(n_features),
            texts(n_texts),
            encodings(n_texts, n_features),
            examples(n_features, per_feature, n_texts),
        )
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
        assert counts.examples == generated == n_features * per_feature
        rng = np.random.default_rng(4)
        start = time.perf_counter()
        store.replace_suggestions(
            "synthetic",
            (SuggestionRecord(i, "synthetic", " ".join(sentence(rng, 8))) for i in range(n_features)),
        )
        results["suggestions_seconds"] = time.perf_counter() - start
    results["import"] = {
        "examples": counts.examples,
        "texts": counts.texts,
        "seconds_total": seconds,
        "seconds_per_million": seconds / counts.examples * 1e6,
        "processor_seconds_per_million": cpu_seconds / counts.examples * 1e6,
        "of_which_making_the_records": generate / counts.examples * 1e6,
    }
    results["file_bytes"] = path.stat().st_size

    rng = np.random.default_rng(5)
    with Store.open(path) as store:
        results["open"] = timed(lambda _: Store.open(path).close(), [None] * 20)
        ids = [int(i) for i in rng.integers(0, n_features, 200)]
        results["feature_page"] = timed(lambda i: (store.feature(i), store.examples(i, purpose=None)), ids)
        pages = [(i, store.examples(i, "top")[:6]) for i in ids]
        results["quiet_answers"] = timed(lambda page: quiet_answers(store, *page), pages)
        common = [str(word) for word in WORDS[:20]]
        rare = [str(word) for word in WORDS[200:280]]
        prefixes = [word[:2] for word in WORDS[::11]]
        results["label_search_rare_word"] = timed(store.search, rare)
        results["label_search_prefix"] = timed(store.search, prefixes)
        results["label_search_commonest_words"] = timed(store.search, common)
        results["text_search"] = timed(store.search_texts, rare)
        results["by_texts_first"] = timed(lambda word: rank_by_texts(store, word), common)
        results["by_texts_first_rare_word"] = timed(lambda word: rank_by_texts(store, word), rare)
        shown = FeatureFilter(max_density=0.1)  # as the page opens
        kept = [(word, rank_by_texts(store, word), page) for word in common for page in range(5)]

        def click(kept: tuple[str, TextRanking, int]) -> None:
            word, ranking, page = kept
            features_by_texts(store, word, shown, limit=25, offset=25 * page, ranking=ranking)

        results["by_texts_click"] = timed(click, kept)
        sorts = ["head_weight", "abs_weight", "effect", "density", "max", "n_labels"]
        results["table_page"] = timed(lambda s: store.features_page(s, limit=50), sorts * 10)
        results["table_page_deep"] = timed(
            lambda s: store.features_page(s, limit=50, offset=n_features // 2), sorts * 10
        )
        narrowed = FeatureFilter(max_density=0.2, labelled=False, min_abs_weight=0.5, dead=False)
        results["table_page_filtered"] = timed(lambda s: store.features_page(s, filters=narrowed), sorts * 10)
        results["table_page_searched"] = timed(
            lambda word: store.features_page("effect", filters=FeatureFilter(query=word)), common + rare
        )
        results["scatter_of_all_features"] = timed(lambda _: store.densities(), [None] * 5)
    results["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return results


LIMITS = {
    "feature_page": ("feature page query", 20.0),
    "quiet_answers": ("quieter answers to the prompts of six", 20.0),
    "label_search_rare_word": ("label search, a word", 30.0),
    "label_search_prefix": ("label search, two letters typed", 30.0),
    "label_search_commonest_words": ("label search, the commonest words", 30.0),
    "text_search": ("text search", None),
    # A new question, as to a search by meaning; then a page of its answer, as any page.
    "by_texts_first": ("features by texts, commonest words", 1000.0),
    "by_texts_first_rare_word": ("features by texts, a word", 1000.0),
    "by_texts_click": ("the same words, another page", 20.0),
    "table_page": ("sorted table page", None),
    "table_page_deep": ("sorted table page, half way down", None),
    "table_page_filtered": ("filtered table page", None),
    "table_page_searched": ("table page of a search", None),
    "scatter_of_all_features": ("arrays for the scatter", None),
    "open": ("opening the store", None),
}


def show(results: dict[str, Any]) -> None:
    names = ("median ms", "p95 ms", "max ms", "processor", "p95", "limit ms")
    print(f"{'':38}" + "".join(f"{name:>10}" for name in names))
    for key, (name, limit) in LIMITS.items():
        r = results[key]
        shown = "" if limit is None else f"{limit:.0f}"
        figures = ("median_ms", "p95_ms", "max_ms", "processor_ms", "processor_p95_ms")
        print(f"{name:38}" + "".join(f"{r[figure]:10.2f}" for figure in figures) + f"{shown:>10}")
    imported = results["import"]
    print(
        f"import of {imported['examples']:,} examples: {imported['seconds_total']:.1f} s, that is "
        f"{imported['seconds_per_million']:.1f} s a million (limit 60); processor time "
        f"{imported['processor_seconds_per_million']:.1f} s a million, of which "
        f"{imported['of_which_making_the_records']:.1f} s make the synthetic records"
    )
    print(
        f"file: {results['file_bytes'] / 2**20:,.0f} MiB; peak memory {results['peak_memory_mib']:,.0f} MiB"
    )
    setting = results["setting"]
    print(f"load of the machine: {setting['load']:.1f} on {setting['cores']} cores")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", action="store_true", help="2,048 features instead of 65,536")
    parser.add_argument("--features", type=int, default=65_536)
    parser.add_argument("--examples", type=int, default=50, help="examples a feature")
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-store.json"))
    arguments = parser.parse_args()
    n_features, n_texts = arguments.features, arguments.texts
    if arguments.small:
        n_features, n_texts = 2_048, 1_000
    with tempfile.TemporaryDirectory(prefix="store-benchmark-") as folder:
        results = run(Path(folder), n_features, arguments.examples, n_texts)
    results["setting"] = {
        "features": n_features,
        "examples_a_feature": arguments.examples,
        "texts": n_texts,
        "tokens_a_text": TOKENS,
        "python": platform.python_version(),
        "load": os.getloadavg()[1],
        "cores": os.cpu_count(),
        "sqlite": sqlite3.sqlite_version,
    }
    show(results)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
