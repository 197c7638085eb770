"""The wanted order on the compare page: proposals, conflicts, several prompts. Dragging is in tests/browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.compare.wishes_view import ANSWERED
from app.session.comparison import corpus
from app.session.engine import default_choice, load_engine
from app.session.steering_state import SteeringState
from app.session.stored_pairs import stored_pairs
from app.session.wishes import WishState
from feature_db.label.labels import Labels
from feature_db.runs import Runs
from sarm_core.score.scorer import Scored
from tests.app.compare.test_compare_page import HOSTILE, paste
from tests.app.demo_pages import Open, address, checked, demo_env, open_page

__all__ = ["demo_env", "open_page"]

pytestmark = pytest.mark.slow


def steering(test: AppTest) -> SteeringState:
    return test.session_state["steering_state"]


def state(test: AppTest) -> WishState:
    return test.session_state["wish_state"]


def scored(test: AppTest) -> Scored:
    now = test.session_state["comparison"]
    return load_engine(default_choice()).score(f"comparison:{now.key}", now.conversations())


def ranked(test: AppTest) -> list[int]:
    """The answers on the page under the steering in force, best first."""
    now = scored(test).steered(steering(test).current)
    return [int(i) for i in np.argsort(-now.rewards, kind="stable")]


def drag(test: AppTest, start: int, end: int) -> AppTest:
    """What the component's callback does when the row at place `start` is let go of at place `end`."""
    base = ranked(test)
    order = list(base)
    order.insert(end, order.pop(start))
    state(test).want(test.session_state["comparison"], base, order)
    return checked(test.run())


def press(test: AppTest, key: str) -> AppTest:
    return checked(test.button(key).click().run())


def said(test: AppTest) -> str:
    parts = [*test.markdown, *test.caption, *test.warning, *test.error, *test.success]
    return "\n".join(part.value for part in parts).replace("\\", "")


def keys(test: AppTest) -> set[str]:
    return {button.key for button in test.button if button.key}


def test_nothing_is_said_of_wishes_without_one(open_page: Open) -> None:
    test = open_page("compare.py")
    assert "propose" not in keys(test)
    assert "propose" not in keys(drag(test, 2, 2)), "an order that turns no pair is no wish"


def test_the_last_answer_is_put_first_on_the_sliders_and_one_undo_takes_it_back(open_page: Open) -> None:
    test = open_page("compare.py")
    before = ranked(test)
    test = drag(test, len(before) - 1, 0)
    test = press(test, "propose")
    assert re.search(r"Moving \d+ sliders?, (every|the) wish holds", said(test))
    assert re.search(
        r"turns [\d,]+ of [\d,]+ pairs of stored answers \(\d+\.\d%; 95% interval over prompts ",
        said(test),
    )
    assert not steering(test).current, "nothing is steered by a proposal alone"
    test = press(test, "put_0")
    assert ranked(test)[0] == before[-1]
    assert set(steering(test).current.scale) <= set(steering(test).panel)
    test = press(test, "unput_0")
    assert not steering(test).current and ranked(test) == before


def test_a_proposal_of_another_model_is_not_shown(open_page: Open) -> None:
    test = press(drag(open_page("compare.py"), 4, 0), "propose")
    assert "put_0" in keys(test)
    found = test.session_state[ANSWERED]
    test.session_state[ANSWERED] = replace(found, model="another")
    assert "put_0" not in keys(checked(test.run()))


def test_what_is_said_to_turn_elsewhere_is_what_turns(open_page: Open) -> None:
    test = press(drag(open_page("compare.py"), 4, 0), "propose")
    told, pairs = (
        int(n.replace(",", ""))
        for n in re.search(r"turns ([\d,]+) of ([\d,]+) pairs", said(test)).groups()  # type: ignore[union-attr]
    )
    test = press(test, "put_0")
    stored = stored_pairs(load_engine(default_choice()))
    assert stored is not None
    now = test.session_state["comparison"]
    others = [i for i, turns in enumerate(stored.prompts) if turns[-1][1] != now.question]
    assert len(others) == len(stored.prompts) - 1, "the prompt on the page is not elsewhere"
    one = stored.matrix.rewards
    two = steering(test).current.rewards(stored.matrix)
    left, right = (rows[np.isin(stored.prompt, others)] for rows in (stored.left, stored.right))
    was, is_now = np.sign(one[left] - one[right]), np.sign(two[left] - two[right])
    assert pairs == int((was != 0).sum())
    assert told == int((was != is_now)[was != 0].sum())


