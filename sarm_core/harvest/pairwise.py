"""Names from pairs of answers to one prompt: which traits tell the answer in which a feature is stronger.

At the scored token a feature speaks of the whole answer, and a reward means something against other answers to the same
prompt only. So a name is a forecast: of two answers to one prompt, the one that is "not curt" has more of the feature.
Prompts are halved by a hash.

1. Made from one half: the trait that tells most surely which answer has more, by the lower end of its share of right
   forecasts; then, among pairs that are alike in it, a second and a third. The interval is so wide that the best of all
   traits on a feature that has none would pass in `CHANCE` of features.
2. Tried on the other half, whose prompts took no part: each trait of each name is one test, of the pairs that the
   traits before it leave open (one-sided; standard errors by prompt, since pairs of one prompt are not independent).
   Benjamini and Hochberg (1995) keep the share of false ones among those that hold at `CHANCE`. A name is the run of
   traits from the first on that hold.
3. Equal names are told apart by a further trait that holds by itself, or said to be alike.

Cost: a matrix product of [traits, pairs] and [pairs, features] a prompt. Memory: `SIGNS` floats three times over, and a
float for each pair and trait.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import ndtri
from scipy.stats import norm

from sarm_core.text.answer_traits import Trait, TraitTable, words_of

__all__ = ["CHANCE", "AnswerSet", "PairwiseName", "names_of", "pairs_within", "with_words"]

CHANCE = 0.05
MOST_TRAITS = 3
LEAST_RIGHT = 0.6
"""Share of right forecasts, of the pairs that a trait decides, below which it is no part of a name: with many pairs
even next to nothing is told apart from chance."""
LEAST_PAIRS, LEAST_PROMPTS = 20, 8
"""Pairs in which the feature differs, and prompts with pairs that a trait decides, in each half"""
LEAST_COVERED = 0.04
"""Share of those pairs that a trait has to decide"""
LEAST_ADDED = 0.05
MOST_PAIRS = 60
"""Of one prompt; of more answers a sample of their pairs is compared, or one prompt would take all memory."""
BLOCK, SIGNS = 2048, 2**26
"""Features at a time, and signs of pairs and features at a time: 256 MB"""
_WORD_PROMPTS, _WORD_SHARE, _WORD_LETTERS = 12, 0.25, 4

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AnswerSet:
    """Answers of which some share a prompt.

    `z` CSR float32 [n, M], activations at the scored token; `traits` of the same n answers; `group` [n]: answers of one
    group answer one prompt and are compared; `prompt` [n]: what a group is counted under, and by which prompts are
    halved, as text.
    """

    z: sparse.csr_matrix
    traits: TraitTable
    group: npt.NDArray[np.int64]
    prompt: Sequence[str]


@dataclass(frozen=True)
class PairwiseName:
    """A feature's name, and what it rests on."""

    feature: int
    text: str
    evidence: dict[str, Any]
    """"traits": words with [right, decided] pairs of the checking half each; "auc": share of right forecasts over all
    pairs of that half in which the feature differs, a pair the name does not decide counting half; "low", "high": its
    interval, as wide as the selection asks (false coverage rate, Benjamini and Yekutieli 2005); "pairs", "prompts" of
    that half; "tried": how many tests there were; "alike": the feature of the same name that it is said to be like."""


def with_words(table: TraitTable, texts: Sequence[tuple[str, str]], prompt: Sequence[str]) -> TraitTable:
    """`table` and a trait for each word that answers to enough prompts have and most answers have not."""
    words = [set(words_of(answer)) for _, answer in texts]
    prompts: dict[str, set[str]] = defaultdict(set)
    for held, asked in zip(words, prompt, strict=True):
        for word in held:
            prompts[word].add(asked)
    counts = Counter(word for held in words for word in held)
    chosen = sorted(
        word
        for word, asked in prompts.items()
        if len(asked) >= _WORD_PROMPTS
        and counts[word] <= _WORD_SHARE * len(texts)
        and len(word) >= _WORD_LETTERS
    )
    if not chosen:
        return table
    values = np.array([[word in held for word in chosen] for held in words], dtype=np.float32)
    traits = (Trait(f"says “{word}”", f"does not say “{word}”") for word in chosen)
    return TraitTable((*table.traits, *traits), np.hstack([table.values, values]))


