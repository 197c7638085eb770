"""Preferences that rows state: one row may state several, single graded answers to one prompt one together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sarm_core.errors import RowError
from sarm_core.text.row_files import OnError
from sarm_core.text.rows import Conversation, Place, keys_there, prompt_of
from sarm_core.text.shapes import RowAnswers
from sarm_core.text.shapes.base import all_pairs

__all__ = ["SHAPES_OF_TWO", "RowPair", "one_answer", "stated_pairs"]

SHAPES_OF_TWO = "prompt + chosen + rejected, or messages + chosen + rejected"


@dataclass(frozen=True)
class RowPair:
    """A preference as a file states it. `weight` is its share of its prompt: those of one prompt sum to one."""

    chosen: Conversation
    rejected: Conversation
    place: Place
    row: Mapping[str, Any]
    weight: float = 1.0
    names: tuple[str, str] = ("chosen", "rejected")


class RowReader(Protocol):
    """What `answers.Reader` is here: it reads rows, and counts what is in no pair, or in two."""

    ties: int
    contradicting: int

    def answers(self, row: Any, *, preferences: bool = False) -> RowAnswers:
        """The answers of one row. Raises RowError."""
        ...


def stated_pairs(
    reader: RowReader, rows: Iterable[tuple[str, int, Mapping[str, Any]]], on_error: OnError | None
) -> Iterator[RowPair]:
    """The preferences of (source, row number, row); `reader` counts ties, and pairs that contradict an earlier one.

    Raises RowError naming source and row, or hands it to `on_error`. Of each pair a number of 64 bits is kept.
    """
    seen: set[int] = set()
    for pair in _pairs(reader, rows, on_error):
        chosen, rejected = hash(pair.chosen), hash(pair.rejected)
        if hash((rejected, chosen)) in seen:
            reader.contradicting += 1
        seen.add(hash((chosen, rejected)))
        yield pair


def _pairs(
    reader: RowReader, rows: Iterable[tuple[str, int, Mapping[str, Any]]], on_error: OnError | None
) -> Iterator[RowPair]:
    graded: dict[Hashable, dict[Conversation, list[tuple[float, Place, Mapping[str, Any]]]]] = {}
    for source, number, row in rows:
        try:
            found = reader.answers(row, preferences=True)
            if len(found.answers) == 1:
                (answer,) = found.answers
                if answer.grade is None:
                    raise RowError(one_answer(found, row))
                held = graded.setdefault(prompt_of(answer.conversation)[0], {})
                held.setdefault(answer.conversation, []).append((answer.grade, (source, number), row))
            elif not found.pairs and not found.ties:
                raise RowError(
                    f"holds {len(found.answers)} answers but no grades or ranks: "
                    "a pair needs to know which is better"
                )
        except RowError as error:
            placed = error.at(source, number)
            if on_error is None:
                raise placed from None
            on_error(placed)
            continue
        for pair in found.pairs:
            better, worse = found.answers[pair.better], found.answers[pair.worse]
            yield RowPair(
                better.conversation,
                worse.conversation,
                (source, number),
                row,
                pair.weight,
                (better.name, worse.name),
            )
    for answers in graded.values():
        texts: list[Conversation] = list(answers)
        grades = [sum(grade for grade, *_ in answers[c]) / len(answers[c]) for c in texts]
        found_pairs, ties = all_pairs(grades)
        reader.ties += ties
        for pair in found_pairs:
            _, place, where = answers[texts[pair.better]][0]
            yield RowPair(texts[pair.better], texts[pair.worse], place, where, pair.weight)


def one_answer(found: RowAnswers, row: Any) -> str:
    """Why a row of one answer that has no grade states no preference."""
    if found.good is not None:
        return "is one answer that is labelled good or bad: contrast reads such a file as two sets, pairs it has none"
    return f"no 'chosen' and 'rejected' ({keys_there(row)}): a preference row needs {SHAPES_OF_TWO}"
