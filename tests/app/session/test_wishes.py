"""Wanted orders: what is wished for, in words, and what stays while another prompt is on the page."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from app.session.comparison import from_texts
from app.session.wishes import Wanted, WishState, phrases
from sarm_core.wish.wishes import Wish

ONE = from_texts("Which?", list("abcdef"))
OTHER = from_texts("And which?", list("abc"))
C, A, F = 2, 0, 5


def test_an_answer_that_was_moved_is_wished_before_those_it_passed_and_nothing_else() -> None:
    wanted = Wanted(ONE, (0, 1, 2, 3, 4, 5), (0, 1, 5, 2, 3, 4))
    assert set(wanted.wishes) == {Wish(5, 2), Wish(5, 3), Wish(5, 4)}
    assert wanted.in_words() == "F before C, D and E"


def test_the_rest_is_kept_when_that_is_asked_for() -> None:
    wanted = Wanted(ONE, (0, 1, 2, 3, 4, 5), (0, 5, 1, 2, 3, 4), whole=True)
    assert set(wanted.wishes) == {Wish(0, 5), Wish(5, 1), Wish(1, 2), Wish(2, 3), Wish(3, 4)}
    assert wanted.in_words() == "A, F, B, C, D, E in this order"


@pytest.mark.parametrize("seed", range(8))
def test_the_phrases_say_every_wish_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 12))
    comparison = from_texts("p", [str(i) for i in range(n)])
    wanted = Wanted(comparison, tuple(rng.permutation(n).tolist()), tuple(rng.permutation(n).tolist()))
    said = [
        wish
        for phrase in phrases(wanted.asked, wanted.order)
        for wish in (
            *(Wish(phrase.answer, other) for other in phrase.before),
            *(Wish(other, phrase.answer) for other in phrase.behind),
        )
    ]
    turned = {
        Wish(a, b) for a, b in combinations(wanted.order, 2) if wanted.base.index(a) > wanted.base.index(b)
    }
    assert len(said) == len(set(said)) and set(said) == turned


def test_a_long_list_of_answers_is_cut_in_words() -> None:
    comparison = from_texts("p", [str(i) for i in range(50)])
    wanted = Wanted(comparison, tuple(range(50)), (49, *range(49)))
    assert wanted.in_words() == "AX before A, B, C, D and 45 more"


def test_a_wish_that_was_given_up_comes_back_only_when_it_is_made_again() -> None:
    state = WishState()
    state.want(ONE, range(6), (5, 0, 1, 2, 3, 4))
    state.drop(ONE.key, Wish(5, 0))
    state.want(ONE, range(6), (5, 0, 1, 2, 4, 3))
    assert Wish(5, 0) not in state.of(ONE).wishes and Wish(5, 1) in state.of(ONE).wishes
    state.want(ONE, range(6), (0, 5, 1, 2, 4, 3))
    state.want(ONE, range(6), (5, 0, 1, 2, 4, 3))
    assert Wish(5, 0) in state.of(ONE).wishes


def test_of_a_whole_order_only_the_given_up_pair_is_free() -> None:
    state = WishState()
    state.want(OTHER, range(3), (2, 0, 1))
    state.set_whole(OTHER.key, True)
    state.drop(OTHER.key, Wish(0, 1))
    assert set(state.of(OTHER).wishes) == {Wish(2, 0), Wish(2, 1)}
    assert state.of(OTHER).in_words() == "C, A, B in this order, but for A before B"


def test_without_its_last_wish_an_order_is_taken_back_and_the_browser_hears_of_it() -> None:
    state = WishState()
    before = state.mark(ONE)
    state.want(ONE, range(6), (1, 0, 2, 3, 4, 5))
    assert state.mark(ONE) == before, "what the browser did is no news to it"
    state.drop(ONE.key, Wish(1, 0))
    assert state.of(ONE) is None
    assert state.mark(ONE) != before


def test_kept_orders_count_whatever_is_on_the_page() -> None:
    state = WishState()
    state.want(ONE, range(6), (1, 0, 2, 3, 4, 5))
    state.want(OTHER, range(3), (2, 0, 1))
    assert [wanted.comparison for wanted in state.standing(OTHER)] == [OTHER]
    state.keep(ONE.key)
    assert [wanted.comparison for wanted in state.standing(OTHER)] == [ONE, OTHER]
    state.take_back(ONE.key)
    assert [wanted.comparison for wanted in state.standing(OTHER)] == [OTHER]


def test_orders_that_were_not_kept_do_not_pile_up() -> None:
    state = WishState()
    state.want(ONE, range(6), (1, 0, 2, 3, 4, 5))
    state.keep(ONE.key)
    for i in range(150):
        state.want(from_texts(f"p {i}", list("ab")), (0, 1), (1, 0))
    assert len(state.orders) <= 101 and state.of(ONE) is not None


def test_a_link_brings_the_order_back_and_nonsense_brings_none() -> None:
    for whole in (False, True):
        wanted = Wanted(ONE, (0, 1, 2, 3, 4, 5), (0, 5, 1, 2, 3, 4), whole=whole)
        assert Wanted.from_link(ONE, wanted.to_link()) == wanted
        assert Wanted.from_link(OTHER, wanted.to_link()) is None, "of other answers"
    many = from_texts("p", [str(i) for i in range(50)])
    turned = Wanted(many, tuple(range(50)), tuple(reversed(range(50))), whole=True)
    assert Wanted.from_link(many, turned.to_link()) == turned
    for text in (
        "",
        "-",
        "0.1.2",
        "0.1.2-",
        "0.1.2-0.1",
        "0.1.2-0.1.1",
        "0.1.2-0.1.-2",
        "0.1.2-2.1.0-x",
        "².1-1.0",
    ):
        assert Wanted.from_link(OTHER, text) is None
    for text in ("0..2-0.1.2", "0.1.2.-2.1.0", "." * 9 + "-.", "9" * 5_000 + "-0"):
        assert Wanted.from_link(OTHER, text) is None
    state = WishState()
    state.open(OTHER, "0.1.2-0.1.2")
    assert state.of(OTHER) is None, "it turns no pair"
    state.open(OTHER, "0.1.2-2.0.1")
    assert state.of(OTHER) == Wanted(OTHER, (0, 1, 2), (2, 0, 1))
