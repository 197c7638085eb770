"""Pairs whose label the features contradict: candidates for wrong labels, and the set without them.

Two scores a pair, both negative where the label looks wrong:

    concept  sum_i s_i (z_i of chosen - z_i of rejected)      what the answers differ in   [SAFER]
    margin   r of chosen - r of rejected                      what the head prefers
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.files import whole_file
from sarm_core.find.contrast import salience

__all__ = ["concept_scores", "keep_trusted", "n_dropped", "suspicious_pairs", "write_cleaned"]

Floats = npt.NDArray[np.float64]


def concept_scores(
    chosen: FeatureMatrix,
    rejected: FeatureMatrix,
    *,
    leave_one_out: bool = True,
    prompts: Sequence[Hashable] | None = None,
    weights: npt.ArrayLike | None = None,
) -> Floats:
    """sum_i s_i (z_i chosen - z_i rejected) of each pair, float64 [n]; a feature with undefined s adds 0.

    With `leave_one_out`, s is taken over the pairs of all OTHER `prompts` (one a pair), so that neither a pair nor
    a copy of it can vote for its own label. Without `prompts`, and where all pairs answer one prompt, a pair is left
    out alone. `weights` [n] are the shares of the pairs in s (see `contrast`). Raises SarmError when the sets are not
    pairs of one model.
    """
    n = len(chosen)
    if n != len(rejected) or not n:
        raise SarmError(f"{n} chosen and {len(rejected)} rejected answers are not pairs")
    if not np.array_equal(chosen.head, rejected.head):
        raise SarmError("chosen and rejected answers were scored by different models")
    if prompts is not None and len(prompts) != n:
        raise SarmError(f"prompts names {len(prompts)} prompts for {n} pairs: give one a pair")
    left = sparse.csr_matrix(chosen.csr, dtype=np.float64)
    right = sparse.csr_matrix(rejected.csr, dtype=np.float64)
    difference, total = sparse.csr_matrix(left - right), sparse.csr_matrix(left + right)
    shares = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    if shares.shape != (n,):
        raise SarmError(f"weights has {shares.size} numbers for {n} pairs: give one a pair")
    c, j = left.T @ shares, right.T @ shares
    if not leave_one_out:
        return np.asarray(difference @ np.nan_to_num(salience(c, j), nan=0.0))
    scores, over_all, under_all, sum_all = np.zeros(n), c - j, c + j, (c + j).sum()
    for pairs in _left_out_together(n, prompts):
        # Left out, they change s of their own features, and the mean over the dictionary through their total.
        own, own_total = _sums(difference, pairs, shares), _sums(total, pairs, shares)
        mean = (sum_all - sum(own_total.values())) / c.size
        for pair in pairs:
            ids, delta = _entries(difference, pair)
            over = over_all[ids] - np.array([own[i] for i in ids])
            under = under_all[ids] - np.array([own_total.get(i, 0.0) for i in ids]) + mean
            s = np.divide(over, under, out=np.zeros_like(over), where=under != 0)
            scores[pair] = s @ delta
    return scores


def _left_out_together(n: int, prompts: Sequence[Hashable] | None) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for pair, prompt in enumerate(prompts if prompts is not None else range(n)):
        groups.setdefault(prompt, []).append(pair)
    return list(groups.values()) if len(groups) > 1 else [[pair] for pair in range(n)]


def _sums(csr: sparse.csr_matrix, rows: Sequence[int], shares: Floats) -> dict[int, float]:
    """Weighted column sums of some rows, of the columns that occur in them."""
    sums: dict[int, float] = defaultdict(float)
    for row in rows:
        for i, value in zip(*_entries(csr, row), strict=True):
            sums[i] += shares[row] * value
    return sums


def _entries(csr: sparse.csr_matrix, row: int) -> tuple[npt.NDArray[np.int32], Floats]:
    start, stop = csr.indptr[row], csr.indptr[row + 1]
    return csr.indices[start:stop], csr.data[start:stop]


def suspicious_pairs(
    chosen: FeatureMatrix,
    rejected: FeatureMatrix,
    *,
    by: str = "concept",
    leave_one_out: bool = True,
    prompts: Sequence[Hashable] | None = None,
    weights: npt.ArrayLike | None = None,
) -> pd.DataFrame:
    """All pairs, the most suspicious first.

    Columns: `pair` (row in both matrices, from 0), `concept`, `margin`, their ranks `concept_rank` and
    `margin_rank` (1 = contradicts its label most), `contradicted_by` ("both", "concept", "margin" or "").
    `by` is "concept", "margin" or "both" (the mean of the two ranks). Ties keep the order of the pairs. `prompts`
    and `weights`: see `concept_scores`.
    """
    if by not in ("concept", "margin", "both"):
        raise SarmError(f"cannot order suspicious pairs by {by!r}: use concept, margin or both")
    concept = concept_scores(chosen, rejected, leave_one_out=leave_one_out, prompts=prompts, weights=weights)
    margin = chosen.exact_rewards - rejected.exact_rewards
    table = pd.DataFrame({"pair": np.arange(len(chosen)), "concept": concept, "margin": margin})
    table["concept_rank"] = table["concept"].rank(method="min").astype(np.int64)
    table["margin_rank"] = table["margin"].rank(method="min", na_option="bottom").astype(np.int64)
    named = {(True, True): "both", (True, False): "concept", (False, True): "margin", (False, False): ""}
    table["contradicted_by"] = [named[bool(a), bool(b)] for a, b in zip(concept < 0, margin < 0, strict=True)]
    key = {
        "concept": table["concept_rank"],
        "margin": table["margin_rank"],
        "both": table["concept_rank"] + table["margin_rank"],
    }[by]
    return table.iloc[np.argsort(key.to_numpy(), kind="stable")].reset_index(drop=True)


def keep_trusted(suspicious: pd.DataFrame, share: float = 0.04) -> npt.NDArray[np.int64]:
    """Pair numbers left, ascending, when the worst `share` of `suspicious_pairs` (rounded) is dropped.

    Raises SarmError when none would be left.
    """
    dropped = n_dropped(len(suspicious), share)
    return np.sort(suspicious["pair"].to_numpy()[dropped:]).astype(np.int64)


def n_dropped(n: int, share: float) -> int:
    """How many of `n` pairs are the worst `share`, rounded. Raises SarmError when that would leave none."""
    if not 0 <= share < 1:
        raise SarmError(f"the share to drop is {share}: it must be at least 0 and less than 1")
    dropped = round(share * n)
    if dropped == n:
        raise SarmError(
            f"leaving out {share:.3g} of {n} pair{'s' if n != 1 else ''} leaves none: give a smaller share to drop"
        )
    return dropped


def write_cleaned(rows: Iterable[Mapping[str, Any]], kept: npt.ArrayLike, path: str | Path) -> int:
    """Write the rows whose position is in `kept` as JSONL, beside first and then renamed; how many.

    Rows are written with all their keys, so that the cleaned set trains like the original.
    Raises SarmError when `kept` names a row that does not exist, or the file cannot be written.
    """
    wanted = {int(row) for row in np.asarray(kept).ravel()}
    with whole_file(path) as file:
        written = 0
        for position, row in enumerate(rows):
            if position in wanted:
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
                written += 1
        if written != len(wanted):
            raise SarmError(f"{len(wanted) - written} of the rows to keep do not exist: wrong input file?")
    return written
