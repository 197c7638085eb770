"""Perturbation check: does a rewrite that keeps the meaning change which answer wins, and through which features?

For each rule of `sarm_core.text.rewrites` both answers of a pair are rewritten and encoded once; the three
questions (both rewritten, only the chosen, only the rejected) are arithmetic on the same matrix.
[flip rate: preference instability, 2605.16339]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix, reward_order
from sarm_core.text.rewrites import REWRITES, rewrite
from sarm_core.text.rows import Conversation

__all__ = ["Perturbation", "ScoreFunction", "perturb", "rewritten", "scores_from", "versions_of"]

ScoreFunction = Callable[[Sequence[Conversation]], FeatureMatrix]
SIDES = ("both", "chosen", "rejected")


@dataclass(frozen=True)
class Perturbation:
    """The result of `perturb`.

    `rules`: one row per rule with `rule`, `answers` rewritten, `not_applicable` answers, `cut` answers (see
    `perturb`; they count as not rewritten), `pairs` (with at least one side rewritten), `flips` and `flip_rate`
    over the questions asked, which weigh as their pairs do, `weight` in all; the same for each side (`flips_both`,
    `pairs_both`, ...), `mean_change` and `mean_abs_change` of the reward of rewritten answers, and `nan` (questions
    with a reward that is not a number; they are in no rate).
    `features`: per rule the features whose contribution moved most: `rule`, `feature`, `w`, `mean_change`,
    `mean_abs_change` of w z over the rewritten answers, `share_changed` of them in which z changed at all.
    `flips`: one row per flip: `rule`, `pair`, `side`, `margin_before`, `margin_after`.
    """

    rules: pd.DataFrame
    features: pd.DataFrame
    flips: pd.DataFrame
    seed: int


def rewritten(conversation: Conversation, rule: str, seed: int = 0) -> Conversation | None:
    """The conversation with its answer rewritten; None where the rule does not apply or there is no text."""
    if conversation.messages is None:
        return None
    last = conversation.messages[-1]
    text = rewrite(last.content, rule, seed)
    if text is None:
        return None
    return replace(conversation, messages=(*conversation.messages[:-1], replace(last, content=text)))


def versions_of(
    pairs: Sequence[tuple[Conversation, Conversation]],
    *,
    rules: Sequence[str] = tuple(REWRITES),
    seed: int = 0,
) -> tuple[list[Conversation], list[int]]:
    """Every conversation `perturb` asks scores for, each once, originals first; and the pair each comes from.

    Encoded in one go, they make the check arithmetic, also under another steering (see `scores_from`).
    Raises SarmError for an unknown rule or no pairs.
    """
    _check(pairs, rules)
    first = {answer: number for number, pair in reversed(list(enumerate(pairs))) for answer in pair}
    found = {answer: first[answer] for pair in pairs for answer in pair}
    for rule in rules:
        for answer, number in list(found.items())[: len(first)]:
            version = rewritten(answer, rule, seed)
            if version is not None:
                found.setdefault(version, number)
    return list(found), list(found.values())


def scores_from(conversations: Sequence[Conversation], matrix: FeatureMatrix) -> ScoreFunction:
    """A score function for `perturb` that looks up what was encoded: row i of `matrix` is `conversations[i]`."""
    number = {conversation: row for row, conversation in enumerate(conversations)}
    return lambda wanted: matrix.select([number[conversation] for conversation in wanted])


def perturb(
    pairs: Sequence[tuple[Conversation, Conversation]],
    score: ScoreFunction,
    *,
    rules: Sequence[str] = tuple(REWRITES),
    top: int = 20,
    seed: int = 0,
    cuts: Mapping[Conversation, int] | None = None,
    weights: npt.ArrayLike | None = None,
) -> Perturbation:
    """Rewrite the answers of (chosen, rejected) pairs by each rule and see what flips.

    `score` encodes conversations into one FeatureMatrix (a steered one if the steering is to be checked);
    it is called once with the originals and once per rule. A flip is a change of the order of the two
    rewards, a tie made or broken included. The same answer is rewritten alike wherever it occurs.
    `cuts` says how many tokens each conversation lost on the left to fit the model, 0 where it says nothing. A
    rewrite that lost more or fewer than its original shows the model another part of the prompt, so what
    changes is not the rewrite's doing alone: it is left out of every figure and counted as `cut`.
    `weights` [pairs] are the shares of pairs in the rates, as of those that one prompt's grades give; None: one each.
    Raises SarmError for an unknown rule, no pairs, or a score function that loses answers.
    """
    _check(pairs, rules)
    answers = list(dict.fromkeys(answer for pair in pairs for answer in pair))
    number = {answer: position for position, answer in enumerate(answers)}
    chosen = np.array([number[pair[0]] for pair in pairs])
    rejected = np.array([number[pair[1]] for pair in pairs])
    shares = np.ones(len(pairs)) if weights is None else np.asarray(weights, np.float64)
    if shares.shape != (len(pairs),):
        raise SarmError(f"weights has {shares.size} numbers for {len(pairs)} pairs: give one a pair")
    original = _scored(score, answers)

    rule_rows: list[dict[str, Any]] = []
    feature_tables: list[pd.DataFrame] = []
    flips: list[dict[str, Any]] = []
    for rule in rules:
        versions = [rewritten(answer, rule, seed) for answer in answers]
        n_made = sum(version is not None for version in versions)
        if cuts:
            versions = [
                version if version is not None and cuts.get(version, 0) == cuts.get(answer, 0) else None
                for answer, version in zip(answers, versions, strict=True)
            ]
        applied = np.flatnonzero([version is not None for version in versions])
        left_out = {"not_applicable": len(answers) - n_made, "cut": n_made - applied.size}
        if not applied.size:
            rule_rows.append({"rule": rule, "answers": 0, "pairs": 0, **left_out})
            continue
        changed = _scored(score, [version for version in versions if version is not None])
        before, after = original.exact_rewards, original.exact_rewards.copy()
        after[applied] = changed.exact_rewards
        row = _asked(rule, before, after, chosen, rejected, shares, applied, flips)
        difference = after[applied] - before[applied]
        row |= left_out
        row["mean_change"] = float(np.nanmean(difference)) if (~np.isnan(difference)).any() else np.nan
        row["mean_abs_change"] = (
            float(np.nanmean(np.abs(difference))) if (~np.isnan(difference)).any() else np.nan
        )
        rule_rows.append(row)
        feature_tables.append(_moved(rule, original.select(applied), changed, top))
    columns = ["rule", "pair", "side", "margin_before", "margin_after"]
    features = pd.concat(feature_tables, ignore_index=True) if feature_tables else _no_features()
    return Perturbation(pd.DataFrame(rule_rows), features, pd.DataFrame(flips, columns=columns), seed)


def _check(pairs: Sequence[tuple[Conversation, Conversation]], rules: Sequence[str]) -> None:
    unknown = [rule for rule in rules if rule not in REWRITES]
    if unknown:
        raise SarmError(f"unknown rule {unknown[0]!r}: use {', '.join(REWRITES)}")
    if not pairs:
        raise SarmError("a perturbation check needs at least one pair")


def _scored(score: ScoreFunction, conversations: list[Conversation]) -> FeatureMatrix:
    matrix = score(conversations)
    if len(matrix) != len(conversations):
        raise SarmError(f"the score function gave {len(matrix)} answers for {len(conversations)}")
    return matrix


def _asked(
    rule: str,
    before: npt.NDArray[np.float64],
    after: npt.NDArray[np.float64],
    chosen: npt.NDArray[np.int64],
    rejected: npt.NDArray[np.int64],
    shares: npt.NDArray[np.float64],
    applied: npt.NDArray[np.int64],
    flips: list[dict[str, Any]],
) -> dict[str, Any]:
    """Flip counts of one rule; each flip is appended to `flips`."""
    is_applied = np.zeros(before.size, dtype=bool)
    is_applied[applied] = True
    one, two = is_applied[chosen], is_applied[rejected]
    row: dict[str, Any] = {"rule": rule, "answers": int(applied.size), "pairs": int((one | two).sum())}
    unknown = 0
    total, flipped_share, asked_share = 0, 0.0, 0.0
    # "both" where both sides were rewritten; a one-sided question needs only its own side.
    for side, askable in zip(SIDES, (one & two, one, two), strict=True):
        left = (before if side == "rejected" else after)[chosen]
        right = (before if side == "chosen" else after)[rejected]
        known = askable & ~np.isnan(left + right + before[chosen] + before[rejected])
        unknown += int((askable & ~known).sum())
        flipped = known & (reward_order(left, right) != reward_order(before[chosen], before[rejected]))
        row[f"pairs_{side}"], row[f"flips_{side}"] = int(known.sum()), int(flipped.sum())
        own_flipped, own_asked = float(shares[flipped].sum()), float(shares[known].sum())
        row[f"flip_rate_{side}"] = own_flipped / own_asked if own_asked else np.nan
        total += int(flipped.sum())
        flipped_share, asked_share = flipped_share + own_flipped, asked_share + own_asked
        flips.extend(
            {
                "rule": rule,
                "pair": int(pair),
                "side": side,
                "margin_before": float(before[chosen[pair]] - before[rejected[pair]]),
                "margin_after": float(left[pair] - right[pair]),
            }
            for pair in np.flatnonzero(flipped)
        )
    row["flips"], row["nan"] = total, unknown
    row["flip_rate"] = flipped_share / asked_share if asked_share else np.nan
    row["weight"] = asked_share
    return row


def _moved(rule: str, before: FeatureMatrix, after: FeatureMatrix, top: int) -> pd.DataFrame:
    """Features by mean |change of w z|; offsets are the same in both and cancel."""
    z = sparse.csr_matrix(after.csr.astype(np.float64) - before.csr.astype(np.float64))
    z.eliminate_zeros()
    width, n = z.shape[1], z.shape[0]
    w = before.head.astype(np.float64)
    total = np.bincount(z.indices, weights=z.data, minlength=width)
    size = np.bincount(z.indices, weights=np.abs(z.data), minlength=width)
    count = np.bincount(z.indices, minlength=width)
    order = np.lexsort((np.arange(width), -(np.abs(w) * size)))[:top]
    order = order[count[order] > 0]
    return pd.DataFrame(
        {
            "rule": rule,
            "feature": order,
            "w": w[order],
            "mean_change": (w * total)[order] / n,
            "mean_abs_change": (np.abs(w) * size)[order] / n,
            "share_changed": count[order] / n,
        }
    )


def _no_features() -> pd.DataFrame:
    return pd.DataFrame(columns=["rule", "feature", "w", "mean_change", "mean_abs_change", "share_changed"])
