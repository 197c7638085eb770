"""Preference pairs as a study: one split by prompt, on which every representation of their answers is compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sarm_core.errors import SarmError
from sarm_core.train.data import Pair, prompt_key
from sarm_core.train.head_fit import Part
from sarm_core.train.held_out import RESAMPLES, HeldOut

__all__ = ["SPLITS", "PairStudy"]

SPLITS = ("train", "validation", "test")
_BLOCK = 4096  # pairs of a dense representation that are subtracted at once


class PairStudy:
    """`pairs` whose answers are rows `answer_rows` int64 [2 pairs] of a representation: chosen, rejected, chosen, ...

    `rows` are the numbers of each split's pairs. Ties are in the train part alone, for they have no order to measure:
    `ordered`, bool, says which pairs of a split are none, and `held_out` measures on those. Pairs whose two answers are
    the same row say nothing about an order: they lie in no split, and `alike` counts them.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        answer_rows: npt.NDArray[np.int64],
        seed: int = 0,
        resamples: int = RESAMPLES,
    ) -> None:
        self.pairs = list(pairs)
        self.chosen, self.rejected = answer_rows[0::2], answer_rows[1::2]
        self.weights = np.array([pair.weight for pair in self.pairs], dtype=np.float64)
        self.prompts = [prompt_key(pair.chosen) for pair in self.pairs]
        self.margins = np.array([pair.margin for pair in self.pairs], dtype=np.float64)
        self.tied = np.array([pair.tie for pair in self.pairs], dtype=bool)
        differs = self.chosen != self.rejected
        self.alike = int((~differs).sum())
        split = np.array([pair.split for pair in self.pairs])
        self.rows = {
            name: np.flatnonzero((split == name) & differs & ~(self.tied & (name != "train")))
            for name in SPLITS
        }
        self.ordered = {name: ~self.tied[rows] for name, rows in self.rows.items()}
        self.held_out = {
            name: self._held_out(rows[self.ordered[name]], seed, resamples)
            for name, rows in self.rows.items()
        }

    def check(self) -> None:
        """Raises SarmError unless each split has a pair whose two answers are not the same row."""
        for part in SPLITS:
            if not self.ordered[part].any():
                raise SarmError(f"all pairs of the {part} part have two answers alike: give more prompts")

    def counts(self, ties: int) -> dict[str, int]:
        """Pairs without ties, in all and of each split; of the `ties` that are stated, those that are fitted to."""
        return {
            "pairs": int((~self.tied).sum()),
            "prompts": len(set(self.prompts)),
            "ties": ties,
            "ties_half": int((~self.ordered["train"]).sum()),
            "alike": self.alike,
            **{part: int(ordered.sum()) for part, ordered in self.ordered.items()},
        }

    def of(self, split: str) -> list[Pair]:
        """The pairs of one split."""
        return [self.pairs[i] for i in self.rows[split]]

    def _held_out(self, rows: npt.NDArray[np.int64], seed: int, resamples: int) -> HeldOut:
        return HeldOut(
            self.weights[rows],
            [self.prompts[i] for i in rows],
            [self.pairs[i].source for i in rows],
            seed,
            resamples,
        )

    def parts(self, representation: Any, targets: npt.NDArray[np.float64] | None = None) -> dict[str, Part]:
        """D of each split, of `representation` [answers, F], CSR or dense; with `targets` [pairs] for squared errors.

        D is CSC where the representation is sparse: single features are taken out of it again and again.
        """
        return {
            name: Part(
                self.differences(representation, rows),
                self.weights[rows],
                None if targets is None else targets[rows],
                self.margins[rows] if self.margins[rows].any() else None,
                self.tied[rows] if self.tied[rows].any() else None,
            )
            for name, rows in self.rows.items()
        }

    def differences(self, representation: Any, rows: npt.NDArray[np.int64]) -> Any:
        """D of some pairs, [rows, F]: CSC, or dense float32."""
        left, right = self.chosen[rows], self.rejected[rows]
        if sparse.issparse(representation):
            return sparse.csc_matrix(representation[left] - representation[right])
        out = np.empty((len(rows), representation.shape[1]), dtype=np.float32)
        for at in range(0, len(rows), _BLOCK):
            here = slice(at, at + _BLOCK)
            out[here] = representation[left[here]] - representation[right[here]]
        return out
