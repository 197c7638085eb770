"""Pairs whose label is in doubt: another pair says the opposite, or heads fitted without them do.

A pair's margin is that of a head fitted on other prompts only (cross-fitting), so that neither a pair nor a copy of it
votes for its own label. The features of the head were chosen on all training pairs; their weights were not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from sarm_core.train.data import Pair
from sarm_core.train.head_fit import Part, fit_head

__all__ = ["FOLDS", "UNLIKELY", "Doubtful", "contradicting", "cross_fitted", "doubtful"]

FOLDS = 5
UNLIKELY = 0.1
"""A pair whose label the other prompts' pairs give less than this probability looks mislabelled."""
_EXCERPT = 200


@dataclass(frozen=True)
class Doubtful:
    """Pair number `pair` and `why`: "contradicts" (another pair states the opposite of the same two answers) or
    "against" (the cross-fitted `margin`, r_chosen - r_rejected, is strongly negative)."""

    pair: int
    why: str
    margin: float

    def row(self, pair: Pair) -> dict[str, Any]:
        """For a line of JSON: where the pair stands, how it begins, what speaks against it."""
        source, number = pair.place or (pair.source, self.pair + 1)
        turns = pair.chosen.messages
        prompt = next((turn.content for turn in turns or () if turn.role == "user"), "")
        return {
            "file": source,
            "row": number,
            "source": pair.source,
            "why": self.why,
            "margin": round(self.margin, 4),
            "probability": round(float(special.expit(self.margin)), 4),
            "prompt": prompt[:_EXCERPT],
        }


def contradicting(chosen: npt.NDArray[np.int64], rejected: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Numbers of the pairs whose opposite is stated too, ascending; `chosen` and `rejected` [pairs] name answers."""
    said = set(zip(chosen.tolist(), rejected.tolist(), strict=True))
    swapped = zip(rejected.tolist(), chosen.tolist(), strict=True)
    return np.array([i for i, pair in enumerate(swapped) if pair in said and pair[0] != pair[1]], np.int64)


def cross_fitted(
    part: Part, prompts: Sequence[str], decay: float, start: npt.NDArray[np.float64], seed: int
) -> npt.NDArray[np.float64]:
    """Margins [pairs] by ridge heads of `decay` that saw none of the pair's prompt; `start` changes no result.

    With fewer prompts than folds, a fold is a prompt.
    """
    _, prompt = np.unique(np.array(prompts, dtype=object).astype(str), return_inverse=True)
    n = int(prompt.max(initial=-1)) + 1
    folds = min(FOLDS, n)
    fold = (
        np.random.default_rng(seed).permutation(n)[prompt] % folds
        if folds > 1
        else np.zeros(len(prompt), int)
    )
    margins = np.zeros(len(prompt))
    if hasattr(part.differences, "tocsr"):
        part = replace(part, differences=part.differences.tocsr())
    for number in range(folds if folds > 1 else 0):
        inside = fold == number
        w = fit_head(part.some(~inside), decay, start)
        margins[inside] = part.some(inside).margins(w)
    return margins


def doubtful(
    margins: npt.NDArray[np.float64], chosen: npt.NDArray[np.int64], rejected: npt.NDArray[np.int64]
) -> list[Doubtful]:
    """Contradicting pairs first, then those against which the margins [pairs] speak most."""
    opposite = contradicting(chosen, rejected)
    found = [Doubtful(int(i), "contradicts", float(margins[i])) for i in opposite]
    against = np.flatnonzero(
        (special.expit(margins) < UNLIKELY) & ~np.isin(np.arange(len(margins)), opposite)
    )
    against = against[np.argsort(margins[against], kind="stable")]
    return found + [Doubtful(int(i), "against", float(margins[i])) for i in against]
