"""The page Learn over a tiny real model: pairs in, a proved steering on the sliders, and back."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.draw.plain_text import plain
from app.prove.learning import frontier_chart, learn_orders, learn_profiles, learn_upload, moved_table
from app.session.comparison import Answer, Comparison
from app.session.pages import Page
from app.session.wishes import Wanted, WishState
from sarm_core.errors import RowError
from sarm_core.steering import Steering
from sarm_core.text.rows import Message

torch.set_num_threads(1)
MAIN = Path(__file__).parents[3] / "app" / "main.py"
N = 160
WORDS = ["rice", "tea", "the sea", "a bridge", "old maps", "snow", "a violin", "bread"]


@pytest.fixture(scope="module")
def rows(text_model, engine):
    """Pairs in the order of somebody whose multipliers differ, and the same with labels by a coin."""
    asked = [f"What of {WORDS[i % 8]} number {i}?" for i in range(N)]
    texts = [
        (f"{WORDS[3 * i % 8]}, {i} times.", f"No {WORDS[(5 * i + 1) % 8]} today, {i}.") for i in range(N)
    ]
    flat = [{"prompt": p, "response": text} for p, both in zip(asked, texts, strict=True) for text in both]
    matrix = engine.scorer.score(flat).matrix
    most = np.argsort(-matrix.carried)[:7].tolist()
    people = [
        Steering(scale={i: 2.0 * b for i, b in zip(most, bits, strict=True)})
        for bits in product([0, 1], repeat=7)
    ]

    def first(person: Steering) -> np.ndarray:
        rewards = person.rewards(matrix)
        return rewards[0::2] > rewards[1::2]

    now = first(Steering())
    wanted = max((first(person) for person in people), key=lambda order: int((order != now).sum()))
    assert (wanted != now).sum() > N / 4

    def file(order: np.ndarray) -> bytes:
        made = [
            {"prompt": p, "chosen": both[0 if one else 1], "rejected": both[1 if one else 0]}
            for p, both, one in zip(asked, texts, order, strict=True)
        ]
        return "".join(json.dumps(row) + "\n" for row in made).encode()

    return file(wanted), file(np.random.default_rng(1).random(N) < 0.5)


def opened(content: bytes) -> AppTest:
    script = AppTest.from_file(str(MAIN), default_timeout=120)
    script.switch_page(Page.LEARN.path).run()
    script.file_uploader(key="learn_files").upload("mine.jsonl", content).run()
    script.button(key="learn_go").click().run()
    assert not script.exception and not script.error
    return script


@pytest.mark.slow
def test_pairs_become_a_steering_on_the_sliders_and_undo_takes_it_back(rows, engine):
    script = opened(rows[0])
    expected = learn_upload(engine, [("mine.jsonl", rows[0])], Steering(), 8)
    assert expected.found.steering is not None
    (told,) = [m.value for m in script.markdown if "took no part" in m.value]
    assert (
        f"**{len(expected.found.moved)} multipliers**" in told and plain(expected.found.gain.in_words) in told
    )
    values = {metric.label: metric.value for metric in script.metric}
    assert values["Held out, after"] == f"{expected.found.after.accuracy:.1%}"
    held = script.session_state["steering_state"]
    assert not held.current
    script.button(key="learn_apply").click().run()
    assert script.session_state["steering_state"].current == expected.found.steering
    assert script.button(key="learn_apply").disabled
    script.button(key="strip_undo").click().run()
    assert (
        not script.session_state["steering_state"].current and not script.button(key="learn_apply").disabled
    )
    figure = frontier_chart(expected.found)
    assert sorted(figure.data[0].y) == sorted(point.gain.difference for point in expected.found.frontier)
    table = moved_table(expected.found, {})
    assert dict(zip(table["feature"], table["after"], strict=True)) == {
        feature: after for feature, (_, after) in expected.found.moved.items()
    }


@pytest.mark.slow
def test_what_does_not_hold_is_said_and_offers_nothing(rows):
    script = opened(rows[1])
    (warned,) = script.warning
    assert warned.value.startswith("No steering is proposed: ")
    assert not [b for b in script.button if b.key == "learn_apply"]


@pytest.mark.slow
def test_orders_given_on_compare_teach_what_the_same_pairs_teach(rows, engine):
    given = []
    for row in map(json.loads, rows[0].splitlines()):
        asked = (Message("user", row["prompt"]),)
        comparison = Comparison(asked, (Answer(row["rejected"]), Answer(row["chosen"])))
        given.append(Wanted(comparison, (0, 1), (1, 0)))
    of_orders = learn_orders(engine, given, Steering(), 8).found
    of_file = learn_upload(engine, [("mine.jsonl", rows[0])], Steering(), 8).found
    assert of_orders.moved == of_file.moved and of_orders.gain == of_file.gain
    script = AppTest.from_file(str(MAIN), default_timeout=120)
    script.switch_page(Page.LEARN.path)
    orders = script.session_state["wish_state"] = WishState()
    orders.orders |= {str(i): wanted for i, wanted in enumerate(given[:19])}
    script.run()
    script.segmented_control(key="learn_source").set_value("My orders on Compare").run()
    assert script.button(key="learn_go").disabled
    assert any("19 prompts" in caption.value for caption in script.caption)
    orders.orders |= {str(i): wanted for i, wanted in enumerate(given[:100])}
    script.run()
    script.button(key="learn_go").click().run()
    assert not script.exception and not script.error
    assert any("Learned from your orders" in header.value for header in script.header)


def test_an_upload_that_states_nothing_is_named_as_the_person_named_it(engine):
    with pytest.raises(RowError, match=r"^mine<1>\.jsonl, row 1: "):
        learn_upload(engine, [("mine<1>.jsonl", b'{"prompt": "p", "chosen": "a"}\n')], Steering(), 8)


@pytest.mark.slow
def test_one_steering_for_each_person_side_by_side(rows, engine):
    wanted, coin = ([json.loads(line) for line in content.decode().splitlines()] for content in rows)
    both = [row | {"who": "ann <b>"} for row in wanted] + [row | {"who": "bo"} for row in coin]
    content = "".join(json.dumps(row) + "\n" for row in both).encode()
    script = AppTest.from_file(str(MAIN), default_timeout=120)
    script.switch_page(Page.LEARN.path).run()
    script.file_uploader(key="learn_files").upload("team.jsonl", content).run()
    script.text_input(key="learn_by").set_value("who").run()
    script.button(key="learn_go").click().run()
    assert not script.exception and not script.error
    found = learn_profiles(engine, [("team.jsonl", content)], "who", Steering(), 8).found
    ann, bo = found.learned["ann <b>"], found.learned["bo"]
    assert ann.steering is not None and bo.steering is None
    said = [text.value for text in script.markdown]
    assert any(plain("ann <b>") in text and plain(ann.measured_in_words) in text for text in said)
    assert any("**bo**" in text and plain(bo.why) in text for text in said)
    multipliers, crossed = script.dataframe[0].value, script.dataframe[-1].value
    assert list(multipliers.columns) == ["feature", "ann <b>", "bo"] and len(multipliers) >= len(ann.moved)
    cell = next(cell for cell in found.crossed if (cell.of, cell.on) == ("ann <b>", "bo"))
    assert crossed.set_index("steering of").loc["ann <b>", "bo"].startswith(f"{cell.accuracy:.1%}")
    script.button(key="learn_apply_one").click().run()
    assert script.session_state["steering_state"].current == ann.steering


def test_a_column_that_is_not_there_is_refused_in_one_line(rows):
    script = AppTest.from_file(str(MAIN), default_timeout=120)
    script.switch_page(Page.LEARN.path).run()
    script.file_uploader(key="learn_files").upload("mine.jsonl", rows[0]).run()
    script.text_input(key="learn_by").set_value("nobody").run()
    script.button(key="learn_go").click().run()
    assert not script.exception
    (error,) = (message.value for message in script.error)
    assert error.startswith("mine\\.jsonl, row 1") and "nobody" in error
