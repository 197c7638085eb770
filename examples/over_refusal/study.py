"""The over-refusal case study: find the features in one set of answers, prove what steering them does in another.

Find: pairs of a refusing and an answering answer to one prompt, from the corpus that comes with the project.
Prove: items.jsonl beside this file, written for this study and used for nothing else. Nothing is tuned on it: the rule
that picks features (`RULE`), the multiplier that is called the steering (0: silence them) and the range of the curve
are fixed here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sarm_core import (
    Benchmark,
    Contrast,
    FeatureMatrix,
    Pairs,
    Scorer,
    Steering,
    contrast,
    corpus_answers,
    encoded_corpus,
    read_rows,
)

__all__ = [
    "ITEMS",
    "MULTIPLIERS",
    "RULE",
    "Found",
    "corpus_matrix",
    "find",
    "flat_bonus",
    "held_out",
    "matched_draws",
    "outcome",
]

ITEMS = Path(__file__).with_name("items.jsonl")
MULTIPLIERS = tuple(round(2.0 - 0.1 * step, 1) for step in range(31))
"""Of the curve: 2 (twice as trained) over 1 (as trained) and 0 (silenced) to -1 (reversed)."""

RULE = (
    "w > 0: the reward model likes it",
    "the 95 % interval of s lies above 0: it is more active in refusals",
    "the 95 % interval of the frequency difference lies above 0.1: it fires in refusals much more often",
    "in at least 3 of 4 pairs that differ in it, it is stronger in the refusal",
    "it fires in at least 20 answers",
)
MOST = 8
REFUSING, ANSWERING = ("over-refusing", "refusing"), ("helpful", "complying")


@dataclass(frozen=True)
class Found:
    """The whole table, and the features that follow the rule, those with the largest share of the margin first."""

    contrast: Contrast
    features: tuple[int, ...]
    n_pairs: int

    @property
    def rows(self) -> pd.DataFrame:
        """The table's rows of the features, in their order."""
        return self.contrast.table.set_index("feature").loc[list(self.features)].reset_index()

    def steering(self, multiplier: float = 0.0) -> Steering:
        """Every feature at one multiplier."""
        return Steering(scale=dict.fromkeys(self.features, multiplier))


def corpus_matrix(
    scorer: Scorer, progress: Callable[[int, int], None] | None = None, folder: Path | None = None
) -> FeatureMatrix:
    """Every answer of the project's corpus, encoded once."""
    return encoded_corpus(scorer, folder=folder, progress=progress).matrix


def find(corpus: FeatureMatrix, *, resamples: int = 1000) -> Found:
    """Contrast every refusing with every answering answer to the same prompt, and apply `RULE`."""
    groups: dict[str, list[int]] = {}
    for number, answer in enumerate(corpus_answers()):
        groups.setdefault(answer.prompt_id, []).append(number)
    stance = [answer.varied.get("helpfulness", "") for answer in corpus_answers()]
    pairs = [
        (one, other, prompt)
        for prompt, group in groups.items()
        for one in group
        for other in group
        if stance[one] in REFUSING and stance[other] in ANSWERING
    ]
    refusing, answering = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    found = contrast(
        corpus.select(refusing), corpus.select(answering), prompts=[p[2] for p in pairs], resamples=resamples
    )
    table = found.table
    follows = (
        (table["w"] > 0)
        & (table["s_low"] > 0)
        & (table["freq_difference_low"] > 0.1)
        & (table["stability"] >= 0.75)
        & (table["n_firing"] >= 20)
    )
    chosen = table[follows].sort_values(["margin_share", "feature"], ascending=[False, True]).head(MOST)
    return Found(found, tuple(int(i) for i in chosen["feature"]), len(pairs))


def held_out(items: Path = ITEMS) -> Pairs:
    """Four pairs an item: each answer against each refusal, chosen by the item's subset."""
    rows = []
    for number, item in read_rows(items):
        answers, refusals = (item["answer"], item["answer_2"]), (item["refusal"], item["refusal_2"])
        for a, answer in enumerate(answers, 1):
            for r, refusal in enumerate(refusals, 1):
                chosen, rejected = (
                    (answer, refusal) if item["subset"] == "should answer" else (refusal, answer)
                )
                row = {"id": f"{item['id']}:{a}{r}", "prompt": item["prompt"], "subset": item["subset"]}
                rows.append((items.name, number, {**row, "chosen": chosen, "rejected": rejected}))
    return Pairs.from_rows(rows)


def outcome(
    benchmark: Benchmark, matrix: FeatureMatrix, steering: Steering
) -> dict[str, tuple[int, int, int]]:
    """For each subset (pairs, won, lost) by the steering."""
    before, after = benchmark.result(matrix.rewards), benchmark.result(steering.rewards(matrix))
    changed = after.decisions.credit - before.decisions.credit
    subsets = np.array([benchmark.items[i].subset for i in before.decisions.item])
    return {
        str(name): (
            int((subsets == name).sum()),
            int((changed[subsets == name] > 0).sum()),
            int((changed[subsets == name] < 0).sum()),
        )
        for name in np.unique(subsets)
    }


def flat_bonus(benchmark: Pairs, matrix: FeatureMatrix, bonuses: Sequence[float]) -> pd.DataFrame:
    """The scores if every answer that does not refuse got the same bonus: columns `bonus`, `score`, `value`.

    The yardstick for the steering: it needs to be told which answers refuse, and it favours answering everywhere alike.
    """
    answers = np.zeros(len(benchmark.conversations))
    for item, chosen, rejected in zip(benchmark.items, benchmark.chosen, benchmark.rejected, strict=True):
        answers[chosen if item.subset == "should answer" else rejected] = 1.0
    rows = [
        {"bonus": bonus, "score": name, "value": value}
        for bonus in bonuses
        for name, value in benchmark.result(matrix.exact_rewards + bonus * answers).scores.items()
    ]
    return pd.DataFrame(rows)


def matched_draws(
    corpus: FeatureMatrix, features: Sequence[int], *, draws: int, near: int = 20, seed: int = 0
) -> npt.NDArray[np.int64]:
    """Control sets, int [draws, len(features)]: for each feature another one that weighs about as much in the corpus.

    Candidates are the `near` features with the nearest mean |w z| over the corpus among those with w of the same
    sign and none of `features`. Raises ValueError when the model has too few.
    """
    weight = np.abs(corpus.csr).mean(axis=0).A1 * np.abs(corpus.head.astype(np.float64))
    allowed = np.setdiff1d(np.flatnonzero((weight > 0) & (corpus.head > 0)), features)
    if len(allowed) < near:
        raise ValueError(
            f"{len(allowed)} features with w > 0 fire in the corpus: too few to draw controls from"
        )
    rng = np.random.default_rng(seed)
    drawn = np.empty((draws, len(features)), dtype=np.int64)
    for row in drawn:
        for place, feature in enumerate(features):
            free = np.setdiff1d(allowed, row[:place])
            nearest = free[np.argsort(np.abs(weight[free] - weight[feature]), kind="stable")[:near]]
            row[place] = rng.choice(nearest)
    return drawn