def names_of(answers: AnswerSet) -> list[PairwiseName]:
    """A name for each feature that has one, by feature; see the module."""
    left, right = pairs_within(answers.group)
    if not left.size:
        return []
    prompts = {text: number for number, text in enumerate(dict.fromkeys(answers.prompt))}
    prompt = np.array([prompts[answers.prompt[i]] for i in left.tolist()])
    checks = np.array([_checks(text) for text in prompts])[prompt]
    values = answers.traits.values
    apart = np.sign(values[left] - values[right]).astype(np.float32)
    halves = [_Half(apart[rows], left[rows], right[rows], prompt[rows]) for rows in (~checks, checks)]
    tests: list[_Tested] = []
    columns = answers.z.tocsc()
    often = np.flatnonzero(np.diff(columns.indptr) > 0)
    block = max(1, min(BLOCK, SIGNS // max(1, left.size)))
    for start in range(0, len(often), block):
        features = often[start : start + block]
        z = columns[:, features].toarray()
        signs = [half.signs(z) for half in halves]
        enough = np.all([np.abs(sign).sum(axis=0) >= LEAST_PAIRS for sign in signs], axis=0)
        tests += _tried(halves, [sign[:, enough] for sign in signs], features[enough])
    return _named(tests, answers.traits.traits)


# -- pairs -------------------------------------------------------------------------------------------------------


def _checks(prompt: str) -> bool:
    """Whether a prompt is of the half that names are tried on: by its text, so that more answers move none."""
    return hashlib.sha256(prompt.encode("utf-8", "replace")).digest()[0] >= 128


def pairs_within(group: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows of both answers of each pair of one group, each pair once; of a large group `MOST_PAIRS` of them."""
    left, right = [], []
    order = np.argsort(group, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        first, second = _of_some(len(rows))
        left.append(rows[first])
        right.append(rows[second])
    return np.concatenate(left or [np.zeros(0, int)]), np.concatenate(right or [np.zeros(0, int)])


def _of_some(n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of two among `n`, each pair once; of many pairs MOST_PAIRS different ones, always the same."""
    if n * (n - 1) // 2 <= MOST_PAIRS:
        return np.triu_indices(n, 1)
    rng = np.random.default_rng(n)
    found: dict[tuple[int, int], None] = {}
    while len(found) < MOST_PAIRS:
        a, b = sorted(rng.integers(0, n, 2).tolist())
        if a != b:
            found[(a, b)] = None
    first, second = np.array(list(found), dtype=np.int64).T
    return first, second


class _Half:
    """Pairs of one half of the prompts, prompt after prompt. `apart` float32 [pairs, T]: the sign of each trait."""

    def __init__(
        self, apart: Array, left: npt.NDArray[Any], right: npt.NDArray[Any], prompt: npt.NDArray[Any]
    ):
        order = np.argsort(prompt, kind="stable")
        self.apart, self.left, self.right = apart[order], left[order], right[order]
        self.starts = np.concatenate([[0], np.flatnonzero(np.diff(prompt[order])) + 1]).astype(int)
        self.slices = [slice(a, b) for a, b in zip(self.starts, [*self.starts[1:], len(order)], strict=True)]

    def signs(self, z: npt.NDArray[np.float32]) -> Array:
        """In which answer of each pair each feature is stronger, -1, 0, 1: [pairs, features]."""
        return np.sign(z[self.left] - z[self.right]).astype(np.float32)

    def by_prompt(self, values: Array) -> Array:
        """Sums over each prompt's pairs: [prompts, features]."""
        return np.add.reduceat(values, self.starts, axis=0) if len(values) else values

    def shares(self, signs: Array) -> tuple[Array, Array, Array, Array]:
        """For every trait and feature, over the pairs that both decide: right minus wrong forecasts as a share, its
        standard error by prompt, the pairs, and the prompts with any; each [T, features]."""
        shape = (self.apart.shape[1], signs.shape[1])
        right, decided, prompts, rr, rd, dd = (np.zeros(shape, dtype=np.float32) for _ in range(6))
        size, differs = np.abs(self.apart), np.abs(signs)
        for rows in self.slices:
            r, d = self.apart[rows].T @ signs[rows], size[rows].T @ differs[rows]
            right += r
            decided += d
            prompts += d > 0
            rr += r * r
            rd += r * d
            dd += d * d
        share: Array = (right / np.maximum(decided, 1)).astype(np.float32)
        error = np.sqrt(np.maximum(rr - 2 * share * rd + share * share * dd, 0)) / np.maximum(decided, 1)
        # Where every prompt agrees the spread is 0, and says nothing of prompts not seen: as one against among them.
        return share, np.maximum(error, 1 / np.maximum(prompts, 1)).astype(np.float32), decided, prompts


# -- the two halves ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tested:
    """A feature's traits as chosen, and how each did on the other half."""

    feature: int
    chosen: list[tuple[int, float]]
    """(trait, sign)"""
    p: list[float]
    """of each trait, given those before it"""
    counts: list[tuple[int, int]]
    """(right, decided) pairs of each"""
    overall: list[tuple[float, float]]
    """Share of right forecasts of the name up to each trait, undecided pairs counting half, and its standard error"""
    pairs: int
    prompts: int
    spare: list[tuple[int, float, int, int, float]]
    """Further traits that may tell equal names apart: (trait, sign, right, decided, p by itself)"""


def _tried(halves: Sequence[_Half], both: Sequence[Array], features: npt.NDArray[Any]) -> list[_Tested]:
    """The names of `features` made from the first half's signs [pairs, features] and tried on the second's."""
    (make, check), (made_of, signs) = halves, both
    chosen, spares = _choose(make, made_of)
    share, error, decided, prompts = check.shares(signs)
    differs = check.by_prompt(np.abs(signs))
    found = []
    for column, feature in enumerate(features.tolist()):
        if not chosen[column]:
            continue
        spare = [
            (
                trait,
                sign,
                round(float(decided[trait, column]) * (1 + sign * float(share[trait, column])) / 2),
                int(decided[trait, column]),
                _p(
                    sign * float(share[trait, column]),
                    float(error[trait, column]),
                    int(prompts[trait, column]),
                ),
            )
            for trait, sign in spares[column]
        ]
        steps = _steps(check, signs[:, column], chosen[column])
        pairs, n_prompts = int(differs[:, column].sum()), int((differs[:, column] > 0).sum())
        found.append(_Tested(feature, chosen[column], *steps, pairs, n_prompts, spare))
    return found


def _choose(half: _Half, signs: Array) -> tuple[list[list[tuple[int, float]]], list[list[tuple[int, float]]]]:
    """Up to MOST_TRAITS traits of each feature, first to last, and others that hold by themselves, surest first."""
    n, columns = signs.shape[1], np.arange(signs.shape[1])
    chosen: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    spares: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    total = np.abs(signs).sum(axis=0)
    width = float(-ndtri(CHANCE / (2 * max(1, half.apart.shape[1]))))
    score = np.zeros_like(signs)
    alive = np.ones(n, dtype=bool)
    for step in range(MOST_TRAITS):
        share, error, decided, prompts = half.shares(np.where(score == 0, signs, 0))
        least = np.abs(share) - width * error
        usable = (decided >= np.maximum(LEAST_COVERED * total, 1)) & (prompts >= LEAST_PROMPTS)
        least[~usable | (np.abs(share) < 2 * LEAST_RIGHT - 1)] = -1
        best = np.argmax(least, axis=0)
        alive &= least[best, columns] > (LEAST_ADDED if step else 0)
        sign = np.sign(share[best, columns])
        for column in np.flatnonzero(alive).tolist():
            chosen[column].append((int(best[column]), float(sign[column])))
            if step == 0:
                ranked = np.argsort(-least[:, column], kind="stable")[:12]
                spares[column] = [
                    (int(t), float(np.sign(share[t, column]))) for t in ranked if least[t, column] > 0
                ]
        if not alive.any():
            break
        score = np.where((score == 0) & alive, half.apart[:, best] * sign, score)
    return chosen, spares


def _p(share: float, error: float, prompts: int) -> float:
    """Of a forecast that is right no more often than wrong; 1 where it is too weak or too little was seen."""
    if prompts < LEAST_PROMPTS or share < 2 * LEAST_RIGHT - 1:
        return 1.0
    return float(norm.sf(share / max(error, 1e-9)))


def _steps(
    half: _Half, sign: npt.NDArray[np.float32], chosen: Sequence[tuple[int, float]]
) -> tuple[list[float], list[tuple[int, int]], list[tuple[float, float]]]:
    """How each trait of one feature does on `half`, given those before it."""
    score = np.zeros_like(sign)
    p, counts, overall = [], [], []
    all_pairs = half.by_prompt(np.abs(sign)[:, None])[:, 0]
    for trait, direction in chosen:
        forecast = np.where(score == 0, half.apart[:, trait] * direction, 0)
        right, decided = (
            half.by_prompt(v[:, None])[:, 0] for v in (forecast * sign, np.abs(forecast * sign))
        )
        share, error = _ratio(right, decided)
        p.append(_p(share, max(error, 1 / max(1, int((decided > 0).sum()))), int((decided > 0).sum())))
        counts.append((round((decided.sum() + right.sum()) / 2), int(decided.sum())))
        score = np.where(score == 0, forecast, score)
        share, error = _ratio(half.by_prompt((score * sign)[:, None])[:, 0], all_pairs)
        overall.append(((1 + share) / 2, error / 2))
    return p, counts, overall


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> tuple[float, float]:
    """sum(part) / sum(whole) over prompts, and its standard error (the ratio estimator, prompts as clusters)."""
    total, n = float(whole.sum()), len(whole)
    if total == 0 or n < 2:
        return 0.0, 1.0
    share = float(part.sum()) / total
    return share, float(np.sqrt(np.square(part - share * whole).sum() * n / (n - 1))) / total


# -- names -------------------------------------------------------------------------------------------------------


def _named(tests: Sequence[_Tested], traits: Sequence[Trait]) -> list[PairwiseName]:
    """What holds, put into words that no two features share."""
    p = np.sort([each for test in tests for each in test.p])
    passed = np.flatnonzero(p <= CHANCE * np.arange(1, len(p) + 1) / max(1, len(p)))
    limit = float(p[passed[-1]]) if passed.size else -1.0
    held = []
    for test in tests:
        n = next((i for i, each in enumerate(test.p) if each > limit), len(test.p))
        if n:
            held.append((test, n))
    # Intervals of what was selected: so wide that on average the rule's share of them misses.
    width = float(-ndtri(CHANCE * len(held) / max(1, len(p)) / 2)) if held else 0.0
    held = [(test, n) for test, n in held if test.overall[n - 1][0] - width * test.overall[n - 1][1] > 0.5]
    sure = [
        test for test, _ in sorted(held, key=lambda item: (-item[0].overall[item[1] - 1][0], item[0].feature))
    ]
    length = {test.feature: n for test, n in held}
    taken: dict[str, int] = {}
    found = []
    for test in sure:
        n = length[test.feature]
        parts = [_words(traits, *each) for each in test.chosen[:n]]
        counts = list(test.counts[:n])
        text, alike = "; ".join(parts), None
        if text in taken:
            for trait, sign, right, decided, alone in test.spare:
                word = _words(traits, trait, sign)
                if word in parts or alone > limit or f"{text}; {word}" in taken:
                    continue
                parts, counts = [*parts, word], [*counts, (right, decided)]
                text = "; ".join(parts)
                break
            else:
                alike = taken[text]
                text = f"{text} (like #{alike})"
        taken.setdefault(text, test.feature)
        auc, error = test.overall[n - 1]
        found.append(
            PairwiseName(
                test.feature,
                text,
                {
                    "description": text,
                    "traits": [[word, *count] for word, count in zip(parts, counts, strict=True)],
                    "auc": round(auc, 4),
                    "low": round(max(0.0, auc - width * error), 4),
                    "high": round(min(1.0, auc + width * error), 4),
                    "pairs": test.pairs,
                    "prompts": test.prompts,
                    "tried": len(p),
                    **({} if alike is None else {"alike": alike}),
                },
            )
        )
    return sorted(found, key=lambda name: name.feature)


def _words(traits: Sequence[Trait], trait: int, sign: float) -> str:
    return traits[trait].more if sign > 0 else traits[trait].less
