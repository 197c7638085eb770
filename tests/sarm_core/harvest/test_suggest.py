"""Suggestions find what was planted, nothing where nothing was, and only what holds on unseen texts."""

from __future__ import annotations

import functools
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_db import ExampleRecord, FeatureRecord, ModelRecord, Store, SuggestionRecord, TextRecord
from sarm_core.__main__ import main
from sarm_core.harvest.suggest import (
    CHANCE,
    TITLE_LENGTH,
    Background,
    FeaturePlaces,
    find_rule,
    log_odds,
    suggest,
)
from sarm_core.harvest.suggest_store import METHOD, StoredPlaces, suggest_all
from sarm_core.text.text_traits import AnswerPlaces

CORPUS = Path(__file__).parents[3] / "sarm_core" / "demo" / "corpus.jsonl"
LINE = " The purple zebra sings along."


def answers() -> list[tuple[str, str]]:
    """(answer, category) of the demo's corpus, real texts: synthetic ones have no long tail of words."""
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    found = []
    for row in rows:
        texts = [row["response"]] if "response" in row else [each["text"] for each in row["answers"]]
        found += [(text, row.get("category", "")) for text in texts]
    return found


def parsed(answer: str, category: str = "one") -> AnswerPlaces:
    return AnswerPlaces([{"role": "assistant", "content": answer}], category)


TEXTS = answers()


@functools.cache
def every() -> list[AnswerPlaces]:
    """All of `TEXTS`, parsed by the process that runs these tests only."""
    return [parsed(*text) for text in TEXTS]


@pytest.fixture(scope="module")
def background() -> Background:
    return Background(enumerate(every()))


def at(number: int, rng: random.Random, more: str = "") -> frozenset[str]:
    """Traits of a random place of a text, or of the end of the text with `more` behind it."""
    if more:
        return parsed(TEXTS[number][0] + more, TEXTS[number][1]).traits(10**6)
    return every()[number].traits(rng.randrange(len(every()[number])))


def feature(seed: int, *, label: str = "", check: str = "", n: int = 10) -> FeaturePlaces:
    """Random places, or ends of texts with the sentence `label` or `check` behind them."""
    rng = random.Random(seed)
    numbers = rng.sample(range(len(TEXTS)), 4 * n)
    firing = [at(i, rng, label) for i in numbers[: n + 4]]
    unseen = [at(i, rng, check) for i in numbers[n + 4 : 2 * n + 8]]
    silent = [every()[i].traits(p) for i in numbers[3 * n :] for p in range(len(every()[i]))]
    return FeaturePlaces(firing[:n], firing, unseen[:n], unseen, silent, frozenset(numbers))


@pytest.mark.slow
def test_a_planted_sentence_is_named(background):
    made = suggest(feature(1, label=LINE, check=LINE), background)
    assert any(words in made.text for words in ("purple", "zebra", "sings"))
    assert made.evidence["strongest"] == [10, 10] and made.evidence["elsewhere"] < 0.001
    assert made.evidence["unseen"]["firing"] == [14, 14]
    assert made.evidence["unseen"]["silent"][0] == 0 < made.evidence["unseen"]["silent"][1]
    assert made.evidence["parts"][0]["top"] == 10


@pytest.mark.slow
def test_a_planted_kind_of_sentence_is_named(background):
    rng = random.Random(2)
    questions = [
        (i, traits)
        for i, answer in enumerate(every())
        for place in range(len(answer) - 1)
        if "squestion" in (traits := answer.traits(place))
    ]
    chosen = list(dict(rng.sample(questions, len(questions))).items())[:28]
    assert len(chosen) == 28
    traits = [found for _, found in chosen]
    silent = [found for i in range(0, 60) for found in [every()[i].traits(0)] if "squestion" not in found]
    places = FeaturePlaces(
        traits[:10], traits[:14], traits[14:24], traits[14:], silent, frozenset(i for i, _ in chosen)
    )
    assert suggest(places, background).text.split(" or ")[0] == "question"


@pytest.mark.slow
def test_random_places_get_a_rule_as_rarely_as_stated_and_next_to_no_suggestion(background):
    """On real texts, where thousands of words take part and some are always shared."""
    groups = [feature(seed, n=(4, 7, 10)[seed % 3]) for seed in range(400)]
    rules = sum(find_rule(group, background) is not None for group in groups)
    # The stated share and three standard errors.
    assert rules <= 400 * CHANCE + 3 * (400 * CHANCE * (1 - CHANCE)) ** 0.5
    assert sum(suggest(group, background) is not None for group in groups) <= 4


