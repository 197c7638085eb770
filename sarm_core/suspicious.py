"""Pairs whose label the features contradict: candidates for wrong labels, and the set without them.

Two scores a pair, both negative where the label looks wrong:

    concept  sum_i s_i (z_i of chosen - z_i of rejected)      what the answers differ in   [SAFER]
    margin   r of chosen - r of rejected                      what the head prefers
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from sarm_core.contrast import salience
from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.files import written_whole

__all__ = ["concept_scores", "keep_trusted", "n_dropped", "suspicious_pairs", "write_cleaned"]

Floats = npt.NDArray[np.float64]


def concept_scores(chosen: FeatureMatrix, rejected: FeatureMatrix, *, leave_one_out: bool = True) -> Floats:
    """sum_i s_i (z_i chosen - z_i rejected) of each pair, float64 [n]; a feature with undefined s adds 0.

    With `leave_one_out`, s is taken over all OTHER pairs, so that a pair cannot vote for its own label.
    Raises SarmError when the sets are not pairs of one model.
    """
    if len(chosen) != len(rejected) or not len(chosen):
        raise SarmError(f"{len(chosen)} chosen and {len(rejected)} rejected answers are not pairs")
    if not np.array_equal(chosen.head, rejected.head):
        raise SarmError("chosen and rejected answers were scored by different models")
    left = sparse.csr_matrix(chosen.csr, dtype=np.float64)
    right = sparse.csr_matrix(rejected.csr, dtype=np.float64)
    difference, total = sparse.csr_matrix(left - right), sparse.csr_matrix(left + right)
    c, j = np.asarray(left.sum(axis=0)).ravel(), np.asarray(right.sum(axis=0)).ravel()
    if not leave_one_out:
        return np.asarray(difference @ np.nan_to_num(salience(c, j), nan=0.0))
    # A pair enters only s of its own features, and the mean over the dictionary through its own total.
    mean = ((c + j).sum() - np.asarray(total.sum(axis=1)).ravel()) / c.size
    scores = np.zeros(len(chosen))
    for pair in range(len(chosen)):
        ids, delta = _entries(difference, pair)
        sums = dict(zip(*_entries(total, pair), strict=True))
        own = np.array([sums.get(i, 0.0) for i in ids])
        over, under = (c - j)[ids] - delta, (c + j)[ids] - own + mean[pair]
        s = np.divide(over, under, out=np.zeros_like(over), where=under != 0)
        scores[pair] = s @ delta
    return scores


def _entries(csr: sparse.csr_matrix, row: int) -> tuple[npt.NDArray[np.int32], Floats]:
    start, stop = csr.indptr[row], csr.indptr[row + 1]
    return csr.indices[start:stop], csr.data[start:stop]


def suspicious_pairs(
    chosen: FeatureMatrix,
    rejected: FeatureMatrix,
    *,
    by: str = "concept",
    leave_one_out: bool = True,
) -> pd.DataFrame:
    """All pairs, the most suspicious first.

    Columns: `pair` (row in both matrices, from 0), `concept`, `margin`, their ranks `concept_rank` and
    `margin_rank` (1 = contradicts its label most), `contradicted_by` ("both", "concept", "margin" or "").
    `by` is "concept", "margin" or "both" (the mean of the two ranks). Ties keep the order of the pairs.
    """
    if by not in ("concept", "margin", "both"):
        raise SarmError(f"cannot order suspicious pairs by {by!r}: use concept, margin or both")
    concept = concept_scores(chosen, rejected, leave_one_out=leave_one_out)
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
    with written_whole(path) as file:
        written = 0
        for position, row in enumerate(rows):
            if position in wanted:
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
                written += 1
        if written != len(wanted):
            raise SarmError(f"{len(wanted) - written} of the rows to keep do not exist: wrong input file?")
    return written
