"""Which features tell two sets of answers apart: salience, frequency, effect size, stability, collateral.

Everything is arithmetic on stored activations z; no language model runs. With c_i and j_i the sums of z_i
over the chosen and the rejected answers and M the width of the dictionary,

    s_i = (c_i - j_i) / (c_i + j_i + mean over all M features of (c + j))     [SARM / SAFER, salience]

The mean runs over ALL features, silent ones included. s says what the answers differ in, w what the head
rewards; the two can disagree in sign, so both are always in the table.

Pairs may have weights v, as those that one prompt's grades give, which weigh one together: a pair of weight v counts as
v copies of it would. With the weights all one, s is that of the paper.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from sarm_core.bootstrap import FEWEST_PROMPTS, KeptDraws, block_of
from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix

__all__ = ["Contrast", "contrast", "salience"]

Floats = npt.NDArray[np.float64]


def salience(chosen_sums: npt.ArrayLike, rejected_sums: npt.ArrayLike) -> Floats:
    """s_i of every feature, float64 [M], from c and j, both [M] over the WHOLE dictionary.

    A zero denominator (possible only where activations are negative, or nothing is active) gives NaN.
    """
    c, j = np.asarray(chosen_sums, np.float64), np.asarray(rejected_sums, np.float64)
    return _ratio(c - j, c + j + (c + j).mean())


@dataclass(frozen=True)
class Contrast:
    """The result of `contrast`.

    `table` has one row per feature that is active in any chosen, rejected or complement answer, sorted by
    |s|; its columns are listed in `contrast`. `scores` is s for the whole dictionary, float64 [M]; `sums`
    is (c, j), each [M], which leave-one-out scores need.
    """

    table: pd.DataFrame
    scores: Floats
    sums: tuple[Floats, Floats]
    paired: bool
    n_chosen: int
    n_rejected: int
    n_complement: int
    n_prompts: int
    confidence: float
    resamples: int
    seed: int

    def top(self, n: int = 20, by: str = "s") -> pd.DataFrame:
        """The n rows with the largest |`by`|; NaN comes last, ties keep the order of feature ids."""
        if by not in self.table.columns or not pd.api.types.is_numeric_dtype(self.table[by]):
            numeric = ", ".join(self.table.select_dtypes("number").columns)
            raise SarmError(f"cannot sort by {by!r}: the columns are {numeric}")
        return _by_size(self.table, by).head(n)


def contrast(
    chosen: FeatureMatrix,
    rejected: FeatureMatrix,
    *,
    paired: bool = True,
    prompts: Sequence[Hashable] | None = None,
    rejected_prompts: Sequence[Hashable] | None = None,
    complement: FeatureMatrix | None = None,
    weights: npt.ArrayLike | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    few: int = 20,
    fewest_prompts: int = FEWEST_PROMPTS,
) -> Contrast:
    """Compare two sets of answers feature by feature.

    `paired`: row p of `chosen` and row p of `rejected` answer one prompt. `prompts` names the prompt of each
    chosen row (of each pair when paired), `rejected_prompts` that of each rejected row: the bootstrap draws
    prompts, so answers to one prompt stay together, and prompts named on both sides are drawn together.
    Without them every pair (or row) is its own prompt. Offsets of a steered matrix are not activations
    and take no part. An entry counts as firing when z is stored and not 0. `weights` [pairs] are the
    shares of pairs in sums, means, rates and the bootstrap (counts of answers stay counts); None: one each.

    Columns of the table: `feature`; `w`; `s` with `s_low`, `s_high`; `chosen_sum` c, `rejected_sum` j;
    `mean_difference` of z per answer; `margin_share` = w x mean_difference, which sums over features to the
    difference of mean rewards; `chosen_freq`, `rejected_freq`, `freq_difference` with `_low`, `_high`
    [SparseRM]; `cohens_d` with the pooled standard deviation (ddof 1); `stability`, the share of the pairs
    differing in this feature whose difference has the sign of the summed one (NaN unless paired), and
    `n_differing`; `n_firing` answers of both sets; `complement_sum` t, `complement_freq`; and the flags
    `opposes_head` (s and w have opposite signs), `few` (it fires in fewer than `few` answers), `fragile`
    (the denominator of s is not positive, which signed activations allow, so s has no bound).

    Intervals are percentile bootstrap at `confidence` over `resamples` draws of a seeded generator; 0 skips
    them, and below `fewest_prompts` prompts, where a bootstrap is always sure, they are NaN. Memory is at
    most a few blocks of 64 MB beside 2 bytes x prompts x resamples.
    Raises SarmError for empty sets, different models, unequal pairs, activations that are not finite, weights that are
    not a positive number a pair.
    """
    _check(chosen, rejected, complement, paired)
    shares = _shares(weights, len(chosen), paired)
    width = chosen.n_features
    c, j = _column_sums(chosen.csr, shares), _column_sums(rejected.csr, shares)
    scores = salience(c, j)

    active = np.zeros(width, dtype=bool)
    for part in (chosen, rejected, complement):
        if part is not None:
            active[part.csr.indices[part.csr.data != 0]] = True
    ids = np.flatnonzero(active)
    left, right = _columns(chosen.csr, ids), _columns(rejected.csr, ids)
    left_fires, right_fires = _fires(left), _fires(right)
    n_firing = _column_sums(left_fires) + _column_sums(right_fires)
    left_count, right_count = _column_sums(left_fires, shares), _column_sums(right_fires, shares)
    n_left, n_right = len(chosen), len(rejected)
    all_left, all_right = (n_left, n_right) if shares is None else (shares.sum(), shares.sum())
    w = chosen.head[ids].astype(np.float64)
    mean_difference = c[ids] / all_left - j[ids] / all_right
    denominator = c[ids] + j[ids] + (c + j).mean()
    stability, n_differing = _stability(left, right, shares) if paired else (np.full(ids.size, np.nan), None)

    columns: dict[str, npt.NDArray] = {
        "feature": ids,
        "w": w,
        "s": scores[ids],
        "s_low": np.full(ids.size, np.nan),
        "s_high": np.full(ids.size, np.nan),
        "chosen_sum": c[ids],
        "rejected_sum": j[ids],
        "mean_difference": mean_difference,
        "margin_share": w * mean_difference,
        "chosen_freq": left_count / all_left,
        "rejected_freq": right_count / all_right,
        "freq_difference": left_count / all_left - right_count / all_right,
        "freq_difference_low": np.full(ids.size, np.nan),
        "freq_difference_high": np.full(ids.size, np.nan),
        "cohens_d": _cohens_d(left, right, shares),
        "stability": stability,
        "n_differing": np.zeros(ids.size, np.int64) if n_differing is None else n_differing,
        "n_firing": n_firing.astype(np.int64),
    }
    n_complement = 0
    if complement is not None:
        n_complement = len(complement)
        there = _columns(complement.csr, ids)
        columns["complement_sum"] = _column_sums(there)
        columns["complement_freq"] = _column_sums(_fires(there)) / max(n_complement, 1)

    left_groups, right_groups, n_prompts = _prompt_groups(n_left, n_right, paired, prompts, rejected_prompts)
    if resamples > 0 and n_prompts >= fewest_prompts:
        draws = _Draws(left_groups, right_groups, shares, resamples, seed)
        quantiles = ((1 - confidence) / 2, (1 + confidence) / 2)
        columns["s_low"], columns["s_high"] = draws.salience(left, right, c + j, chosen, rejected, quantiles)
        columns["freq_difference_low"], columns["freq_difference_high"] = draws.rates(
            left_fires, right_fires, quantiles
        )
    columns["opposes_head"] = columns["s"] * w < 0
    columns["few"] = columns["n_firing"] < few
    columns["fragile"] = denominator <= 0
    return Contrast(
        table=_by_size(pd.DataFrame(columns), "s"),
        scores=scores,
        sums=(c, j),
        paired=paired,
        n_chosen=n_left,
        n_rejected=n_right,
        n_complement=n_complement,
        n_prompts=n_prompts,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )


def _check(
    chosen: FeatureMatrix, rejected: FeatureMatrix, complement: FeatureMatrix | None, paired: bool
) -> None:
    if not len(chosen) or not len(rejected):
        raise SarmError("a contrast needs at least one answer on each side")
    if paired and len(chosen) != len(rejected):
        raise SarmError(
            f"{len(chosen)} chosen and {len(rejected)} rejected answers are not pairs: "
            "give as many of each, or compare them unpaired"
        )
    for name, part in (("chosen", chosen), ("rejected", rejected), ("complement", complement)):
        if part is None:
            continue
        if part.head.shape != chosen.head.shape or not np.array_equal(part.head, chosen.head):
            raise SarmError(f"the {name} answers were scored by another model: encode both sets with one")
        wrong = np.flatnonzero(~np.isfinite(part.csr.data))
        if wrong.size:
            row = int(np.searchsorted(part.csr.indptr, wrong[0], side="right"))
            raise SarmError(f"an activation of {name} answer {row} is not finite: leave that answer out")


# -- sums over answers -------------------------------------------------------------------------------------


def _columns(csr: sparse.csr_matrix, ids: npt.NDArray[np.int64]) -> sparse.csr_matrix:
    """The columns `ids` in float64: sums over many answers must not lose small activations."""
    return sparse.csr_matrix(csr[:, ids], dtype=np.float64)


def _fires(csr: sparse.csr_matrix) -> sparse.csr_matrix:
    fires = csr.copy()
    fires.data = (fires.data != 0).astype(np.float64)
    return fires


def _shares(weights: npt.ArrayLike | None, n: int, paired: bool) -> Floats | None:
    """The weights as float64 [n]; None where all pairs count alike."""
    if weights is None:
        return None
    shares = np.asarray(weights, np.float64)
    if not paired or shares.shape != (n,) or not (np.isfinite(shares) & (shares > 0)).all():
        raise SarmError(f"weights must be a positive number for each of {n} pairs")
    return None if (shares == 1).all() else shares


def _of_entries(csr: sparse.csr_matrix, shares: Floats) -> Floats:
    """The share of each stored entry's row."""
    return np.repeat(shares, np.diff(csr.indptr))


