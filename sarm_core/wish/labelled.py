"""Preferences as files state them, with who stated them, before a model runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sarm_core.errors import RowError, SarmError
from sarm_core.text.answers import Reader
from sarm_core.text.rows import Conversation, Place, keys_there, kind_of, short
from sarm_core.train.data import prompt_key

__all__ = ["MOST_GROUPS", "LabelledPairs"]

MOST_GROUPS = 20
"""People or groups that are looked at side by side"""


@dataclass(frozen=True)
class LabelledPairs:
    """`answers` [n], each once, with the file and row where it first stands; `pairs` int [p, 2] (chosen, rejected).

    `weights` [p] are shares: what one row, or the grades of one prompt, states weighs one together. `tied` [p] are
    those called equally good. `prompts` [p] is the first user turn. `groups` [p] says whose preference it is, where
    a column was named.
    """

    answers: tuple[Conversation, ...]
    places: tuple[Place, ...]
    pairs: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    tied: npt.NDArray[np.bool_]
    prompts: tuple[str, ...]
    groups: tuple[str, ...] | None = None

    @classmethod
    def read(
        cls, paths: Iterable[str | Path], reader: Reader | None = None, by: str | None = None
    ) -> LabelledPairs:
        """The preferences of files, ties among them; `by` is the column that says whose they are.

        Raises RowError naming file and row, SarmError for files without a preference, or with too many groups.
        """
        reader = reader or Reader()
        if by is not None:
            reader.takes(by)
        number: dict[Conversation, int] = {}
        places: list[Place] = []
        pairs, weights, tied, prompts, groups = [], [], [], [], []
        files = list(paths)
        for path in files:
            for pair in reader.pairs(path, ties=True):
                for text in (pair.chosen, pair.rejected):
                    if text not in number:
                        number[text] = len(number)
                        places.append(pair.place)
                pairs.append((number[pair.chosen], number[pair.rejected]))
                weights.append(pair.weight)
                tied.append(pair.tie)
                prompts.append(prompt_key(pair.chosen))
                if by is not None:
                    groups.append(_group(reader, pair.row, by, pair.place))
        if not pairs:
            raise SarmError(f"{files[0]}: states no preference: {'; '.join(reader.said())}")
        if len(names := set(groups)) > MOST_GROUPS:
            raise SarmError(
                f"{files[0]}: {by!r} holds {len(names):,} different values: at most {MOST_GROUPS} people or groups are "
                "compared, so name a column of fewer"
            )
        return cls(
            tuple(number),
            tuple(places),
            np.array(pairs, dtype=np.int64).reshape(-1, 2),
            np.array(weights, dtype=np.float64),
            np.array(tied, dtype=bool),
            tuple(prompts),
            tuple(groups) if by is not None else None,
        )

    @classmethod
    def of_prompts(
        cls, prompts: Iterable[tuple[str, Sequence[tuple[Conversation, Conversation]]]]
    ) -> LabelledPairs:
        """From (name, pairs (chosen, rejected)) a prompt; those of one prompt weigh one together."""
        number: dict[Conversation, int] = {}
        places: list[Place] = []
        pairs, weights, names = [], [], []
        for row, (name, stated) in enumerate(prompts, 1):
            for both in stated:
                for text in both:
                    if text not in number:
                        number[text] = len(number)
                        places.append((name, row))
                pairs.append([number[text] for text in both])
                weights.append(1 / len(stated))
                names.append(prompt_key(both[0]))
        return cls(
            tuple(number),
            tuple(places),
            np.array(pairs, dtype=np.int64).reshape(-1, 2),
            np.array(weights, dtype=np.float64),
            np.zeros(len(pairs), dtype=bool),
            tuple(names),
        )


def _group(reader: Reader, row: Mapping[str, Any], by: str, place: Place) -> str:
    """Whose preference a row states. Raises RowError."""
    value = reader.value_of(row, by)
    if value is None:
        raise RowError(f"no {by!r}, the column that should say whose it is ({keys_there(row)})").at(*place)
    if not isinstance(value, str | int | float) or (isinstance(value, str) and not value.strip()):
        raise RowError(f"{by!r} is {kind_of(value)}{_shown(value)}, not the name of a person or a group").at(
            *place
        )
    return str(value)


def _shown(value: Any) -> str:
    return f" {short(value)}" if isinstance(value, str) else ""
