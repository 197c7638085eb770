"""What scoring gives: activations and rewards of answers, and activations along one. Without the model that made it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt

from sarm_core.features import FeatureMatrix, Parts
from sarm_core.figures import plural, signed
from sarm_core.markup import cut
from sarm_core.notebook import BAR, bar, drawn
from sarm_core.steering import Steering
from sarm_core.text.conversation import TokenSequence

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LateSequences", "Scored", "TokenTrace"]

_TURN_END = re.compile(r"<[|\uff5c][^<>]*[|\uff5c]>|</s>|<eos>|<end_of_turn>|<turn\|>|\[EOS\]")
"""Tokens that end a turn, by their looks: what an answer itself may end in, such as "<br>", is not among them."""
_DRAWN = 50
"""Answers that a notebook shows."""


class LateSequences(Sequence[TokenSequence]):
    """Token sequences of n answers that are made when one is first asked for: `n_cut` [n] is known before."""

    def __init__(self, n_cut: Sequence[int], make: Callable[[], Sequence[TokenSequence]]) -> None:
        self.n_cut = [int(n) for n in n_cut]
        self._make = make
        self._made: tuple[TokenSequence, ...] | None = None

    def __len__(self) -> int:
        return len(self.n_cut)

    @overload
    def __getitem__(self, index: int) -> TokenSequence: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TokenSequence]: ...
    def __getitem__(self, index: int | slice) -> TokenSequence | Sequence[TokenSequence]:
        if self._made is None:
            self._made = tuple(self._make())
        return self._made[index]


@dataclass(frozen=True)
class Scored:
    """n scored answers: their sparse activations and what the tokenizer did to them.

    `said` is what commands print of files: as what the rows were read, and which of their keys were not used.
    """

    matrix: FeatureMatrix
    sequences: Sequence[TokenSequence]
    said: tuple[str, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict, compare=False)

    def __len__(self) -> int:
        return len(self.matrix)

    @property
    def rewards(self) -> npt.NDArray[np.float32]:
        """Rewards, float32 [n]. Only differences between answers to one prompt mean anything."""
        return self.matrix.rewards

    @property
    def n_cut(self) -> list[int]:
        """Tokens cut from the left of each conversation to fit the model."""
        if isinstance(self.sequences, LateSequences):
            return self.sequences.n_cut
        return [sequence.n_cut for sequence in self.sequences]

    def contributions(self, row: int) -> Parts:
        """(feature ids, w_i z_i) of one answer; the values sum to rewards[row]. In a notebook: a table with bars."""
        return Parts.of(
            self.matrix.contributions(row), lambda: replace(self.matrix.table(row), names=self.names)
        )

    def difference(self, left: int, right: int) -> Parts:
        """(feature ids, w_i (z_left - z_right)); the values sum to rewards[left] - rewards[right].

        In a notebook: a table with bars.
        """
        return Parts.of(
            self.matrix.difference(left, right),
            lambda: replace(self.matrix.difference_table(left, right), names=self.names),
        )

    def steered(self, steering: Steering) -> Scored:
        """The same answers under a steering. Raises SteeringError for features the model does not have."""
        return replace(self, matrix=steering.apply(self.matrix))

    def named(self, names: Mapping[int, str]) -> Scored:
        """The same answers with names for features, which stand beside their numbers in frames and notebooks."""
        return replace(self, names=dict(names))

    @property
    def texts(self) -> list[str]:
        """The last answer of each conversation as the model reads it, without the token that ends the turn."""
        return [_answer_text(sequence) for sequence in self.sequences]

    def frame(self) -> pd.DataFrame:
        """One row an answer, in their order: answer, reward, behind_best, features, tokens, cut.

        `behind_best` is the lead that the best answer has over it, which means something between answers to one prompt;
        `features` counts those active, `cut` the tokens that were cut from the conversation's left.
        """
        import pandas as pd

        rewards = self.rewards.astype(np.float64)
        return pd.DataFrame(
            {
                "answer": self.texts,
                "reward": rewards,
                "behind_best": rewards.max(initial=-np.inf) - rewards,
                "features": self.matrix.n_active,
                "tokens": [len(sequence) for sequence in self.sequences],
                "cut": self.n_cut,
            }
        )

    def _repr_html_(self) -> str:
        frame = self.frame().head(_DRAWN)
        furthest = float(frame["behind_best"].max()) if len(frame) else 0.0
        rows = [
            (
                number,
                cut(row.answer, 90),
                signed(row.reward),
                bar(furthest - row.behind_best, furthest),
                signed(-row.behind_best),
            )
            for number, row in zip(frame.index, frame.itertuples(index=False), strict=True)
        ]
        notes = [f"{len(self) - len(frame):,} more answers are not shown."] if len(self) > len(frame) else []
        notes += ["Rewards tell answers to one prompt apart; between prompts they mean nothing."]
        head = ("", "answer", "reward", BAR, "behind the best")
        return drawn(plural(len(self), "scored answer"), head, rows, text=(1,), note=" ".join(notes))


@dataclass(frozen=True)
class TokenTrace:
    """Activations of chosen features along one conversation.

    `pieces` [T] is the text of each token, `activations` float32 [T, len(features)] is 0 where a feature
    is silent. `answer_start` is the first token of the answer; the last token is the scored one.
    """

    features: tuple[int, ...]
    pieces: tuple[str, ...]
    activations: npt.NDArray[np.float32]
    answer_start: int
    n_cut: int


def _answer_text(sequence: TokenSequence) -> str:
    pieces = sequence.pieces()[sequence.answer_start :]
    if pieces and _TURN_END.fullmatch(pieces[-1].strip()):
        pieces = pieces[:-1]
    return "".join(pieces).strip()