def test_the_rest_stays_as_it_stands_when_asked_for(open_page: Open) -> None:
    test = open_page("compare.py")
    wanted = ranked(test)
    wanted.insert(1, wanted.pop(3))
    test = drag(test, 3, 1)
    key = f"wish_whole_{test.session_state['comparison'].key}"
    test = checked(test.toggle(key).set_value(True).run())
    assert " in this order" in said(test)
    test = press(press(test, "propose"), "put_0")
    assert ranked(test) == wanted


def test_a_limit_that_is_too_low_says_how_many_are_enough(open_page: Open) -> None:
    test = drag(open_page("compare.py"), 4, 0)
    test.number_input("wish_most").set_value(1).run()
    test = press(test, "propose")
    error = re.search(r"at most 1 features.* (\d+) are enough", said(test))
    if error is None:
        assert "Moving 1 slider," in said(test)
        return
    test = checked(test.number_input("wish_most").set_value(int(error[1])).run())
    assert "Moving" not in said(test), "what was proposed under another limit is gone"
    test = press(test, "propose")
    assert f"Moving {error[1]} slider" in said(test)


def test_wishes_of_two_prompts_are_kept_by_one_steering(open_page: Open) -> None:
    test = open_page("compare.py")
    first = test.session_state["comparison"]
    *over, top = ranked(test)[:4]
    test = press(drag(test, 3, 0), "wish_keep")
    other = list(corpus())[40]
    test = checked(test.selectbox("example").set_value(other).run())
    assert "Kept wishes, over 1 prompt" in said(test)
    second, (one, two, best) = test.session_state["comparison"], ranked(test)[:3]
    test = press(press(drag(test, 2, 0), "propose"), "put_0")
    places = ranked(test)
    assert places.index(best) < min(places.index(one), places.index(two))
    test = press(test, "wish_open_0")
    assert test.session_state["comparison"] == first
    places = ranked(test)
    assert places.index(top) < min(map(places.index, over))
    assert [w.comparison for w in state(test).orders.values()] == [first, second]
    test = press(test, "wish_remove_0")
    assert "propose" not in keys(test), "the other order was not kept, and is about answers not on the page"


def test_wishes_that_clash_are_named_and_one_is_dropped(open_page: Open) -> None:
    test = paste(open_page("compare.py"), "q", "one answer\n---\nanother answer\n---\nthe third")
    now = test.session_state["comparison"]
    # Of two prompts that are one text the wishes are opposite: no steering keeps both.
    test = press(drag(test, 2, 0), "wish_keep")
    order = list(state(test).of(now).order)
    twin = type(now)(now.prompt, now.answers, "the same again")
    state(test).want(twin, order, [*order[1:], order[0]])
    state(test).keep(twin.key)
    test = press(test, "propose")
    assert "keeps these 2 wishes together" in said(test)
    assert "put_0" not in keys(test)
    test = press(test, "wish_drop_0")
    while "wish_drop_0" in keys(test):
        test = press(test, "wish_drop_0")
    assert "put_0" in keys(test) or "nothing has to move" in said(test)


def test_a_turned_pair_opens_and_the_wish_comes_along(open_page: Open) -> None:
    test = press(drag(open_page("compare.py"), 4, 0), "propose")
    first = test.session_state["comparison"]
    opener = next(key for key in sorted(keys(test)) if key.startswith("turned_"))
    test = press(test, opener)
    now = test.session_state["comparison"]
    assert len(now.answers) == 2 and now.question != first.question
    assert (test.session_state["left"], test.session_state["right"]) == (0, 1)
    assert state(test).of(first).kept  # type: ignore[union-attr]
    rewards = scored(test).rewards
    assert rewards[0] > rewards[1], "the one that was ahead stands on the left"


