"""Harmless rewrites on the page Find features: what it shows is what the engine computes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.prove.rewrites import (
    RULES,
    check_corpus,
    check_upload,
    flip_comparison,
    flip_rows,
    moved_rows,
    outcome,
    rule_rows,
    totals,
)
from sarm_core.errors import RowError, SarmError
from sarm_core.prove.corpus import CORPUS_SETS
from sarm_core.prove.perturb import perturb, rewritten
from sarm_core.steering import Steering
from sarm_core.text.rewrites import REWRITES

MAIN = Path(__file__).parents[3] / "app" / "main.py"
SET = next(iter(CORPUS_SETS))
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def checked(engine):
    return check_corpus(engine, SET, list(RULES), 8)


@pytest.fixture(scope="module")
def strong(checked):
    """A steering that turns many orders around."""
    load = np.abs(checked.of.matrix.csr.toarray() * checked.of.matrix.head).sum(0)
    return Steering(scale={int(i): -2.0 for i in np.argsort(-load)[:3]})


def test_the_page_knows_every_rule():
    assert list(RULES) == list(REWRITES)


@pytest.mark.slow
def test_the_outcome_is_that_of_scoring_anew_under_the_steering(engine, checked, strong):
    for steering in (Steering(), strong):

        def score(conversations, steering=steering):
            return steering.apply(engine.scorer.score(conversations).matrix)

        tokens = engine.scorer.tokens(list(checked.of.conversations))
        cuts = {c: s.n_cut for c, s in zip(checked.of.conversations, tokens, strict=True)}
        expected = perturb(checked.of.pairs, score, rules=list(RULES), top=30, seed=0, cuts=cuts)
        found = outcome(checked, steering)
        names = ["rule", "pairs", "flips"]
        pd.testing.assert_frame_equal(found.rules[names], expected.rules[names])
        assert found.flips[["rule", "pair", "side"]].equals(expected.flips[["rule", "pair", "side"]])


@pytest.mark.slow
def test_pairs_are_spread_over_the_whole_set(engine, checked):
    every = CORPUS_SETS[SET].pairs()
    assert len(checked.of.pairs) == 8 and checked.of.n_all == len(every.items)
    assert checked.of.pairs[0][0] == every.conversations[every.chosen[0]]
    assert checked.of.pairs[-1][0] == every.conversations[every.chosen[-1]]


def test_tables_hold_rates_with_their_n_before_and_after(checked, strong):
    before, after = outcome(checked, Steering()), outcome(checked, strong)
    table = rule_rows(before, after)
    assert table["rule"].tolist() == list(RULES)
    rates = table.dropna(subset=["flip_rate"])
    np.testing.assert_allclose(rates["flip_rate"], rates["flips"] / rates["n"])
    np.testing.assert_allclose(rates["rate_steered"], rates["flips_steered"] / rates["n"])
    assert (table["flips"].sum(), table["n"].sum()) == totals(before)
    assert table["flips_steered"].sum() == totals(after)[0] == len(after.flips)
    assert "flips_steered" not in rule_rows(before, None).columns


def test_moved_features_are_those_that_some_rule_moves_most(engine, checked):
    found = outcome(checked, Steering())
    every = moved_rows(found, "all rules", {})
    w = engine.scorer.head.astype(float)
    number = {conversation: row for row, conversation in enumerate(checked.of.conversations)}
    n_cut = checked.of.n_cut
    z = checked.of.matrix.csr.toarray().astype(float)
    most = np.zeros(len(w))
    answers = list(dict.fromkeys(answer for pair in checked.of.pairs for answer in pair))
    for rule in RULES:
        rewrites = [(answer, rewritten(answer, rule, 0)) for answer in answers]
        both = [(number[old], number[new]) for old, new in rewrites if new is not None]
        moves = [z[new] - z[old] for old, new in both if n_cut[new] == n_cut[old]]
        if not moves:
            continue
        most = np.maximum(most, np.abs(w * np.array(moves)).mean(0))
    np.testing.assert_allclose(every["mean_abs_change"], np.sort(most)[::-1][: len(every)], atol=1e-5)
    np.testing.assert_allclose(every["mean_abs_change"], most[every["feature"]], atol=1e-5)
    one = moved_rows(found, "greeting", {})
    assert set(one["rule"]) == {"greeting"} and one["mean_abs_change"].is_monotonic_decreasing


@pytest.mark.slow
def test_a_flip_opens_with_the_texts_that_changed_the_order(engine, checked, strong):
    found = outcome(checked, strong)
    table = flip_rows(checked, found)
    assert len(table) == len(found.flips) > 0
    size = (table["margin_after"] - table["margin_before"]).abs()
    assert size.is_monotonic_decreasing
    for flip in table.head(6).to_dict("records"):
        made, left, right = flip_comparison(checked, flip["rule"], flip["pair"], flip["side"])
        rewards = strong.rewards(engine.scorer.score(made.conversations()).matrix)
        assert float(rewards[0] - rewards[1]) == pytest.approx(flip["margin_before"], abs=1e-4)
        assert float(rewards[left] - rewards[right]) == pytest.approx(flip["margin_after"], abs=1e-4)
        assert ("rejected" in made.titles()[right]) and ("chosen" in made.titles()[left])


def test_bad_uploads_are_named_as_the_person_named_them(engine):
    good = b'{"prompt": "p", "chosen": "Yes it is.", "rejected": "No."}\n'
    with pytest.raises(RowError, match=r"^mine<1>\.jsonl, row 2: no 'rejected'"):
        check_upload(engine, ("mine<1>.jsonl", good + b'{"prompt": "p", "chosen": "a"}\n'), ["suffix"], 50)
    with pytest.raises(SarmError, match="at least one rewrite"):
        check_upload(engine, ("a.jsonl", good), [], 50)
    found = check_upload(engine, ("a.jsonl", good), ["suffix"], 50)
    assert (len(found.of.pairs), found.of.n_all, found.title) == (1, 1, "a.jsonl")


def test_token_ids_and_unlike_prompts_cannot_be_opened_and_say_so(engine):
    ids = check_upload(
        engine, ("i.jsonl", b'{"chosen_input_ids": [5], "rejected_input_ids": [6]}\n'), ["suffix"], 9
    )
    with pytest.raises(SarmError, match="without text"):
        flip_comparison(ids, "suffix", 0, "both")
    turns = b'{"chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "x"}], '
    turns += b'"rejected": [{"role": "user", "content": "b"}, {"role": "assistant", "content": "y"}]}\n'
    unlike = check_upload(engine, ("u.jsonl", turns), ["suffix"], 9)
    with pytest.raises(SarmError, match="different turns"):
        flip_comparison(unlike, "suffix", 0, "both")


@pytest.mark.slow
def test_the_page_shows_it_and_another_steering_needs_no_model(engine, checked, strong, monkeypatch):
    script = AppTest.from_file(str(MAIN), default_timeout=120)
    script.run()
    script.switch_page("app_pages/find.py").run()
    (source,) = [group for group in script.button_group if group.key == "find_source"]
    source.set_value("Harmless rewrites").run()
    assert not script.exception
    assert any("press Check" in box.value for box in script.info)
    script.number_input(key="rewrite_most").set_value(8).run()
    next(b for b in script.button if b.key == "rewrite_go").click().run()
    assert not script.exception and not script.error
    (table,) = [frame.value for frame in script.dataframe if "flip_rate" in frame.value.columns]
    expected = rule_rows(outcome(checked, Steering()), None)
    assert table["flips"].tolist() == expected["flips"].tolist()
    assert table["n"].tolist() == expected["n"].tolist()

    def refuse(*_, **__):
        raise AssertionError("the model ran")

    monkeypatch.setattr(type(engine.scorer.encoder), "encode", refuse)
    held = script.session_state["steering_state"]
    held.change(strong)
    script.run()
    assert not script.exception and not script.error
    (table,) = [frame.value for frame in script.dataframe if "flip_rate" in frame.value.columns]
    expected = rule_rows(outcome(checked, Steering()), outcome(checked, strong))
    assert table["flips_steered"].tolist() == expected["flips_steered"].tolist()
    shown = {metric.label: metric.value for metric in script.metric}
    assert f"({totals(outcome(checked, strong))[0]:,})" in shown["Orders changed, steered"]
