"""How well each way of searching finds a feature's name that says the same in other words.

    python benchmarks/meaning.py                              the ways that need nothing but what is installed
    python benchmarks/meaning.py --sentence NAME=FOLDER       also a sentence model that Transformers reads
    python benchmarks/meaning.py --static NAME=FOLDER         also a table of token vectors with its tokenizer.json

The queries and what they should find are in meaning_queries.json, written before any of this was run, and
meaning_queries_check.json, written after the first set had been used to choose and before any was run on it.
Recall@5 is the share of the wanted names among the first five (of five at most); MRR is the mean of 1 / the place
of the first wanted one, 0 where none is found. Intervals are 95 % of 10,000 bootstrap samples of the queries.
"""

from __future__ import annotations

import json
import os
import random
import re
import string
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.features.meaning_search import WEAK
from benchmarks.report import Figure, arguments, publish
from feature_db import FeatureRecord, ModelRecord, Store, SuggestionRecord
from feature_db.label.labels import Labels
from sarm_core.search.piece_vectors import PIECES, PieceVectors, piece_vectors

Vectors = npt.NDArray[np.float32]
Rank = Callable[[str], list[int]]
"""A query's results: numbers of texts, best first, as many as the way finds."""

SETS = ("meaning_queries.json", "meaning_queries_check.json")
SHIPPED = "shipped piece vectors"
SAMPLES = 10_000
FUSION = 60
"""The usual constant of reciprocal rank fusion."""


@dataclass(frozen=True)
class Query:
    text: str
    kind: str
    relevant: frozenset[int]


def load(name: str) -> tuple[list[dict[str, Any]], list[Query]]:
    held = json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return held["texts"], [
        Query(row["query"], row["kind"], frozenset(row["relevant"])) for row in held["queries"]
    ]


# -- words ---------------------------------------------------------------------------------------------------


def word_store(path: Path, texts: Sequence[dict[str, Any]]) -> Path:
    """A real store whose features are called what the texts say."""
    last = max(row["id"] for row in texts) + 1
    with Store.open(path, create=ModelRecord("0" * 64, "queries", last)) as store:
        store.import_harvest([FeatureRecord(i) for i in range(last)], (), (), ())
        store.replace_suggestions(
            "log-odds",
            [
                SuggestionRecord(row["id"], "log-odds", row["text"])
                for row in texts
                if row["origin"] != "label"
            ],
        )
        labels = Labels(store, "ann")
        for row in texts:
            if row["origin"] == "label":
                labels.label(row["id"], row["text"])
    return path


def all_words(path: Path) -> Rank:
    """Store.search: every word must occur."""

    def rank(query: str) -> list[int]:
        with Store.open(path) as store:
            return [hit.feature for hit in store.search(query, limit=1000)]

    return rank


def any_word(path: Path) -> Rank:
    """FTS5 with OR between the words, by bm25; labels and suggestions in one order."""

    def rank(query: str) -> list[int]:
        words = " OR ".join(f'"{word}"' for word in re.findall(r"\w+", query))
        with Store.open(path) as store:
            rows = store.rows(
                "SELECT feature, bm25(labels_fts) AS score FROM labels_fts WHERE labels_fts MATCH :words UNION ALL "
                "SELECT s.feature, bm25(suggestions_fts) AS score FROM suggestions_fts "
                "JOIN suggestions AS s ON s.id = suggestions_fts.rowid WHERE suggestions_fts MATCH :words "
                "ORDER BY score",
                {"words": words},
            )
        return [row[0] for row in rows]

    return rank


# -- vectors -------------------------------------------------------------------------------------------------


def unit(vectors: npt.NDArray[Any]) -> Vectors:
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norm, 1e-12)).astype(np.float32)


def by_vector(embed: Callable[[Sequence[str]], Vectors], texts: Sequence[dict[str, Any]]) -> Rank:
    """Every text, by cosine with the query."""
    ids = [row["id"] for row in texts]
    vectors = unit(embed([row["text"] for row in texts]))

    def rank(query: str) -> list[int]:
        cosine = vectors @ unit(embed([query]))[0]
        return [ids[place] for place in np.argsort(-cosine, kind="stable").tolist()]

    return rank


def fused(*ways: Rank) -> Rank:
    """Reciprocal rank fusion [Cormack, Clarke and Buettcher 2009]."""

    def rank(query: str) -> list[int]:
        score: dict[int, float] = {}
        for way in ways:
            for place, feature in enumerate(dict.fromkeys(way(query)), 1):
                score[feature] = score.get(feature, 0.0) + 1 / (FUSION + place)
        return sorted(score, key=lambda feature: -score[feature])

    return rank