def _column_sums(csr: sparse.csr_matrix, shares: Floats | None = None) -> Floats:
    return _sum_by_column(csr, csr.data if shares is None else csr.data * _of_entries(csr, shares))


def _sum_by_column(csr: sparse.csr_matrix, values: npt.NDArray) -> Floats:
    return np.bincount(csr.indices, weights=values, minlength=csr.shape[1]).astype(np.float64)


def _row_totals(csr: sparse.csr_matrix) -> sparse.csr_matrix:
    """Sum of z of each answer, [n, 1]; converted first because scipy sums float32 in float32."""
    return sparse.csr_matrix(csr.astype(np.float64).sum(axis=1))


def _ratio(over: Floats, under: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(under != 0, over / under, np.nan)


def _cohens_d(left: sparse.csr_matrix, right: sparse.csr_matrix, shares: Floats | None) -> Floats:
    """(mean chosen - mean rejected) / pooled standard deviation; NaN below 3 answers or without spread."""
    n, m = (left.shape[0], right.shape[0]) if shares is None else (shares.sum(), shares.sum())
    if n + m <= 2:
        return np.full(left.shape[1], np.nan)
    mean_left, mean_right = _column_sums(left, shares) / n, _column_sums(right, shares) / m
    squares = _squares_about(left, mean_left, shares) + _squares_about(right, mean_right, shares)
    return _ratio(mean_left - mean_right, np.sqrt(squares / (n + m - 2)))


def _squares_about(csr: sparse.csr_matrix, mean: Floats, shares: Floats | None) -> Floats:
    """Sum over answers of (z - mean)^2, the silent ones too, without cancellation or a dense matrix."""
    stored = (csr.data - mean[csr.indices]) ** 2
    if shares is None:
        silent = csr.shape[0] - np.bincount(csr.indices, minlength=csr.shape[1])
    else:
        each = _of_entries(csr, shares)
        stored = stored * each
        # Never below zero, which rounding could make of a feature that fires everywhere.
        silent = np.maximum(shares.sum() - _sum_by_column(csr, each), 0.0)
    return _sum_by_column(csr, stored) + silent * mean**2


def _stability(
    left: sparse.csr_matrix, right: sparse.csr_matrix, shares: Floats | None
) -> tuple[Floats, npt.NDArray[np.int64]]:
    difference = sparse.csr_matrix(left - right)
    each = np.ones(difference.nnz) if shares is None else _of_entries(difference, shares)
    signs = np.sign(difference.data)
    direction = np.sign(_column_sums(difference, shares))[difference.indices]
    apart, agreeing = signs != 0, (signs == direction) & (signs != 0)
    return (
        _ratio(_sum_by_column(difference, agreeing * each), _sum_by_column(difference, apart * each)),
        _sum_by_column(difference, apart).astype(np.int64),
    )


def _by_size(table: pd.DataFrame, by: str) -> pd.DataFrame:
    size = table[by].astype(np.float64).abs()
    order = np.lexsort((table["feature"].to_numpy(), (-size).fillna(np.inf).to_numpy()))
    return table.iloc[order].reset_index(drop=True)


# -- bootstrap over prompts --------------------------------------------------------------------------------


def _prompt_groups(
    n_left: int,
    n_right: int,
    paired: bool,
    prompts: Sequence[Hashable] | None,
    rejected_prompts: Sequence[Hashable] | None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    for name, given, n in (("prompts", prompts, n_left), ("rejected_prompts", rejected_prompts, n_right)):
        if given is not None and len(given) != n:
            raise SarmError(f"{name} names {len(given)} prompts for {n} answers: give one a row")
    number: dict[Hashable, int] = {}
    left_names = list(prompts) if prompts is not None else [("row", p) for p in range(n_left)]
    left = np.array([number.setdefault(name, len(number)) for name in left_names], dtype=np.int64)
    if paired:
        return left, left, len(number)
    right_names = (
        list(rejected_prompts) if rejected_prompts is not None else [("other row", p) for p in range(n_right)]
    )
    right = np.array([number.setdefault(name, len(number)) for name in right_names], dtype=np.int64)
    return left, right, len(number)


class _Draws:
    """The prompts of both sides, drawn anew; `left` [n] and `right` [m] number the prompt of each answer, `shares` [n]
    are the weights of pairs.

    Prompts that answer on both sides, only chosen and only rejected are drawn within their own kind, so
    that no resample loses a whole side.
    """

    def __init__(
        self,
        left: npt.NDArray[np.int64],
        right: npt.NDArray[np.int64],
        shares: Floats | None,
        resamples: int,
        seed: int,
    ) -> None:
        self.left, self.right, self.shares = left, right, shares
        self.n = int(max(left.max(), right.max())) + 1
        kinds = np.isin(np.arange(self.n), left) + 2 * np.isin(np.arange(self.n), right)
        self.kept = KeptDraws(kinds, resamples, seed)

    def salience(
        self,
        left: sparse.csr_matrix,
        right: sparse.csr_matrix,
        totals: Floats,
        chosen: FeatureMatrix,
        rejected: FeatureMatrix,
        quantiles: tuple[float, float],
    ) -> tuple[Floats, Floats]:
        # The mean over the dictionary needs only the sum of each answer's activations.
        left_total = self._weighted(_row_totals(chosen.csr), self.left)
        right_total = self._weighted(_row_totals(rejected.csr), self.right)
        mean = (left_total + right_total) / totals.size

        def s(c: Floats, j: Floats) -> Floats:
            return _ratio(c - j, c + j + mean)

        return self._quantiles(left, right, s, quantiles)

    def rates(
        self, left: sparse.csr_matrix, right: sparse.csr_matrix, quantiles: tuple[float, float]
    ) -> tuple[Floats, Floats]:
        n = self._weighted(sparse.csr_matrix(np.ones((left.shape[0], 1))), self.left)
        m = self._weighted(sparse.csr_matrix(np.ones((right.shape[0], 1))), self.right)
        return self._quantiles(left, right, lambda c, j: c / n - j / m, quantiles)

    def _quantiles(self, left, right, statistic, quantiles) -> tuple[Floats, Floats]:
        """Percentiles over the resamples, a block of features at a time."""
        width = left.shape[1]
        low, high = np.empty(width), np.empty(width)
        left_by_prompt, right_by_prompt = self._by_prompt(left, self.left), self._by_prompt(right, self.right)
        step = block_of(8 * 4 * self.kept.resamples)
        for start in range(0, width, step):
            block = slice(start, min(start + step, width))
            values = statistic(
                self.kept.totals(left_by_prompt[:, block]), self.kept.totals(right_by_prompt[:, block])
            )
            low[block], high[block] = np.quantile(values, quantiles, axis=1)
        return low, high

    def _weighted(self, column: sparse.csr_matrix, groups: npt.NDArray[np.int64]) -> Floats:
        return self.kept.totals(self._by_prompt(column, groups))[0]

    def _by_prompt(self, csr: sparse.csr_matrix, groups: npt.NDArray[np.int64]) -> sparse.csc_matrix:
        """Rows summed within each prompt, [prompts, columns]."""
        member = sparse.csr_matrix(
            (np.ones(groups.size) if self.shares is None else self.shares, (groups, np.arange(groups.size))),
            shape=(self.n, groups.size),
        )
        return sparse.csc_matrix(member @ csr)