@pytest.mark.slow
def test_the_thresholds_are_those_random_places_exceed_as_stated(background):
    for n in (3, 10, 16):
        again = Background(enumerate(every()), seed=1).thresholds(n)
        for kind, threshold in background.thresholds(n).items():
            # Two seeds agree but for the noise of the quantile; a kind of which nothing is ever shared says so.
            assert threshold == again[kind] or abs(threshold - again[kind]) < 1.5


@pytest.mark.slow
def test_what_does_not_hold_on_unseen_texts_is_no_suggestion(background):
    planted = feature(3, label=LINE, check=LINE)
    elsewhere = replace(feature(4, label=LINE), texts=planted.texts)
    assert find_rule(elsewhere, background) is not None
    assert suggest(elsewhere, background) is None
    # It holds where it fires, and just as often where it is silent.
    silent_too = replace(planted, unseen_silent=planted.unseen_firing)
    assert suggest(silent_too, background) is None
    nothing_to_check = replace(planted, unseen_firing=[], unseen_strongest=[])
    assert suggest(nothing_to_check, background) is None


@pytest.mark.slow
def test_the_unseen_texts_have_no_part_in_the_choice(background):
    seen = feature(5, label=LINE, check=LINE)
    other = feature(6, label=" Quick violet foxes dance.", check=" Quick violet foxes dance.")
    swapped = replace(
        seen,
        unseen_strongest=other.unseen_strongest,
        unseen_firing=other.unseen_firing,
        unseen_silent=other.unseen_silent,
    )
    assert find_rule(swapped, background).parts == find_rule(seen, background).parts
    # Neither in the background: texts a feature fires in or is checked on are not its rest.
    holding = Background(
        [*enumerate(every()), *((10_000 + i, parsed("The purple zebra sings along.")) for i in range(50))]
    )
    own = replace(seen, texts=seen.texts | set(range(10_000, 10_050)))
    assert find_rule(own, holding).elsewhere == find_rule(seen, background).elsewhere
    assert find_rule(seen, holding).elsewhere > 0.004


@pytest.mark.slow
def test_two_kinds_of_places_make_a_rule_of_two_parts(background):
    one, two = feature(7, label=LINE, check=LINE), feature(8, label="\n```\nx = [", check="\n```\nx = [")

    def mixed(a, b):
        return [place for pair in zip(a, b, strict=True) for place in pair]

    places = FeaturePlaces(
        mixed(one.strongest[:5], two.strongest[:5]),
        mixed(one.firing[:7], two.firing[:7]),
        mixed(one.unseen_strongest, two.unseen_strongest),
        mixed(one.unseen_firing, two.unseen_firing),
        one.unseen_silent,
        one.texts | two.texts,
    )
    rule = find_rule(places, background)
    assert len(rule.parts) == 2 and rule.strongest == [10, 10]
    assert rule.unseen["firing"] == [28, 28]


def test_too_little_gives_nothing(background):
    planted = feature(9, label=LINE, check=LINE)
    assert suggest(replace(planted, strongest=planted.strongest[:2]), background) is None
    assert suggest(planted, Background([])) is None
    assert suggest(planted, Background([(0, parsed(""))])) is None


@given(st.integers(1, 30), st.data())
def test_log_odds_is_antisymmetric_and_rises(n, data):
    top = data.draw(st.integers(0, n))
    rest = data.draw(st.integers(0, n))
    assert log_odds(top, n, rest, n) == pytest.approx(-log_odds(rest, n, top, n), abs=1e-9)
    if top < n:
        assert log_odds(top + 1, n, rest, 100) > log_odds(top, n, rest, 100)
    assert log_odds(np.array([top]), n, np.array([rest]), n)[0] == log_odds(top, n, rest, n)


@pytest.mark.parametrize("sentence", [" <script>alert(1)</script>", " " + "Wolkenkratzerbau " * 3, LINE])
def test_titles_are_short_and_hostile_text_stays_words(background, sentence):
    made = suggest(feature(10, label=sentence, check=sentence), background)
    assert len(made.text) <= TITLE_LENGTH and "<" not in made.text
    assert made.evidence["description"].startswith(made.text.rstrip("…").removesuffix(" or "))


# -- a store -------------------------------------------------------------------------------------------------


STORED = random.Random(0).sample(TEXTS, 300)
"""In no order: neighbours in the corpus answer one prompt, and have much in common."""


