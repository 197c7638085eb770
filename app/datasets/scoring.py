"""The labels of a data set against the model, part by part: stopped at any time, it goes on where it was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from app.draw.progress import NotKept, only_kept
from app.session.engine import Engine
from feature_db.datasets.items import Items, ItemScore
from sarm_core.errors import SarmError
from sarm_core.prove.agreement import item_agreement
from sarm_core.score.encoded import encode_once
from sarm_core.steering import Steering
from sarm_core.text.answers import Reader
from sarm_core.text.items import ItemAnswers, answers_of

__all__ = ["margins_under", "score", "score_kept"]

PART = 512
"""Items scored and kept together"""


def score(engine: Engine, address: str, progress: Callable[[int, int], object] | None = None) -> None:
    """Score every item that is not scored yet; `progress(items done, of)` may raise to stop.

    Raises StoreError, RowError, SarmError.
    """
    by = engine.scorer.encoding_key
    with engine.store() as store:
        items = Items(store, address)
        total, done = items.n_to_score(by), 0
        while numbers := items.to_score(by, PART):
            read = _answers(items, numbers)
            start = done

            def within(tokens: int, of: int, start: int = start, n: int = len(numbers)) -> None:
                if progress is not None:
                    progress(start + int(n * tokens / max(of, 1)), total)

            conversations = [c for item in read for c in item.conversations]
            rewards = encode_once(engine.scorer, conversations, progress=within).matrix.rewards
            items.keep_scores(by, _of_all(items, numbers, read, rewards))
            done += len(numbers)
            if progress is not None:
                progress(done, total)


def score_kept(engine: Engine, address: str) -> bool:
    """`score`, as far as the model need not run: whether everything is scored now."""

    by = engine.scorer.encoding_key
    with engine.store() as store:
        items = Items(store, address)
        while numbers := items.to_score(by, PART):
            read = _answers(items, numbers)
            conversations = [c for item in read for c in item.conversations]
            try:
                rewards = encode_once(engine.scorer, conversations, progress=only_kept).matrix.rewards
            except NotKept:
                return False
            items.keep_scores(by, _of_all(items, numbers, read, rewards))
    return True


def margins_under(engine: Engine, items: Items, numbers: list[int], steering: Steering) -> list[float | None]:
    """The margins of some items under a steering, from what is encoded; None where an item has no label.

    Raises NotKept when the model would have to run.
    """

    read = _answers(items, numbers)
    conversations = [c for item in read for c in item.conversations]
    if not conversations:
        return []
    rewards = steering.rewards(encode_once(engine.scorer, conversations, progress=only_kept).matrix)
    scores = {score.number: score.margin for score in _scores(numbers, read, rewards)}
    return [scores.get(number) for number in numbers]


def _answers(items: Items, numbers: list[int]) -> list[ItemAnswers]:
    reader = Reader.of(items.of.reading)
    return [answers_of([row.body for row in items.rows_of(number)], reader) for number in numbers]


def _scores(numbers: list[int], read: list[ItemAnswers], rewards: np.ndarray) -> list[ItemScore]:
    found, at = [], 0
    for number, item in zip(numbers, read, strict=True):
        own = rewards[at : at + len(item.answers)]
        at += len(item.answers)
        if item.pairs:
            of = item_agreement(own, item.pairs)
            found.append(ItemScore(number, of.won, of.tied, of.margin if np.isfinite(of.margin) else None))
    return found


def _of_all(
    items: Items, numbers: list[int], read: list[ItemAnswers], rewards: np.ndarray
) -> list[ItemScore]:
    """`_scores` of items that all have labels. Raises SarmError where rows are no longer read as they were."""
    found = _scores(numbers, read, rewards)
    if len(found) < len(numbers):
        first = next(number for number, item in zip(numbers, read, strict=True) if not item.pairs)
        raise SarmError(
            f"{items.of.name}, prompt {first + 1}: had a label when the data set was kept, and this version of the "
            "program reads none there; bring the file again"
        )
    return found
