"""One prompt with a list of answers: graded, ranked, ordered or as they are (this project's corpus, Nectar, raters)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sarm_core.errors import RowError
from sarm_core.text.rows import is_list, kind_of, short
from sarm_core.text.shapes.base import Fields, RowAnswer, RowAnswers, Shape, check_count, keys, number
from sarm_core.text.shapes.graded_response import GRADES, grade_of
from sarm_core.text.shapes.prompt_response import PROMPTS

__all__ = ["AnswerList"]

_LISTS = ("answers", "responses", "candidates")
_TEXTS = ("text", "answer", "response", "content")
_GRADES = (*GRADES, "scores")
_RANKS = ("rank", "ranks", "ranking")
_ORDER = "order"
"""Numbers of answers from 0, the best first, as `sarm propose` takes them; answers it leaves out are in no pair."""
_NAMES = ("model", "name", "note")


class AnswerList(Shape):
    name = "answers"
    title = "a list of answers, graded, ranked or ordered where that stands beside them"
    source = "this project's corpus, Nectar, raters' grades"
    by_kinds = True
    needs = keys(*(f"{prompt} {answers}" for prompt in (*PROMPTS, "messages") for answers in _LISTS))
    known = frozenset(["num_responses", "turns", "good_natured"])
    example = {
        "prompt": "Is it safe to reheat rice?",
        "answers": [
            {"text": "Yes, if you cool it quickly first.", "quality": 4},
            {"text": "Yes.", "quality": 2},
            {"text": "No.", "quality": 0},
        ],
    }

    def matches(self, row: Fields) -> frozenset[str] | None:
        key = row.first(*_LISTS)
        return None if key is None or isinstance(row.peek(key), Mapping) else super().matches(row)

    def read(self, row: Fields) -> RowAnswers:
        key, asked = row.first(*_LISTS), row.first(*PROMPTS, "messages")
        assert key is not None and asked is not None
        prompt = row.prompt(asked)
        items = row.listed(key)
        answers = [_answer(row, prompt, item, f"{key}[{i}]") for i, item in enumerate(items)]
        beside = row.first(*_GRADES, *_RANKS)
        ordered = _is_order(row.peek(_ORDER))
        said = [f"{_ORDER!r}"] * ordered + [f"{beside!r}"] * (beside is not None)
        if said and any(answer.grade is not None for answer in answers):
            said.append("grades or ranks inside the answers")
        if len(said) > 1:
            raise RowError(
                f"{' and '.join(said)} both say which answer is better: leave one out, for example with "
                f"--ignore {_ORDER if ordered else beside}"
            )
        if ordered:
            ranks = _ranks(row.listed(_ORDER), len(answers))
            answers = [RowAnswer(a.conversation, a.name, ranks.get(i)) for i, a in enumerate(answers)]
        elif beside is not None:
            values = row.listed(beside)
            check_count(len(values), beside, len(answers))
            sign = -1 if beside in _RANKS else 1
            answers = [
                RowAnswer(a.conversation, a.name, sign * grade_of(value, f"{beside}[{i}]"))
                for i, (a, value) in enumerate(zip(answers, values, strict=True))
            ]
        return RowAnswers.graded(answers)


def _is_order(value: Any) -> bool:
    """Whether it may be one: a list, or the text of one. A column of that name may hold something else."""
    return is_list(value) or (isinstance(value, str) and value.lstrip().startswith("["))


def _ranks(order: list[Any], n: int) -> dict[int, float]:
    """How good each answer is by its place in an order, by number. Raises RowError."""
    wrong = next((one for one in order if type(one) is not int or not 0 <= one < n), None)
    if wrong is not None:
        raise RowError(
            f"'order' holds {short(wrong)}: give numbers of answers from 0 to {n - 1}, the best first"
        )
    if len(set(order)) < len(order):
        raise RowError(f"'order' names answer {next(one for one in order if order.count(one) > 1)} twice")
    return {number: -float(place) for place, number in enumerate(order)}


def _answer(row: Fields, prompt: Any, item: Any, place: str) -> RowAnswer:
    if isinstance(item, str):
        return RowAnswer(row.answered(prompt, item, place))
    if not isinstance(item, Mapping):
        raise RowError(f'{place} is {kind_of(item)}: an answer is {{"text": "..."}}')
    held = {key: value for key, value in item.items() if value is not None}
    text = next((key for key in _TEXTS if key in held), None)
    if text is None:
        raise RowError(f'{place} has no text: an answer is {{"text": "..."}}')
    grade = next((key for key in GRADES if key in held), None)
    rank = None if grade else next((key for key in _RANKS if key in held), None)
    value = None
    if grade:
        value = grade_of(held[grade], f"{place}.{grade}")
    elif rank:
        value = -number(held[rank], f"{place}.{rank}")
    for key in held:
        if key not in (text, grade, rank, *_NAMES):
            row.passed_over(f"{place.split('[')[0]}.{key}")
    name = next((str(held[key])[:60] for key in _NAMES if key in held), _varied(held))
    return RowAnswer(row.answered(prompt, held[text], place), name, value)


def _varied(held: Mapping[str, Any]) -> str:
    varied = held.get("varied")
    return ", ".join(str(value) for value in varied.values())[:60] if isinstance(varied, Mapping) else ""