def store_of(path: Path, *, planted: bool, prompts: int = 300) -> Store:
    """Feature 0 fires at the planted line, in label and check alike; feature 1 only in what is shown to label."""
    texts, examples = [], []
    for i, (answer, category) in enumerate(STORED):
        line = LINE if planted and i < 60 else ""
        turns = [
            {"role": "user", "content": f"{i % prompts}?"},
            {"role": "assistant", "content": answer + line},
        ]
        texts.append(TextRecord(turns, tokens=["<|q|>", answer + line, "<|im_end|>"], category=category))
    for number in range(2):
        for rank in range(40):
            purpose = ("label", "check")[rank % 2]
            text = rank if number == 0 or purpose == "label" else 100 + rank
            kind = "top" if rank < 20 else "band"
            band = None if kind == "top" else 1
            examples.append(
                ExampleRecord(number, text, kind, rank, purpose, 40.0 - rank, 1 + rank % 2, band=band)
            )
        examples += [
            ExampleRecord(number, 200 + rank, "silent", rank, ("label", "check")[rank % 2])
            for rank in range(100)
        ]
    store = Store.open(path, create=ModelRecord("f", "m", 4))
    store.import_harvest((FeatureRecord(i) for i in range(4)), texts, (), examples)
    return store


@pytest.mark.slow
def test_a_store_gets_the_suggestions_that_hold_and_nothing_else(tmp_path):
    with store_of(tmp_path / "a.db", planted=True) as store:
        assert suggest_all(store) == 1
        (made,) = store.suggestions(METHOD)
        assert made.feature == 0 and any(words in made.text for words in ("purple", "zebra", "sings"))
        assert made.evidence["unseen"]["firing"] == [20, 20]
        assert made.evidence["unseen"]["strongest"] == [10, 10]
        silent = sum(len(parsed(STORED[200 + rank][0])) for rank in range(1, 100, 2))
        assert made.evidence["unseen"]["silent"] == [0, silent]
        assert suggest_all(store) == 1 and store.suggestions(METHOD) == [made]
    with store_of(tmp_path / "b.db", planted=False) as store:
        assert suggest_all(store) == 0


@pytest.mark.slow
def test_another_answer_to_a_prompt_that_was_seen_is_not_unseen(tmp_path):
    # Of the 20 texts kept for checking, ten answer a prompt that one kept for labelling answers too.
    with store_of(tmp_path / "a.db", planted=True, prompts=15) as store:
        places = dict(StoredPlaces(store).features())[0]
        seen = {text % 15 for text in range(0, 40, 2)}
        assert len(places.unseen_firing) == sum(text % 15 not in seen for text in range(1, 40, 2)) == 0
        assert len(places.firing) == 20
    with store_of(tmp_path / "b.db", planted=True, prompts=30) as store:
        places = dict(StoredPlaces(store).features())[0]
        seen = {text % 30 for text in range(0, 40, 2)}
        assert len(places.unseen_firing) == sum(text % 30 not in seen for text in range(1, 40, 2)) > 0


def test_a_text_with_two_places_counts_once_and_negative_peaks_do_not(tmp_path):
    with Store.open(tmp_path / "a.db", create=ModelRecord("f", "m", 1)) as store:
        turn = [{"role": "text", "content": "Lamps glow."}]
        other = [{"role": "text", "content": "They do."}]
        store.import_harvest(
            [FeatureRecord(0)],
            [TextRecord(turn, tokens=["Lamps glow."]), TextRecord(other, tokens=["They do."])],
            (),
            [
                ExampleRecord(0, 0, "top", 0, "label", 2.0, 0),
                ExampleRecord(0, 0, "band", 0, "label", 2.0, 0, band=0),
                ExampleRecord(0, 1, "band", 0, "label", -2.0, 0, band=6),
            ],
        )
        ((number, found),) = StoredPlaces(store).features()
        assert (number, len(found.strongest), len(found.firing)) == (0, 1, 1)
        assert suggest_all(store) == 0


@pytest.mark.slow
def test_the_command_suggests_anew_and_says_how_many(tmp_path, capsys):
    path = tmp_path / "a.db"
    with store_of(path, planted=True) as store:
        store.replace_suggestions(METHOD, [SuggestionRecord(1, METHOD, "from before")])
    assert main(["suggest", str(path)]) == 0
    assert "1 of 2 features" in capsys.readouterr().out
    with Store.open(path) as store:
        assert [made.feature for made in store.suggestions(METHOD)] == [0]
    for wrong in (tmp_path / "none.db", CORPUS):
        assert main(["suggest", str(wrong)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and str(wrong) in error


def test_texts_of_token_ids_alone_are_passed_over(tmp_path):
    with Store.open(tmp_path / "a.db", create=ModelRecord("f", "m", 1)) as store:
        store.import_harvest(
            [FeatureRecord(0)],
            [TextRecord([], token_ids=[i]) for i in range(9)],
            (),
            [ExampleRecord(0, i, "top", i, ("label", "check")[i % 2], 1.0, 0) for i in range(9)],
        )
        assert suggest_all(store) == 0
