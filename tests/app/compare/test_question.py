"""Wishes over several prompts as one question about one matrix."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from app.compare.question import Limits, Question
from app.session.comparison import from_texts
from app.session.wishes import Wanted
from sarm_core.features import FeatureMatrix
from sarm_core.steering import Steering
from sarm_core.wish.wishes import Wish

HEAD = np.random.default_rng(3).normal(size=24).astype(np.float32)


def answers(seed: int, n: int) -> FeatureMatrix:
    rng = np.random.default_rng(seed)
    dense = rng.gamma(2.0, 1.0, (n, 24)) * (rng.random((n, 24)) < 0.5)
    return FeatureMatrix(sparse.csr_matrix(dense.astype(np.float32)), HEAD)


def ranked(matrix: FeatureMatrix) -> list[int]:
    return [int(i) for i in np.argsort(-matrix.rewards, kind="stable")]


def last_first(matrix: FeatureMatrix, prompt: str, *, whole: bool = False) -> Wanted:
    """The lowest answer dragged to the top."""
    order = ranked(matrix)
    comparison = from_texts(prompt, [f"{prompt} {i}" for i in range(len(matrix))])
    return Wanted(comparison, tuple(order), (order[-1], *order[:-1]), whole=whole)


@pytest.mark.parametrize("whole", [False, True])
def test_one_steering_keeps_the_wishes_of_all_prompts(whole: bool) -> None:
    matrices = tuple(answers(seed, n) for seed, n in ((0, 4), (1, 3), (2, 5)))
    orders = tuple(last_first(matrix, f"p{i}", whole=whole) for i, matrix in enumerate(matrices))
    question = Question(orders, matrices, Steering())
    proposal = question.answered()
    assert proposal.steering is not None
    for part, wanted in enumerate(orders):
        now = question.order_under(proposal.steering, part)
        assert now == list(wanted.order) if whole else now[0] == wanted.order[0]
    assert sum(proposal.costs.values()) == pytest.approx(proposal.cost)
    assert proposal.costs.keys() == proposal.moved.keys()


def test_a_wish_in_conflict_is_named_by_its_prompt_and_its_answers() -> None:
    first, matrix = answers(0, 4), answers(1, 3)
    twin = FeatureMatrix(sparse.csr_matrix(np.vstack([matrix.csr.toarray(), matrix.csr.toarray()[:1]])), HEAD)
    comparison = from_texts("twins", list("abcd"))
    alike = Wanted(comparison, (0, 3, 1, 2), (3, 0, 1, 2))
    question = Question((last_first(first, "p"), alike), (first, twin), Steering())
    proposal = question.answered()
    assert proposal.steering is None
    assert [question.place_of(wish) for wish in proposal.conflict] == [(comparison, Wish(3, 0))]


def test_a_question_is_the_same_until_wishes_or_limits_change() -> None:
    matrix = answers(0, 4)
    wanted = last_first(matrix, "p")
    question = Question((wanted,), (matrix,), Steering())
    assert question.same_wishes([wanted], Limits())
    assert not question.same_wishes([wanted], Limits(max_features=2))
    assert not question.same_wishes([last_first(matrix, "p", whole=True)], Limits())
