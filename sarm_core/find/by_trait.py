"""Features by what they tell of an answer: of two answers to one prompt, which has more of the feature?

A person types "rude" and wants the features that are higher in rude answers, whether or not anybody has named them
so. A trait of answers (`sarm_core.text.answer_traits`, tags of a corpus among them) sets one answer above another; the
share of such pairs in which a feature is higher in the one with more of the trait, a pair in which it is equal counting
half, is the area under its ROC curve within prompts. Features are ranked by the lower end of its interval over prompts,
so that what was seen in few prompts does not come first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sarm_core.harvest.pairwise import AnswerSet, pairs_within
from sarm_core.search.name_index import Embedder
from sarm_core.text.answer_traits import Trait

__all__ = ["Meant", "TraitHit", "TraitIndex"]

ALIKE = 0.45
"""Cosine from which the words of a search mean a trait; of several those within CLOSE of the nearest"""
CLOSE = 0.1
LEAST_SHARE = 0.55
"""Of pairs right, below which a feature does not tell a trait"""
LEAST_PROMPTS = 4
"""In which the feature differs"""
SURE = 1.645
"""Standard errors below the share: 95 %, one-sided"""
_DENIES = re.compile(
    r"\b(?:not?|never|without|less|fewer|isn['\u2019]t|does(?:n['\u2019]t| not))\b", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Meant:
    """A trait that a search means: its column, +1 for more of it and -1 for less, and the words for that."""

    trait: int
    sign: int
    words: str
    similarity: float


@dataclass(frozen=True)
class TraitHit:
    """A feature that is higher in answers with a trait: in `share` of `pairs` pairs, of `prompts` prompts."""

    feature: int
    words: str
    share: float
    low: float
    """Lower end of the share's interval, 95 % one-sided"""
    pairs: int
    prompts: int


class TraitIndex:
    """Answers to shared prompts, ready to be asked which features tell a trait."""

    def __init__(self, answers: AnswerSet, embedder: Embedder) -> None:
        self.traits = answers.traits.traits
        self._embedder = embedder
        self._phrases = list(_phrases(self.traits))
        self._vectors = embedder.embed([text for text, _ in self._phrases])
        left, right = pairs_within(answers.group)
        order = np.argsort(_numbers([answers.prompt[i] for i in left.tolist()]), kind="stable")
        left, right = left[order], right[order]
        self._prompt = _numbers([answers.prompt[i] for i in left.tolist()])
        values = answers.traits.values
        self._apart = np.sign(values[left] - values[right]).astype(np.int8)
        z = answers.z.tocsr()
        self._signs = (z[left] - z[right]).sign().tocsr()

    def meant(self, query: str) -> list[Meant]:
        """The traits that the words of a search mean, nearest first; [] where they mean none.

        The opposite of a trait only where the search denies something.
        """
        near = self._vectors @ self._embedder.embed([query])[0]
        said, denies = _stems(query), bool(_DENIES.search(query))
        found: dict[tuple[int, int], Meant] = {}
        for (text, meant), similarity in zip(self._phrases, near.tolist(), strict=True):
            if bool(_DENIES.search(text)) != denies:
                continue
            if said and said == _stems(text):
                similarity = 1.0
            key = meant.trait, meant.sign
            if similarity >= ALIKE and (key not in found or similarity > found[key].similarity):
                found[key] = replace(meant, similarity=similarity)
        ranked = sorted(found.values(), key=lambda meant: -meant.similarity)
        return [meant for meant in ranked if meant.similarity >= ranked[0].similarity - CLOSE]

    def features(self, meant: Sequence[Meant], limit: int = 200) -> list[TraitHit]:
        """Features that tell one of these traits, surest first, each once."""
        best: dict[int, TraitHit] = {}
        for each in meant:
            for hit in self._told(each):
                if hit.feature not in best or hit.low > best[hit.feature].low:
                    best[hit.feature] = hit
        return sorted(best.values(), key=lambda hit: (-hit.low, hit.feature))[:limit]

    def _told(self, meant: Meant) -> list[TraitHit]:
        apart = self._apart[:, meant.trait].astype(np.float32) * meant.sign
        rows = np.flatnonzero(apart)
        if not rows.size:
            return []
        prompt, places = np.unique(self._prompt[rows], return_inverse=True)
        sums = sparse.csr_matrix((apart[rows], (places, rows)), shape=(len(prompt), len(apart)))
        margin = sums @ self._signs  # [prompts, M]: right minus wrong; sparse, for M may be 65,536
        n = np.bincount(places).astype(np.float64)
        share = _sum(margin) / n.sum()
        # Sum over prompts of (margin - share n)^2: the ratio estimator with prompts as clusters.
        spread = _sum(margin.multiply(margin)) - 2 * share * (margin.T @ n) + share**2 * (n @ n)
        spread = np.maximum(spread, 0) * len(prompt) / max(1, len(prompt) - 1)
        # Where all prompts agree the spread is 0, and says nothing of prompts not seen: as one against among them.
        error = np.maximum(np.sqrt(spread) / n.sum(), 1 / len(prompt))
        low = (1 + share - SURE * error) / 2
        chosen = (low > 0.5) & (share > 2 * LEAST_SHARE - 1) & (margin.getnnz(axis=0) >= LEAST_PROMPTS)
        return [
            TraitHit(int(i), meant.words, (1 + float(share[i])) / 2, float(low[i]), len(rows), len(prompt))
            for i in np.flatnonzero(chosen)
        ]


def _sum(matrix: sparse.csr_matrix) -> npt.NDArray[np.float64]:
    return np.asarray(matrix.sum(axis=0), dtype=np.float64).ravel()


def _phrases(traits: Sequence[Trait]) -> Iterator[tuple[str, Meant]]:
    """Every way to say more or less of a trait, and what it means."""
    for column, trait in enumerate(traits):
        more = Meant(column, 1, trait.more, 0.0)
        yield trait.more, more
        for text in filter(None, map(str.strip, trait.also.split(","))):
            yield text, more
        yield trait.less, Meant(column, -1, trait.less, 0.0)


def _numbers(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """The same number for the same text, in order of appearance."""
    places = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return np.array([places[text] for text in texts], dtype=np.int64)


def _stems(text: str) -> frozenset[str]:
    """Words without the endings of English, so that "refusal" and "refuses" are one."""
    return frozenset(_ENDING.sub("", word.lower()) for word in _WORD.findall(text))


_ENDING = re.compile(r"(?<=\w{3})(?:ations?|als?|ings?|ied|ies|ers?|es|ed|s|e|y)$")
