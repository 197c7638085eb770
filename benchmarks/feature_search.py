"""Does the one search of the Features page put the right features first?

    python benchmarks/feature_search.py

What is right is measured, not believed. Each query names traits of answers (feature_queries.json: 60 of them, written
before any way of searching was run on them; feature_queries_check.json: 50, written by somebody who saw neither code
nor words of the program, after the first had been used to choose). The prompts of the shipped store are halved; the
search gets one half, and a feature is right where it tells, on the other half, answers with more of a wanted trait from
others to the same prompt: in at least 60 % of pairs, and surely in more than half. Both ways round; recall@5 is the
share of the right features among the first five (of five at most). Names that ship were made of all prompts; they come
after what is measured on the half. Beside it: the search by words that was there before (names, else names like it,
else texts), and what the search would find if it understood each query.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from app.features.meaning_search import search_by_meaning
from app.features.one_search import search_everything
from benchmarks.names import part
from benchmarks.report import Figure, arguments, publish
from benchmarks.suggestions import SHIPPED, copied
from feature_db import FeatureFilter, Store
from feature_db.features.text_search import features_by_texts
from sarm_core.demo import CORPUS
from sarm_core.find.by_trait import Meant, TraitIndex
from sarm_core.harvest.suggest_pairs import answer_set, tags_in
from sarm_core.search import piece_vectors

SETS = {"60 queries": "feature_queries.json", "50 others": "feature_queries_check.json"}
NAMED = ("refusal", "rude", "code", "list", "apology")
RIGHT = 0.6
ENOUGH = 5
"""Right features from which five can be right"""
Search = Callable[[str, TraitIndex], Sequence[int]]


def before(store: Store, query: str) -> list[int]:
    """Names with the words, else names like them, else texts with them: the search before this one."""
    found = list(dict.fromkeys(hit.feature for hit in store.search(query)))
    if not found:
        found = [match.feature for match in search_by_meaning(store, query, FeatureFilter(), "").matches]
    return found or [hit.feature for hit in features_by_texts(store, query, limit=5)[0]]


def main() -> None:
    parser = arguments(__doc__)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Store.open(copied(SHIPPED, Path(folder))) as store:
        answers = answer_set(store, tags_in([CORPUS], strict=True), words=False)
        assert answers is not None
        first = np.array([hashlib.sha256(p.encode()).digest()[2] % 2 == 0 for p in answers.prompt])
        halves = [
            TraitIndex(part(answers, np.flatnonzero(rows)), piece_vectors()) for rows in (first, ~first)
        ]
        column = {trait.more: place for place, trait in enumerate(halves[0].traits)}
        seconds: list[float] = []

        def now(query: str, index: TraitIndex) -> list[int]:
            started = time.perf_counter()
            found = search_everything(store, query, FeatureFilter(), "", index)
            seconds.append(time.perf_counter() - started)
            return [match.feature for match in found.matches]

        figures = []
        for title, file in SETS.items():
            rows = json.loads(Path(__file__).with_name(file).read_text(encoding="utf-8"))["queries"]
            recalls: dict[str, list[float]] = {"now": [], "before": [], "understood": []}
            enough: list[float] = []
            named: list[float] = []
            for query, means in ((row["query"], row["means"]) for row in rows):
                wanted = [Meant(column[word], 1, word, 1.0) for word in means if word in column]
                for index, other in (halves, halves[::-1]):
                    right = {hit.feature for hit in other.features(wanted, 10_000) if hit.share >= RIGHT}
                    if not right:
                        continue
                    ways = {
                        "now": now(query, index),
                        "before": before(store, query),
                        "understood": [hit.feature for hit in index.features(wanted)],
                    }
                    for way, found in ways.items():
                        recalls[way].append(len(right & set(found[:5])) / min(5, len(right)))
                    if len(right) >= ENOUGH:
                        enough.append(recalls["now"][-1])
                    if query in NAMED:
                        named.append(recalls["now"][-1])
            goal = (">=", 0.8) if not figures else None
            figures += [
                Figure(f"{title}: recall@5", float(np.mean(recalls["now"])), "", goal),
                Figure("  where five or more features are right", float(np.mean(enough)), ""),
                Figure("  the search before", float(np.mean(recalls["before"])), ""),
                Figure("  each query understood", float(np.mean(recalls["understood"])), ""),
                Figure("  queries and halves with a right feature", len(recalls["now"]), ""),
            ]
            if named:
                figures.append(Figure(f"  of {', '.join(NAMED)}", float(np.mean(named)), ""))
        figures.append(Figure("time of a search, median", 1000 * float(np.median(seconds)), "ms"))
    publish(figures, options.out)


if __name__ == "__main__":
    main()
