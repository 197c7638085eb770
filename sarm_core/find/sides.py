"""The two sides of a contrast, from the files people have: pairs, two sets of texts, one bias, two styles."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.find.bias_pairs import bias_pairs, style_pairs
from sarm_core.find.contrast import Contrast, contrast
from sarm_core.find.preference import Preference, preference
from sarm_core.find.suspicious import suspicious_pairs
from sarm_core.prove.benchmarks.rm_bench import RMBench
from sarm_core.score.encoded import Encoded, encode_once
from sarm_core.text.answer_sets import Answers, read_answers, read_labelled
from sarm_core.text.answers import Reader

if TYPE_CHECKING:
    from sarm_core.score.scorer import Scorer

__all__ = [
    "Encodings",
    "Sides",
    "from_bias",
    "from_pairs",
    "from_styles",
    "from_two_files",
]


@dataclass(frozen=True)
class Sides:
    """`chosen` against `rejected`; with `paired`, row p of both belong together.

    `names` says what the sides are. `rows` holds the rows of a pairs file, for a cleaned copy of it.
    `prompts` [n] names the prompt of each pair; None takes what precedes each answer.
    `alike` says that the two of a pair are to differ in one thing only, and not in what of the prompt is read.
    `weights` [n] are the shares of pairs, those of one prompt's grades weighing one together; None: one each.
    `notes` says what could not be used, or not as it was meant.
    """

    chosen: Answers
    rejected: Answers
    paired: bool
    names: tuple[str, str] = ("chosen", "rejected")
    rows: tuple[Mapping[str, Any], ...] = ()
    prompts: tuple[Hashable, ...] | None = None
    alike: bool = False
    weights: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()

    def encode(self, scorer: Scorer, complement: Answers | None = None, **how: Any) -> Encodings:
        """All answers in one pass (see `encode_once` for `how`).

        Pairs that are `alike` but lost different numbers of tokens to the length limit are left out, with a note:
        their longer version shows the model less of the prompt, which is another difference. Raises RowError,
        SarmError when no pair is left.
        """
        parts = [self.chosen, self.rejected, *([complement] if complement else [])]
        encoded = encode_once(
            scorer,
            [c for part in parts for c in part.conversations],
            places=[place for part in parts for place in part.places],
            **how,
        )
        n, m = len(self.chosen), len(self.rejected)
        rows = np.arange(len(encoded.matrix))
        left, right, sides = rows[:n], rows[n : n + m], self
        if self.alike and (apart := encoded.n_cut[left] != encoded.n_cut[right]).any():
            kept = np.flatnonzero(~apart)
            sides = self._only(kept, scorer.max_length)
            left, right = left[kept], right[kept]
        return Encodings(
            sides,
            encoded,
            encoded.matrix.select(left),
            encoded.matrix.select(right),
            encoded.matrix.select(rows[n + m :]) if complement else None,
        )

    def _only(self, kept: npt.NDArray[np.int64], max_length: int) -> Sides:
        n = len(self.chosen)
        why = f"their two versions lost different parts of the prompt to the limit of {max_length} tokens"
        if not kept.size:
            raise SarmError(f"none of the {n} pairs can be compared: {why}; give shorter texts")
        return replace(
            self,
            chosen=self.chosen.select(kept),
            rejected=self.rejected.select(kept),
            rows=tuple(self.rows[i] for i in kept) if self.rows else (),
            prompts=None if self.prompts is None else tuple(self.prompts[i] for i in kept),
            weights=None if self.weights is None else tuple(self.weights[i] for i in kept),
            notes=(*self.notes, f"{n - kept.size} of {n} pairs were left out: {why}"),
        )


@dataclass(frozen=True)
class Encodings:
    """The activations of both sides and of the complement."""

    sides: Sides
    encoded: Encoded
    chosen: FeatureMatrix
    rejected: FeatureMatrix
    complement: FeatureMatrix | None

    def contrast(self, **how: Any) -> Contrast:
        """`sarm_core.find.contrast.contrast` of the two sides; `how`: resamples, confidence, seed, few."""
        return contrast(
            self.chosen,
            self.rejected,
            paired=self.sides.paired,
            prompts=self._prompts(),
            rejected_prompts=None if self.sides.paired else self.sides.rejected.prompts,
            complement=self.complement,
            weights=self.sides.weights,
            **how,
        )

    def preference(self) -> Preference | None:
        """Which side of the pairs the reward prefers (`sarm_core.find.preference`); None for sets that are no pairs."""
        if not self.sides.paired:
            return None
        return preference(self.chosen, self.rejected, self._prompts(), self.sides.weights)

    def suspicious(self, by: str = "concept") -> pd.DataFrame:
        """`sarm_core.find.suspicious.suspicious_pairs` of the two sides, which are pairs.

        Each is judged by the pairs of other prompts; where no prompt precedes the answers, by all but its copies.
        """
        places, pairs = (
            self.sides.chosen.places,
            zip(self.sides.chosen.conversations, self.sides.rejected.conversations, strict=True),
        )
        names = [
            pair if prompt == place else prompt
            for prompt, place, pair in zip(self._prompts(), places, pairs, strict=True)
        ]
        return suspicious_pairs(self.chosen, self.rejected, by=by, prompts=names, weights=self.sides.weights)

    def _prompts(self) -> Sequence[Hashable]:
        return self.sides.chosen.prompts if self.sides.prompts is None else self.sides.prompts


def from_pairs(path: str | Path, reader: Reader | None = None) -> Sides:
    """The preferences of a file; one whose answers are labelled good or bad on their own gives two sets.

    Raises RowError naming file and row.
    """
    reader = reader or Reader()
    if sides := read_labelled(path, reader):
        for answers, label in zip(sides, ("good", "bad"), strict=True):
            if not answers.conversations:
                raise SarmError(f"{path}: no answer is labelled {label}, so there is nothing to compare")
        return Sides(*sides, False, names=("labelled good", "labelled bad"))
    pairs = list(reader.pairs(path))
    if not pairs:
        raise SarmError(f"{path}: states no preference ({'; '.join(reader.said())})")
    where = tuple(pair.place for pair in pairs)
    shared = sum(pair.weight < 1 for pair in pairs)
    note = (
        f"{shared:,} of {len(pairs):,} pairs share their prompt's grades with other pairs: those of one prompt weigh "
        "one together"
    )
    return Sides(
        Answers(tuple(pair.chosen for pair in pairs), where),
        Answers(tuple(pair.rejected for pair in pairs), where),
        True,
        rows=tuple(pair.row for pair in pairs),
        weights=tuple(pair.weight for pair in pairs) if shared else None,
        notes=(note,) if shared else (),
    )


def from_two_files(
    one: str | Path | Sequence[str | Path],
    two: str | Path | Sequence[str | Path],
    names: tuple[str, str] | None = None,
    reader: Reader | None = None,
    other_reader: Reader | None = None,
) -> Sides:
    """Two sets of answers that are not pairs: every answer of `one` against every answer of `two`.

    Each set is a file, a folder of texts, or several files (see `read_answers`). `names` says what they are, by
    default the name of the (first) file or folder. `other_reader` reads `two`, by default the same. Raises RowError,
    SarmError.
    """
    if names is None:
        first = [side if isinstance(side, str | Path) else side[0] for side in (one, two)]
        names = (Path(first[0]).resolve().name, Path(first[1]).resolve().name)
    return Sides(read_answers(one, reader), read_answers(two, other_reader or reader), False, names=names)


def from_bias(answers: Answers, bias: str) -> Sides:
    """Pairs made by rule from a person's own answers, with the property against without.

    Raises SarmError for an unknown bias, or when the rule fits none of the answers.
    """
    made = bias_pairs(answers.conversations, bias)
    prompts = answers.prompts
    places = tuple(answers.places[i] for i in made.origin)
    notes: tuple[str, ...] = ()
    if made.not_applicable:
        notes = (
            f"{len(made.not_applicable)} of {len(answers)} answers were left out: the rule does not fit them",
        )
    return Sides(
        Answers(made.with_, places),
        Answers(made.without, places),
        True,
        names=(f"with {bias}", f"without {bias}"),
        prompts=tuple(prompts[i] for i in made.origin),
        alike=True,
        notes=notes,
    )


def from_styles(
    path: str | Path, with_style: str, without_style: str, *, reader: Reader | None = None
) -> Sides:
    """The same content in two styles, from an RM-Bench file: right and wrong answers alike. [SteerRM]

    Raises RowError for a bad row, SarmError for an unknown style.
    """
    benchmark = RMBench.read(path, reader=reader)
    pairs = style_pairs(benchmark, with_style, without_style)
    # Of an answer that several rows hold, the last row is its place.
    places = {answer.number: (item.source, item.row) for item in benchmark.items for answer in item.answers}

    def side(numbers: npt.NDArray[np.int64]) -> Answers:
        return Answers(
            tuple(benchmark.conversations[int(c)] for c in numbers),
            tuple(places[int(c)] for c in numbers),
        )

    return Sides(
        side(pairs[:, 0]),
        side(pairs[:, 1]),
        True,
        names=(with_style, without_style),
        prompts=tuple(int(p) for p in pairs[:, 2]),
        alike=True,
    )