def test_known_good_names_are_an_alternative_of_their_own(open_page: Open) -> None:
    test = press(drag(open_page("compare.py"), 3, 0), "propose")
    assert "Suggested names do not count" in said(test)
    engine = load_engine(default_choice())
    active = np.unique(scored(test).matrix.csr.indices).tolist()
    with engine.store() as store:
        for feature in active:
            Labels(store, "ann").label(feature, f"{HOSTILE} {feature}", verdict=4)
    test = press(test, "propose")
    assert "Suggested names do not count" not in said(test)
    assert "moves only features with such names" in said(test)
    bodies = [str(getattr(part.proto, "body", "")) for part in test.get("html")]
    tables = [body for body in bodies if "sarm-proposal" in body]
    assert tables and all("<img" not in body and "&lt;img src=x onerror" in body for body in tables)


def test_a_change_of_known_good_names_alone_stands_beside_the_cheapest(open_page: Open) -> None:
    test = press(drag(open_page("compare.py"), 4, 0), "propose")
    moved = test.session_state[ANSWERED].proposal.moved
    active = set(np.unique(scored(test).matrix.csr.indices).tolist())
    with load_engine(default_choice()).store() as store:
        for feature in active:
            Labels(store, "ann").label(feature, "a name", verdict=4)
        Labels(store, "bo").label(next(iter(moved)), "no name", verdict=1)
    test = press(test, "propose")
    assert "put_2" in keys(test), "one that moves none but them"
    before = ranked(test)
    test = press(test, "put_2")
    assert ranked(test)[0] == before[-1]
    assert next(iter(moved)) not in steering(test).current.scale


def test_hostile_answers_and_a_store_that_went_away_give_no_traceback(
    open_page: Open, demo_env: Path
) -> None:
    test = paste(open_page("compare.py"), HOSTILE, f"{HOSTILE} one\n---\n{HOSTILE} two\n---\n{HOSTILE} 3")
    for path in demo_env.iterdir():
        path.unlink()
    test = press(press(drag(test, 2, 0), "propose"), "wish_keep")
    for part in [*test.markdown, *test.caption, *test.error, *test.warning]:
        assert "onerror" not in part.value or "\\<img" in part.value


def test_a_reload_keeps_the_order_and_a_made_up_one_is_left_aside(open_page: Open) -> None:
    test = drag(open_page("compare.py"), 4, 1)
    again = open_page("compare.py", **address(test))
    assert state(again).orders == state(test).orders
    test = open_page("compare.py", a=address(test)["a"], w="7.7.7-<b>")
    assert not state(test).orders and "w" not in address(test)


def test_fifty_answers_and_one_alone(open_page: Open) -> None:
    test = paste(open_page("compare.py"), "q", "only one")
    assert "propose" not in keys(test)
    test = paste(test, "q", "\n---\n".join(f"answer number {i} of many" for i in range(50)))
    last = ranked(test)[-1]
    test = press(drag(test, 49, 0), "propose")
    if "put_0" in keys(test):
        test = press(test, "put_0")
        assert ranked(test)[0] == last


def test_a_proposal_is_kept_as_a_run_and_its_answers_open_again(open_page: Open) -> None:
    test = open_page("compare.py")
    test = press(drag(test, len(ranked(test)) - 1, 0), "propose")
    asked = test.session_state["comparison"]
    proposal = test.session_state[ANSWERED].proposal
    with load_engine(default_choice()).store() as store:
        run, *_ = Runs(store).all("proposal")  # the newest
    assert run.figures["features"] == len(proposal.moved) and "run" not in test.query_params
    assert json.loads(run.steering) == json.loads(proposal.steering.to_json())
    test = press(open_page("runs.py", run=run.uid), "run_sliders")
    assert json.loads(steering(test).current.to_json()) == json.loads(run.steering)
    assert f"{len(proposal.moved)} slider" in said(test)
    test = press(test, "run_order_0")
    assert test.session_state["comparison"] == asked and state(test).of(asked) is not None
