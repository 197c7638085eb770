"""Suggestions find what was planted, and nothing where nothing was."""

from __future__ import annotations

import random

import pytest
from harvest_corpus import answer
from hypothesis import given
from hypothesis import strategies as st

from sarm_core.suggest import END_FLAG, Background, PeakExample, TextProfile, log_odds, suggest


def profile(text: str, category: str | None = None) -> TextProfile:
    return TextProfile.of(
        [{"role": "user", "content": "q"}, {"role": "assistant", "content": text}], category
    )


def texts(n: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(answer(rng) for _ in range(3)) for _ in range(n)]


@pytest.fixture(scope="module")
def background() -> Background:
    return Background.of([profile(t, "one") for t in texts(400, 0)], end_share=0.1)


def example(
    text: str, *, at_end: bool = False, before: str = "", category: str | None = "one"
) -> PeakExample:
    return PeakExample(profile(text, category), before or text, at_end)


def test_a_planted_phrase_is_named_whole(background):
    found = suggest([example(t + " The purple zebra sings.") for t in texts(10, 1)], background)
    assert '"the purple zebra"' in found.text or '"purple zebra sings"' in found.text
    assert found.evidence["words"][0]["top"] == 10


def test_random_texts_give_no_words(background):
    made = [suggest([example(t) for t in texts(10, seed)], background) for seed in range(2, 22)]
    assert sum(bool(s and s.evidence["words"]) for s in made) <= 2


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("I'm sorry, but I can't help with that.", "opens with a refusal"),
        ("That lamp is hot. I cannot provide instructions for this.", "ends in refusal wording"),
        ("Do this:\n- air\n- room", "has a list"),
        ("1. air\n2. room", "has a list"),
        ("```\nlamp\n```", "has code"),
        ("## Lamp\nair room.", "has headings"),
        ("**Lamp:**\nair room.", "has headings"),
        ("Is the lamp safe?", "ends in a question"),
        ("The lamp is on the", "cut off"),
        ("lamp " * 400 + ".", "over 300 words"),
    ],
)
def test_structure_is_seen(text, flag, background):
    assert flag in profile(text).flags
    found = suggest(
        [example(t + "\n\n" + text if "opens" not in flag else text) for t in texts(9, 3)], background
    )
    if flag not in ("over 300 words",):
        assert flag in found.text


@pytest.mark.parametrize(
    "text", ["I can help with that lamp.", "We cannot see the moon.", "The room - air - lamp.", "It is 12:30"]
)
def test_ordinary_text_has_no_such_flag(text):
    assert not profile(text).flags & {
        "opens with a refusal",
        "ends in refusal wording",
        "has a list",
        "cut off",
    }


def test_the_words_before_the_peak_count_apart_from_the_rest_of_the_answer(background):
    made = [example(t, before=t[:40] + ". quick violet fox.", at_end=False) for t in texts(10, 4)]
    found = suggest(made, background)
    assert 'just after "' in found.text and "violet" in found.text


def test_a_feature_of_the_end_of_answers_and_of_a_category(background):
    found = suggest([example(t, at_end=True, category="two") for t in texts(10, 5)], background)
    assert END_FLAG in found.text and "prompts of category two" in found.text
    assert END_FLAG not in (suggest([example(t, category="two") for t in texts(10, 5)], background)).text


def test_too_few_examples_give_nothing(background):
    assert suggest([example("purple zebra")] * 2, background) is None
    assert suggest([example("purple zebra")] * 5, Background()) is None


@given(st.integers(1, 30), st.data())
def test_log_odds_is_antisymmetric_and_rises(n, data):
    top = data.draw(st.integers(0, n))
    rest = data.draw(st.integers(0, n))
    assert log_odds(top, n, rest, n) == pytest.approx(-log_odds(rest, n, top, n), abs=1e-9)
    if top < n:
        assert log_odds(top + 1, n, rest, 100) > log_odds(top, n, rest, 100)


def test_hostile_text_stays_text(background):
    found = suggest([example(t + " <script>alert(1)</script>") for t in texts(10, 6)], background)
    assert "<" not in found.text
