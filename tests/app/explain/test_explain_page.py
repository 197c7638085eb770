"""Explain one answer as a whole page on the embedded model."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from app.session.engine import default_choice, load_engine
from sarm_core.score.kept_sarm import KeptSarm
from sarm_core.steering import Steering
from tests.app.demo_pages import Open, address, checked, demo_env, open_page, submit

__all__ = ["demo_env", "open_page"]


def metrics(test: AppTest) -> dict[str, str]:
    return {part.label: part.value for part in test.metric}


def explain(test: AppTest, answer: str, prompt: str | None = None) -> AppTest:
    if prompt is not None:
        box = next(area for area in test.text_area if (area.key or "").startswith("explain_prompt_"))
        box.set_value(prompt)
    next(area for area in test.text_area if (area.key or "").startswith("explain_answer_")).set_value(answer)
    return submit(test, "explain", "Explain")


@pytest.mark.slow
def test_the_table_is_the_reward_and_the_headline_agrees(open_page: Open) -> None:
    test = open_page("explain.py")
    table = test.dataframe[0].value
    reward = float(metrics(test)["Reward"])
    assert table["contribution"].sum() == pytest.approx(reward, abs=6e-4)
    assert (table["activation"] * table["weight"]).to_numpy() == pytest.approx(
        table["contribution"].to_numpy(), abs=1e-5
    )
    assert table["contribution"].abs().is_monotonic_decreasing
    assert metrics(test)["Active features"].split()[0] == str((table["activation"] != 0).sum())
    error = next(part.value for part in test.caption if "sum to the reward" in part.value)
    assert float(re.search(r"error ([\d.e+-]+)", error)[1]) < 1e-4  # type: ignore[index]


@pytest.mark.slow
def test_under_a_steering_the_table_still_sums_and_the_change_is_named(open_page: Open) -> None:
    test = open_page("explain.py")
    plain_reward = float(metrics(test)["Reward"])
    top = int(test.dataframe[0].value["feature"].iloc[0])
    contribution = float(test.dataframe[0].value["contribution"].iloc[0])
    held = test.session_state["steering_state"]
    held.change(Steering(scale={top: -1.0}, offset={3: 0.5}))
    test = checked(test.run())
    reward = float(metrics(test)["Reward"])
    table = test.dataframe[0].value
    assert table["contribution"].sum() == pytest.approx(reward, abs=6e-4)
    offset = 0.5 * float(table.set_index("feature")["weight"][3])
    assert reward - plain_reward == pytest.approx(-2 * contribution + offset, abs=2e-3)
    assert "by the steering" in test.metric[[m.label for m in test.metric].index("Reward")].delta


@pytest.mark.slow
def test_an_answer_to_the_same_prompt_joins_the_others(open_page: Open) -> None:
    test = open_page("explain.py")
    before = test.session_state["comparison"]
    test = explain(test, "  Use kill and the number of the process. ")
    now = test.session_state["comparison"]
    assert now.answers[:-1] == before.answers
    assert now.answers[-1].text == "Use kill and the number of the process."
    assert test.selectbox("explained").value == len(before.answers)
    again = open_page("explain.py", **address(test))
    assert again.session_state["comparison"] == now
    assert again.selectbox("explained").value == test.selectbox("explained").value
    assert again.selectbox("traced").value == test.selectbox("traced").value


@pytest.mark.slow
def test_an_answer_to_another_prompt_stands_alone_and_has_no_rank(open_page: Open) -> None:
    hostile = "<script>alert(1)</script> $x^2$ ![](http://x/y) **b**"
    test = explain(open_page("explain.py"), hostile, prompt=hostile)
    assert [answer.text for answer in test.session_state["comparison"].answers] == [hostile]
    assert "Rank" not in metrics(test)
    for part in [*test.markdown, *test.caption]:
        assert "alert" not in part.value
    assert not test.error


@pytest.mark.slow
def test_an_empty_answer_is_refused_and_nothing_is_lost(open_page: Open) -> None:
    test = open_page("explain.py")
    before = test.session_state["comparison"]
    test = explain(test, "   ")
    assert "answer is empty" in test.error[0].value
    assert test.session_state["comparison"] == before


@pytest.mark.slow
def test_an_answer_longer_than_the_model_says_what_was_cut(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = open_page("explain.py")
    scorer = load_engine(default_choice()).scorer
    if isinstance(scorer, KeptSarm):
        monkeypatch.setattr(scorer, "facts", replace(scorer.facts, max_length=128))
        scorer = scorer.load()
    for part in (scorer, scorer.format):
        monkeypatch.setattr(part, "max_length", 128)  # 4,096 tokens would take a busy machine half a minute
    test = explain(test, "word " * 300, prompt="Say word.")
    cut = next(part.value for part in test.warning)
    number = int(re.search(r"first ([\d,]+) were cut", cut)[1].replace(",", ""))  # type: ignore[index]
    (sequence,) = scorer.tokens(test.session_state["comparison"].conversations())
    assert number == sequence.n_cut > 150
    assert "128 tokens" in cut
    assert not test.error


@pytest.mark.slow
def test_a_steering_that_does_not_touch_the_answer_says_so_and_the_menu_shows_texts(open_page: Open) -> None:
    test = open_page("explain.py", a="example:sensitive-01")
    answers = test.session_state["comparison"].answers
    options = test.selectbox("explained").options
    assert all(answer.text[:20] in option for answer, option in zip(answers, options, strict=True))
    active = set(test.dataframe[0].value["feature"])
    silent = next(i for i in range(4608) if i not in active)
    test.session_state["steering_state"].load(Steering(scale={silent: 3.0}))
    test = checked(test.run())
    reward = test.metric[[m.label for m in test.metric].index("Reward")]
    assert reward.delta == "not moved by the steering"
