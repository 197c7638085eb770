"""Preferences that rows state: one row may state several, single graded answers to one prompt one together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sarm_core.errors import RowError
from sarm_core.text.row_files import OnError
from sarm_core.text.rows import Conversation, Place, keys_there, prompt_of
from sarm_core.text.shapes import RowAnswers
from sarm_core.text.shapes.base import Preferred, all_pairs

__all__ = ["SHAPES_OF_TWO", "RowPair", "one_answer", "stated_pairs"]

SHAPES_OF_TWO = "prompt + chosen + rejected, or messages + chosen + rejected"


@dataclass(frozen=True)
class RowPair:
    """A preference as a file states it. `weight` is its share of its prompt: those of one prompt sum to one.

    `tie`: the two are called equally good, and which is called chosen means nothing. `alone`: its row states nothing
    else, so what stands beside the answers is about this pair. `strength`: how much better the row says it is.
    `weight_without_ties`: its share where ties are in no pair, 0 for a tie.
    """

    chosen: Conversation
    rejected: Conversation
    place: Place
    row: Mapping[str, Any]
    weight: float = 1.0
    names: tuple[str, str] = ("chosen", "rejected")
    tie: bool = False
    alone: bool = True
    strength: float | None = None
    weight_without_ties: float = 1.0


class RowReader(Protocol):
    """What `answers.Reader` is here: it reads rows, and counts what is in no pair, or in two."""

    ties: int
    contradicting: int

    def answers(self, row: Any, *, preferences: bool = False) -> RowAnswers:
        """The answers of one row. Raises RowError."""
        ...


def stated_pairs(
    reader: RowReader,
    rows: Iterable[tuple[str, int, Mapping[str, Any]]],
    on_error: OnError | None,
    ties: bool = False,
) -> Iterator[RowPair]:
    """The preferences of (source, row number, row); `reader` counts ties, and pairs that contradict an earlier one.

    With `ties` these are pairs too, and share the weight of their prompt.

    Raises RowError naming source and row, or hands it to `on_error`. Of each pair a number of 64 bits is kept.
    """
    seen: set[int] = set()
    for pair in _pairs(reader, rows, on_error, ties):
        if pair.tie:
            yield pair
            continue
        chosen, rejected = hash(pair.chosen), hash(pair.rejected)
        if hash((rejected, chosen)) in seen:
            reader.contradicting += 1
        seen.add(hash((chosen, rejected)))
        yield pair


def _pairs(
    reader: RowReader,
    rows: Iterable[tuple[str, int, Mapping[str, Any]]],
    on_error: OnError | None,
    ties: bool,
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
            elif not found.pairs and not found.tied:
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
        stated = list(_weighed(found.pairs, found.tied if ties else ()))
        for pair, weight, tie in stated:
            better, worse = found.answers[pair.better], found.answers[pair.worse]
            names = (better.name, worse.name)
            both = (better.conversation, worse.conversation)
            alone = len(stated) == 1
            place = (source, number)
            yield RowPair(*both, place, row, weight, names, tie, alone, pair.strength, pair.weight)
    for answers in graded.values():
        texts: list[Conversation] = list(answers)
        grades = [sum(grade for grade, *_ in answers[c]) / len(answers[c]) for c in texts]
        found_pairs, tied = all_pairs(grades)
        reader.ties += len(tied)
        for pair, weight, tie in _weighed(found_pairs, tied if ties else ()):
            chosen, rejected = texts[pair.better], texts[pair.worse]
            _, place, where = answers[chosen][0]
            yield RowPair(
                chosen,
                rejected,
                place,
                where,
                weight,
                tie=tie,
                alone=False,
                weight_without_ties=pair.weight,
            )


def _weighed(
    pairs: Sequence[Preferred], tied: Sequence[tuple[int, int]]
) -> Iterator[tuple[Preferred, float, bool]]:
    """Every pair, its weight and whether it is a tie; with ties among them, all of them weigh one together."""
    n = len(pairs) + len(tied)
    for pair in pairs:
        yield pair, pair.weight * len(pairs) / n if tied else pair.weight, False
    for i, j in tied:
        yield Preferred(i, j, 0.0), 1 / n, True


def one_answer(found: RowAnswers, row: Any) -> str:
    """Why a row of one answer that has no grade states no preference."""
    if found.good is not None:
        return "is one answer that is labelled good or bad: contrast reads such a file as two sets, pairs it has none"
    return f"no 'chosen' and 'rejected' ({keys_there(row)}): a preference row needs {SHAPES_OF_TWO}"
