"""What a log of completions is: files that grow or get company, and the answers in them by step."""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from sarm_core.errors import RowError
from sarm_core.text.answers import Reader
from sarm_core.text.rows import Conversation, Place, short

__all__ = ["HalfWritten", "LogFile", "LogFormat", "Logged", "figures_of", "step_of"]


class HalfWritten(RowError):
    """A file that somebody may still be writing."""


class Logged(NamedTuple):
    """One completion: its `step`, where it stands, what the trainer says of it (`figures`, by column).

    `conversation` is None where the policy said nothing: there is no answer to score.
    """

    step: int
    conversation: Conversation | None
    place: Place
    figures: Mapping[str, float] = {}


@dataclass(frozen=True)
class LogFile:
    """What was read of a file. `read_to` and `lines` are how far, in bytes and lines, of one that grows."""

    answers: tuple[Logged, ...]
    notes: tuple[str, ...] = ()
    read_to: int = 0
    lines: int = 0
    begins: bytes = field(default=b"", repr=False)


class LogFormat(ABC):
    """One way in which trainers log completions."""

    name: ClassVar[str]
    title: ClassVar[str]
    """As what a person knows it"""
    needs: ClassVar[str]
    """What has to be there, for an error"""

    replaced_by_evaluation: ClassVar[bool] = False
    """Whether an evaluation takes the place of the training's answers of its step"""

    @abstractmethod
    def files(self, folder: Path) -> Sequence[Path]:
        """The files of this format in `folder`, which may be the run's or the one that holds them alone."""

    @abstractmethod
    def knows(self, path: Path) -> bool:
        """Whether a file that somebody names is of this format."""

    @abstractmethod
    def read(self, path: Path, reader: Reader, before: LogFile | None = None) -> LogFile:
        """The file's answers; `before` is what was read of it last time.

        Raises HalfWritten for a file that may become readable, RowError naming file and row for all else.
        """


def step_of(value: Any) -> int:
    """The step that a row states. Raises RowError."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 12:
        return int(value)  # as TRL's own tables had it before they were files
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        number = float(value)
        if number.is_integer() and 0 <= number < 1e12:
            return int(number)
    raise RowError(f"'step' is {short(value)}: it must be a whole number, 0 or more")


def figures_of(row: Mapping[str, Any], but: frozenset[str]) -> dict[str, float]:
    """The columns of a row that hold a number, without those in `but`."""
    return {
        key: float(value)
        for key, value in row.items()
        if key not in but
        and isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }
