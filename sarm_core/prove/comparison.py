"""Two results of one benchmark: the change of every score with its interval, and what flipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sarm_core.bootstrap import FEWEST_PROMPTS, interval, redrawn
from sarm_core.errors import SarmError
from sarm_core.prove.benchmarks.scores import Floats, Leaf, Result, json_number

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """What changed between `before` and `after`.

    `scores` has one row per score: `score`, `n`, `prompts`, `before`, `after`, `change`, `low`, `high` (paired
    bootstrap interval of the change, NaN below `FEWEST_PROMPTS` prompts) and `before_low`, `before_high`,
    `after_low`, `after_high`. `flips` has one row per decision whose credit changed, the largest change of margin
    first: `item`, `id`, `subset`, `case`, `prompt`, `right` and `wrong` (conversation numbers that decide it after),
    `margin_before`, `margin_after`, `credit_before`, `credit_after`, `direction` ("won" or "lost"), `source`, `row`.
    """

    before: Result
    after: Result
    scores: pd.DataFrame
    flips: pd.DataFrame
    confidence: float
    resamples: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON: undefined numbers become null."""
        rows = self.scores.to_dict("records")
        return {
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "change": {
                str(row["score"]): {
                    name: json_number(row[name]) for name in ("before", "after", "change", "low", "high")
                }
                for row in rows
            },
            "won": int((self.flips["direction"] == "won").sum()),
            "lost": int((self.flips["direction"] == "lost").sum()),
            "flips": [
                {
                    str(name): json_number(value) if isinstance(value, float) else value
                    for name, value in row.items()
                }
                for row in self.flips.to_dict("records")
            ],
            "bootstrap": {
                "unit": "prompt",
                "resamples": self.resamples,
                "confidence": self.confidence,
                "seed": self.seed,
                "fewest_prompts": FEWEST_PROMPTS,
            },
        }


def compare(
    before: Result,
    after: Result,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    fewest_prompts: int = FEWEST_PROMPTS,
) -> Comparison:
    """Compare two results of the SAME benchmark object.

    The bootstrap redraws prompts within each subset or domain, the same ones before and after, and
    evaluates every score anew: percentile intervals at `confidence`, seeded, none with `resamples=0`.
    A score over fewer than `fewest_prompts` prompts (in one of its parts) has no interval.
    An interval leaves out the resamples in which its score is undefined (a small subset not drawn at all).
    Memory: a block of 64 MB beside 16 bytes x resamples x scores.
    Raises SarmError when the benchmarks differ.
    """
    if before.benchmark is not after.benchmark:
        raise SarmError("these results come from different benchmarks: load it once and score it twice")
    drawn_before, drawn_after = _resampled(before, after, resamples, seed)
    counts, prompts = before.counts(), before.prompts()
    rows = []
    for name, value in before.scores.items():
        row: dict[str, Any] = {
            "score": name,
            "n": counts[name],
            "prompts": prompts[name],
            "before": value,
            "after": after.scores[name],
            "change": after.scores[name] - value,
        }
        if resamples > 0 and prompts[name] >= fewest_prompts:
            one, two = drawn_before[name], drawn_after[name]
            for prefix, draws in (("", two - one), ("before_", one), ("after_", two)):
                row[f"{prefix}low"], row[f"{prefix}high"] = interval(draws, confidence)
        else:
            for prefix in ("", "before_", "after_"):
                row[f"{prefix}low"] = row[f"{prefix}high"] = np.nan
        rows.append(row)
    return Comparison(before, after, pd.DataFrame(rows), _flips(before, after), confidence, resamples, seed)


def _resampled(
    before: Result, after: Result, resamples: int, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every score in every resample, before and after, from the same draws."""
    if resamples <= 0:
        return {}, {}
    strata: dict[str, list[tuple[Leaf, Leaf]]] = {}
    for one, two in zip(before.leaves, after.leaves, strict=True):
        strata.setdefault(one.stratum, []).append((one, two))
    drawn: tuple[dict[str, Floats], dict[str, Floats]] = {}, {}
    for number, leaves in enumerate(strata.values()):
        n = max((int(leaf.prompts.max()) + 1 for leaf, _ in leaves if leaf.prompts.size), default=1)
        # Rows: items, sum before, sum after of each leaf; columns: prompts.
        by_prompt = np.concatenate([_by_prompt(one, two, n) for one, two in leaves])
        totals = redrawn(by_prompt, resamples, np.random.default_rng([seed, number]))
        for position, (leaf, _) in enumerate(leaves):
            items, sum_before, sum_after = totals[3 * position : 3 * position + 3]
            for into, total in ((drawn[0], sum_before), (drawn[1], sum_after)):
                into[leaf.name] = np.divide(total, items, out=np.full(resamples, np.nan), where=items > 0)
    return before.combine(drawn[0]), after.combine(drawn[1])


def _by_prompt(one: Leaf, two: Leaf, n: int) -> Floats:
    weights = np.ones(one.values.size) if one.weights is None else one.weights
    return np.stack(
        [
            np.bincount(one.prompts, weights=weights, minlength=n).astype(np.float64),
            np.bincount(one.prompts, weights=weights * one.values, minlength=n),
            np.bincount(two.prompts, weights=weights * two.values, minlength=n),
        ]
    )


def _flips(before: Result, after: Result) -> pd.DataFrame:
    one, two, items = before.decisions, after.decisions, before.benchmark.items
    changed = np.flatnonzero(one.credit != two.credit)
    size = np.abs(np.nan_to_num(two.margin[changed] - one.margin[changed], nan=np.inf))
    changed = changed[np.argsort(-size, kind="stable")]
    rows: Sequence[dict[str, Any]] = [
        {
            "item": int(one.item[d]),
            "id": items[one.item[d]].id,
            "subset": items[one.item[d]].subset,
            "case": str(one.case[d]),
            "prompt": items[one.item[d]].prompt,
            "right": int(two.right[d]),
            "wrong": int(two.wrong[d]),
            "margin_before": float(one.margin[d]),
            "margin_after": float(two.margin[d]),
            "credit_before": float(one.credit[d]),
            "credit_after": float(two.credit[d]),
            "direction": "won" if two.credit[d] > one.credit[d] else "lost",
            "source": items[one.item[d]].source,
            "row": items[one.item[d]].row,
        }
        for d in changed
    ]
    columns = [
        "item", "id", "subset", "case", "prompt", "right", "wrong", "margin_before", "margin_after",
        "credit_before", "credit_after", "direction", "source", "row",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)