def token_mean(
    table: Vectors,
    tokenize: Callable[[Sequence[str]], list[list[int]]],
    weight: Vectors | None = None,
    common: Vectors | None = None,
) -> Callable[[Sequence[str]], Vectors]:
    """Weighted mean of static token vectors, less their projection on `common` [d]."""

    def embed(texts: Sequence[str]) -> Vectors:
        out = np.zeros((len(texts), table.shape[1]), dtype=np.float32)
        for row, ids in enumerate(tokenize(texts)):
            if ids:
                w = np.ones(len(ids), dtype=np.float32) if weight is None else weight[ids]
                out[row] = w @ table[ids] / max(float(w.sum()), 1e-9)
        out = unit(out)
        return out if common is None else out - np.outer(out @ common, common)

    return embed


def backbone_ways(texts: Sequence[dict[str, Any]]) -> dict[str, Rank]:
    """The embedded backbone's own input embeddings: mean, idf-weighted, and less the common component."""
    from safetensors import safe_open
    from tokenizers import Tokenizer

    from sarm_core.model.embedded import ensure_backbone

    folder = ensure_backbone()
    with safe_open(str(folder / "model.safetensors"), "pt") as file:
        table = file.get_tensor("model.embed_tokens.weight").float().numpy()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def tokenize(batch: Sequence[str]) -> list[list[int]]:
        # A word inside a text has a space before it, and so another token than at its start.
        found = tokenizer.encode_batch([f" {text.lower()}" for text in batch], add_special_tokens=False)
        return [encoding.ids for encoding in found]

    # idf and the common component come from the project's own corpus, not from the texts that are searched.
    corpus = Path(__file__).parents[1] / "sarm_core" / "demo" / "corpus.jsonl"
    sample = re.findall(r'"(?:content|text)": "((?:[^"\\]|\\.){20,})"', corpus.read_text(encoding="utf-8"))
    sample = [part for text in sample for part in re.split(r"(?<=[.!?])\s", text)]
    counts = np.zeros(len(table), dtype=np.float32)
    ids = tokenize(sample)
    for row in ids:
        counts[list(set(row))] += 1
    idf = np.log((len(ids) + 1) / (counts + 1)).astype(np.float32)
    plain = token_mean(table, tokenize)
    weighted = token_mean(table, tokenize, idf)
    common = np.linalg.svd(weighted(sample[:2000]), full_matrices=False)[2][0]
    return {
        "backbone token vectors, mean": by_vector(plain, texts),
        "backbone token vectors, idf": by_vector(weighted, texts),
        "backbone token vectors, idf, less common part": by_vector(
            token_mean(table, tokenize, idf, common), texts
        ),
    }


def sentence_model(folder: Path) -> Callable[[Sequence[str]], Vectors]:
    """Mean of a transformer's last hidden states over the real tokens (or its first, where the folder says so)."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
    pooling = folder / "1_Pooling" / "config.json"
    first = pooling.is_file() and json.loads(pooling.read_text())["pooling_mode_cls_token"]

    @torch.no_grad()
    def embed(texts: Sequence[str]) -> Vectors:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out: list[Any] = [None] * len(texts)
        for start in range(0, len(order), 64):
            chosen = order[start : start + 64]
            batch = tokenizer(
                [texts[i] for i in chosen], padding=True, truncation=True, max_length=128, return_tensors="pt"
            )
            hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None]
            pooled = hidden[:, 0] if first else (hidden * mask).sum(1) / mask.sum(1)
            for place, i in enumerate(chosen):
                out[i] = pooled[place].numpy()
        return unit(np.stack(out))

    return embed


def static_model(folder: Path) -> Callable[[Sequence[str]], Vectors]:
    """Mean of the rows of the one table in *.safetensors, for the tokens of tokenizer.json; or a folder like ours."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    if (folder / PIECES).is_file():
        return PieceVectors.read(folder).embed
    (file,) = folder.glob("*.safetensors")
    (table,) = load_file(str(file)).values()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def tokenize(batch: Sequence[str]) -> list[list[int]]:
        found = tokenizer.encode_batch(list(batch), add_special_tokens=False)
        return [[i for i in encoding.ids if i < len(table)] for encoding in found]

    return token_mean(table.astype(np.float32), tokenize)


# -- figures -------------------------------------------------------------------------------------------------


