"""What a model is shown: whole answers in which a feature is strong, each beside an answer to its prompt where it is
not.

Prompts are split by a seed: names are written from one part and checked on the other, so that no text serves both.
Where a feature fires in every answer, the one in which it is weakest stands in for a silent one, which is said.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sarm_core.harvest.store_protocol import ExampleStore

__all__ = ["AnswerPool", "Contrast", "FeatureEvidence", "Shown", "Sizes"]

LEAST_CONTRASTS = 3
"""Prompts with a strong and a weak answer below which a feature is not named, in either part"""


@dataclass(frozen=True)
class Sizes:
    """How much is shown: prompts to write from, answers to detect in, pairs to tell apart, letters of each text."""

    texts: int = 5
    detect: int = 10
    pairs: int = 10
    longest: int = 1500
    seed: int = 0


@dataclass(frozen=True)
class Shown:
    """An answer, and how strong the feature is in it."""

    text: int
    """Its id in the store"""
    prompt: str
    answer: str
    z: float


@dataclass(frozen=True)
class Contrast:
    """Two answers to one prompt."""

    strong: Shown
    weak: Shown


@dataclass(frozen=True)
class FeatureEvidence:
    """What one feature is named from, and checked on; `silent` says whether all weak answers are silent."""

    feature: int
    label: tuple[Contrast, ...]
    detect: tuple[tuple[Shown, bool], ...]
    """Shuffled; True where the feature is strong"""
    pairs: tuple[tuple[Contrast, bool], ...]
    """True where the strong answer is shown as A"""
    silent: bool


class AnswerPool:
    """The answers that a store keeps encoded and that share a prompt with another one.

    Memory: the texts and activations of these, as `sarm suggest` holds them.
    """

    def __init__(self, store: ExampleStore, sizes: Sizes):
        self.sizes = sizes
        ids, indptr, indices, values = store.encodings()
        kept: list[int] = []
        self._texts: list[tuple[str, str]] = []
        numbers: dict[tuple[str, str | None], int] = {}
        groups: list[int] = []
        for row, text_id in enumerate(ids.tolist()):
            text = store.text(text_id)
            turns = [str(turn.get("content") or "") for turn in text.messages]
            if len(turns) < 2 or not turns[-1].strip():
                continue
            key = (json.dumps([dict(turn) for turn in text.messages[:-1]], sort_keys=True), text.source)
            groups.append(numbers.setdefault(key, len(numbers)))
            kept.append(row)
            self._texts.append(("\n\n".join(turns[:-1]), turns[-1]))
        self._group = np.array(groups, dtype=np.int64)
        self._ids = np.asarray(ids)[kept]
        z = sparse.csr_matrix((values, indices, indptr), shape=(len(ids), store.model.n_features))
        self._z = z[kept].tocsc()
        self._checks = np.array([self._is_check(prompt) for prompt, _ in numbers], dtype=bool)
        self.mass = np.asarray(abs(z).sum(axis=0)).ravel()
        """Sum of |z| over all encoded answers, [M]"""

    def _is_check(self, prompt: str) -> bool:
        digest = hashlib.sha256(f"{self.sizes.seed}\n{prompt}".encode("utf-8", "replace")).digest()
        return digest[0] >= 128

    def of(self, feature: int) -> FeatureEvidence | None:
        """What a feature is named from; None where too few prompts have a strong and a weak answer."""
        z = self._z[:, [feature]].toarray()[:, 0].astype(np.float64)
        contrasts = sorted(self._contrasts(z), key=lambda pair: (-(z[pair[0]] - z[pair[1]]), pair))
        parts: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        for pair in contrasts:
            parts[int(self._checks[self._group[pair[0]]])].append(pair)
        label, check = parts
        if min(len(label), len(check)) < LEAST_CONTRASTS:
            return None
        rng = np.random.default_rng([self.sizes.seed, feature])
        chosen = label[: self.sizes.texts]
        return FeatureEvidence(
            feature,
            tuple(self._contrast(z, pair) for pair in chosen),
            self._detect(z, check, rng),
            self._check_pairs(z, check, rng),
            bool(np.all(z[[weak for _, weak in chosen]] == 0)),
        )

    def _contrasts(self, z: npt.NDArray[np.float64]) -> Iterator[tuple[int, int]]:
        """Of each prompt with any difference the answers with most and with least of the feature."""
        order = np.lexsort((np.arange(len(z)), -z, self._group))
        groups = self._group[order]
        for rows in np.split(order, np.flatnonzero(np.diff(groups)) + 1):
            if len(rows) > 1 and z[rows[0]] > 0 and z[rows[0]] > z[rows[-1]]:
                yield int(rows[0]), int(rows[-1])

    def _detect(
        self, z: npt.NDArray[np.float64], check: Sequence[tuple[int, int]], rng: np.random.Generator
    ) -> tuple[tuple[Shown, bool], ...]:
        """As many strong answers as weak ones, of different prompts: which prompt it is tells nothing."""
        half = min(self.sizes.detect, len(check)) // 2
        order = rng.permutation(min(len(check), 2 * self.sizes.detect))[: 2 * half]
        rows = [(check[i][0], True) for i in order[:half]] + [(check[i][1], False) for i in order[half:]]
        return tuple((self._shown(z, rows[i][0]), rows[i][1]) for i in rng.permutation(len(rows)))

    def _check_pairs(
        self, z: npt.NDArray[np.float64], check: Sequence[tuple[int, int]], rng: np.random.Generator
    ) -> tuple[tuple[Contrast, bool], ...]:
        order = rng.permutation(min(len(check), 2 * self.sizes.pairs))[: self.sizes.pairs]
        first = rng.permutation(len(order)) % 2 == 0  # A as often as B
        return tuple(
            (self._contrast(z, check[i]), bool(a))
            for i, a in zip(order.tolist(), first.tolist(), strict=True)
        )

    def _contrast(self, z: npt.NDArray[np.float64], pair: tuple[int, int]) -> Contrast:
        return Contrast(self._shown(z, pair[0]), self._shown(z, pair[1]))

    def _shown(self, z: npt.NDArray[np.float64], row: int) -> Shown:
        prompt, answer = self._texts[row]
        return Shown(int(self._ids[row]), self._cut(prompt), self._cut(answer), float(z[row]))

    def _cut(self, text: str) -> str:
        longest = self.sizes.longest
        return text if len(text) <= longest else text[:longest].rstrip() + " … [cut]"


def label_rows(evidence: FeatureEvidence) -> list[dict[str, Any]]:
    """What the labelling prompt holds."""
    return [
        {"prompt": pair.strong.prompt, "strong": pair.strong.answer, "weak": pair.weak.answer}
        for pair in evidence.label
    ]


def detect_rows(evidence: FeatureEvidence) -> list[dict[str, Any]]:
    """What the detection prompt holds."""
    return [
        {"number": number, "prompt": shown.prompt, "answer": shown.answer}
        for number, (shown, _) in enumerate(evidence.detect, 1)
    ]


def pair_row(contrast: Contrast, first: bool) -> dict[str, Any]:
    """What the prompt of one pair holds."""
    a, b = (contrast.strong, contrast.weak) if first else (contrast.weak, contrast.strong)
    return {"prompt": contrast.strong.prompt, "A": a.answer, "B": b.answer}
