"""Are suggested descriptions more than chance, and do they hold on texts they were not made from?

    python benchmarks/suggestions.py                        on a copy of the store that ships
    python benchmarks/suggestions.py --store STORE.db       on a copy of another

Suggestions are made anew. Detection is the balanced accuracy of a suggestion as a rule on texts kept for checking: the
mean of the share of peaks at which it holds and the share of silent texts' places at which it does not. As the check
also decides which suggestions stay, it is given for all rules that were found and for those that stayed. Intervals
are 95 % of 2,000 bootstrap samples of the features. Groups of random places are as large as a feature's examples and
from the same corpus; the limit is the nominal share and twice the standard error of so many groups.
"""

from __future__ import annotations

import lzma
import random
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.report import Figure, arguments, publish
from feature_db import Store
from sarm_core.harvest.suggest import CHANCE, Background, FeaturePlaces, find_rule, suggest
from sarm_core.harvest.suggest_store import METHOD, StoredPlaces, suggest_all

SHIPPED = Path(__file__).parents[1] / "sarm_core" / "demo" / "store.db.xz"
GROUPS = 1500


def copied(path: Path, folder: Path) -> Path:
    """A copy of a store, unpacked, that may be written to."""
    copy = folder / "store.db"
    with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as source, copy.open("wb") as target:
        shutil.copyfileobj(source, target)
    return copy


def accuracy(unseen: Mapping[str, Sequence[int]], firing: str) -> float:
    """Balanced accuracy on the unseen peaks `firing` ("strongest" or "firing"); nan where there are none."""
    (hits, n), (false, n_silent) = unseen[firing], unseen["silent"]
    return (hits / n + 1 - false / n_silent) / 2 if n and n_silent else float("nan")


def with_interval(name: str, values: Iterable[float]) -> list[Figure]:
    """Mean and 95 % bootstrap interval of the values that are known."""
    known = np.array([value for value in values if np.isfinite(value)])
    rng = np.random.default_rng(0)
    means = [rng.choice(known, len(known)).mean() for _ in range(2000)]
    low, high = np.quantile(means, [0.025, 0.975])
    return [Figure(name, known.mean(), ""), Figure("  from", low, ""), Figure("  to", high, "")]


def at_random(background: Background, like: FeaturePlaces, rng: random.Random) -> FeaturePlaces:
    """Places of distinct random texts in the numbers a feature has them, its silent ones from the rest."""
    n = (len(like.firing), len(like.unseen_firing), len(like.unseen_silent))
    order = list(range(len(background)))
    rng.shuffle(order)
    by_text: dict[int, int] = {}
    for place in order:
        by_text.setdefault(int(background.text[place]), place)
    chosen = list(by_text.items())[: n[0] + n[1]]
    texts = frozenset(text for text, _ in chosen)
    traits = [background.traits(place) for _, place in chosen]
    others = (place for place in order if int(background.text[place]) not in texts)
    silent = [background.traits(place) for place in islice(others, n[2])]
    firing, unseen = traits[: n[0]], traits[n[0] :]
    return FeaturePlaces(
        firing[: len(like.strongest)], firing, unseen[: len(like.unseen_strongest)], unseen, silent, texts
    )


def main() -> None:
    """Measure and publish."""
    parser = arguments(__doc__)
    parser.add_argument("--store", type=Path, default=SHIPPED)
    options = parser.parse_args()
    rng = random.Random(0)
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(copied(options.store, Path(folder))) as store,
    ):
        stored = len(store.suggestions(METHOD))
        started = time.perf_counter()
        named = suggest_all(store)
        seconds = time.perf_counter() - started
        places = StoredPlaces(store)
        background = places.background()
        found = [feature for _, feature in places.features()]
    rules = [rule for feature in found if (rule := find_rule(feature, background)) is not None]
    kept = [made.evidence["unseen"] for feature in found if (made := suggest(feature, background))]
    likes = [feature for feature in found if len(feature.strongest) >= 3 and feature.unseen_silent]
    by_chance = checked = 0
    for _ in range(GROUPS):
        group = at_random(background, rng.choice(likes), rng)
        by_chance += find_rule(group, background) is not None
        checked += suggest(group, background) is not None
    figures = [
        Figure("features with examples", len(found), ""),
        Figure("suggestions the store held", stored, ""),
        Figure("rules found on the texts kept for labelling", len(rules), ""),
        Figure("better than chance on unseen texts: suggestions", named, ""),
    ]
    for name, unseen in (("rules", [rule.unseen for rule in rules]), ("suggestions", kept)):
        for firing, words in (("strongest", "strongest texts"), ("firing", "all firing texts")):
            figures += with_interval(
                f"detection, {name}, {words}", (accuracy(each, firing) for each in unseen)
            )
    most = 100 * (CHANCE + 2 * (CHANCE * (1 - CHANCE) / GROUPS) ** 0.5)
    figures += [
        Figure(f"{GROUPS} random groups: rule found", 100 * by_chance / GROUPS, "%", ("<=", most)),
        Figure("the same: suggestions", 100 * checked / GROUPS, "%"),
        Figure("time for all features", seconds, "s"),
    ]
    publish(figures, options.out, store=options.store.name)


if __name__ == "__main__":
    main()