def measures(way: Rank, queries: Sequence[Query]) -> npt.NDArray[np.float64]:
    """Recall@5 and reciprocal rank of each query, [queries, 2]."""
    out = []
    for query in queries:
        found = list(dict.fromkeys(way(query.text)))
        recall = len(query.relevant & set(found[:5])) / min(5, len(query.relevant))
        place = next((n for n, feature in enumerate(found, 1) if feature in query.relevant), None)
        out.append((recall, 1 / place if place else 0.0))
    return np.array(out)


def interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over queries; the same resamples for every way."""
    picked = np.random.default_rng(0).integers(0, len(values), (SAMPLES, len(values)))
    low, high = np.quantile(values[picked].mean(1), [0.025, 0.975])
    return float(low), float(high)


def compare(name: str, models: dict[str, Callable[[Sequence[str]], Vectors]]) -> list[Figure]:
    """Every way on one set of queries: prints the table, gives the figures."""
    texts, queries = load(name)
    with tempfile.TemporaryDirectory(prefix="meaning-") as folder:
        store = word_store(Path(folder) / "store.db", texts)
        some = any_word(store)
        ways: dict[str, Rank] = {
            "words, all of them (the page's words)": all_words(store),
            "words, any of them": some,
            **backbone_ways(texts),
        }
        for model, embed in models.items():
            ways[model] = by_vector(embed, texts)
            ways[f"{model} + any word, fused"] = fused(ways[model], some)
        found = {way: measures(rank, queries) for way, rank in ways.items()}
    other = np.array([query.kind == "other words" for query in queries])
    figures, width = [], max(map(len, found))
    print(
        f"\n{name}: {len(queries)} queries ({other.sum()} in other words), {len(texts)} texts; 95 % intervals"
    )
    print(
        f"{'':<{width}}  recall@5               MRR                    in other words    shipped minus this"
    )
    for way, values in found.items():
        cells = []
        for place, measure in enumerate(("recall@5", "MRR")):
            low, high = interval(values[:, place])
            mean = float(values[:, place].mean())
            cells.append(f"{mean:.3f} [{low:.3f}, {high:.3f}]")
            for end, value in (("", mean), (", low", low), (", high", high)):
                figures.append(Figure(f"{name}: {way}: {measure}{end}", value, ""))
        rest = values[other].mean(0)
        gaps = [interval(found[SHIPPED][:, i] - values[:, i]) for i in (0, 1)]
        against = " ".join(f"[{low:+.3f}, {high:+.3f}]" for low, high in gaps)
        print(f"{way:<{width}}  {cells[0]}   {cells[1]}   {rest[0]:.3f} {rest[1]:.3f}   {against}")
    return figures


def made_up(n: int = 200) -> list[str]:
    """Words that mean nothing: half of random letters, half that could be said aloud."""
    rng = random.Random(0)
    letters = ["".join(rng.choices(string.ascii_lowercase, k=rng.randint(5, 9))) for _ in range(n // 2)]
    syllables = [
        "".join(rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") for _ in range(rng.randint(2, 4)))
        for _ in range(n // 2)
    ]
    return letters + syllables


def best_matches(name: str) -> list[Figure]:
    """How near the nearest name is to a query that means one of them, and to a word that means nothing."""
    texts, queries = load(name)
    names = piece_vectors().embed([row["text"] for row in texts])
    figures = []
    for kind, asked in (("queries", [query.text for query in queries]), ("made-up words", made_up())):
        best = (piece_vectors().embed(asked) @ names.T).max(axis=1)
        shares = {least: float((best < least).mean()) for least in (0.2, 0.3, WEAK, 0.4, 0.5)}
        low, middle, high = np.quantile(best, [0.05, 0.5, 0.95])
        print(
            f"{name}: best match of {kind}: median {middle:.2f}, 5 to 95 % {low:.2f} to {high:.2f}; below "
            + ", ".join(f"{least}: {share:.0%}" for least, share in shares.items())
        )
        figures += [
            Figure(f"{name}: {kind} with their best match below {least}", share, "")
            for least, share in shares.items()
        ]
    return figures


def main() -> None:
    parser = arguments(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sentence", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--static", action="append", default=[], metavar="NAME=FOLDER")
    options = parser.parse_args()
    models: dict[str, Callable[[Sequence[str]], Vectors]] = {SHIPPED: piece_vectors().embed}
    for given, read in ((options.static, static_model), (options.sentence, sentence_model)):
        for name, _, place in (text.partition("=") for text in given):
            models[name] = read(Path(place))
    figures = [figure for name in SETS for figure in compare(name, models)]
    print()
    figures += [figure for name in SETS for figure in best_matches(name)]
    if options.out is not None:
        publish(figures, options.out, load=os.getloadavg()[1])


if __name__ == "__main__":
    main()
