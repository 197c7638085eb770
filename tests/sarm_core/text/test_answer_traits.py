"""Traits of answers: each family measures what it says, of any text, in time."""

from __future__ import annotations

import time

import numpy as np
import pytest

from sarm_core.text.answer_traits import TRAITS, measured
from sarm_core.text.answer_traits.family import Family, Reading

PLAIN = "It boils at a lower temperature up there, as the air is thinner."


def more(
    trait: str, answer: str, than: str = PLAIN, question: str = "why does water boil sooner on a mountain"
) -> bool:
    """Whether `answer` has more of the trait than another."""
    table = measured([(question, answer), (question, than)], TRAITS)
    column = [each.more for each in table.traits].index(trait)
    return bool(table.values[0, column] > table.values[1, column])


@pytest.mark.parametrize(
    ("trait", "answer"),
    [
        ("refuses", "I'm sorry, but I can't help with that."),
        ("apologises", "Unfortunately it does."),
        ("hedges more", "Perhaps it might boil sooner, possibly."),
        ("surer of itself", "It definitely, absolutely always does."),
        ("sends to a professional", "Please consult a licensed specialist."),
        ("warns more", "Be careful: it is dangerous."),
        ("rude", "What a stupid thing to not know."),
        ("praises who asked", "What a great question!"),
        ("kind words", "I hope this helps, take care."),
        ("tells what one should do", "You should be responsible."),
        ("asks back", "Which one of them do you mean?"),
        ("cut off", "It boils at a lower"),
        ("full stop at the end", "It does."),
        ("opens with a phrase", "Sure! It boils sooner."),
        ("begins in lower case", "it boils sooner"),
        ("bullet list", "- air\n- pressure"),
        ("numbered list", "1. air\n2. pressure"),
        ("headings", "## Why\nthe air"),
        ("bold text", "The **air** is thin."),
        ("table", "| a | b |\n| 1 | 2 |"),
        ("code", "`boil()` says so"),
        ("more paragraphs", "The air.\n\nThe water."),
        ("emoji", "It does \U0001f600"),
        ("speaks of I", "I think I know."),
        ("speaks to you", "You see your water boil."),
        ("speaks of we", "Let's see what our water does."),
        ("negates more", "It does not, never."),
        ("exclaims", "It does!"),
        ("asks questions", "Does it? It does."),
        ("takes up the question's words", "Water will boil sooner on a mountain."),
        ("more numbers", "At 90 or 80 degrees."),
        ("calculates", "2 + 2 = 4"),
        ("quotes more", 'It "boils".'),
        ("more commas", "Air, water, and so, on."),
        ("more brackets", "Air (thin) is."),
        ("more colons", "Air: thin."),
        ("links", "See https://example.org"),
        ("repeats sentences", "The air is thin. The air is thin. The air is thin."),
        ("repeats phrases", "the air is thin and the air is thin and the air is thin"),
        ("letters beyond English", "Weil die Luft dünner ist."),
        (
            "another language than the question",
            "Weil die Luft oben dünner wird und das Wasser dort früher kocht als im Tal.",
        ),
        ("longer", PLAIN + " " + PLAIN),
        ("longer sentences", PLAIN.replace(",", "") + " and so on and so forth until the end of all days"),
        ("longer words", "Atmospheric pressure considerations notwithstanding."),
    ],
)
def test_an_answer_with_it_has_more_of_it(trait: str, answer: str) -> None:
    than = "Das Wasser kocht eher." if trait == "nothing" else PLAIN
    than = "It boils at a lower" if trait == "full stop at the end" else than
    assert more(trait, answer, than)


def test_each_trait_was_tried_and_has_its_own_words() -> None:
    tried = test_an_answer_with_it_has_more_of_it.pytestmark[0].args[1]  # type: ignore[attr-defined]
    named = [trait.more for family in TRAITS for trait in family.traits]
    assert sorted(named) == sorted(trait for trait, _ in tried) and len(set(named)) == len(named)
    words = [word for family in TRAITS for trait in family.traits for word in (trait.more, trait.less)]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("family", TRAITS)
@pytest.mark.parametrize(
    "text", ["", " \n", "a", "\x00\u202e\ud800", "?!" * 50, "<b>" * 20, "-\n" * 40, "漢字仮名" * 20]
)
def test_any_text_has_a_finite_measure_of_each_trait(family: type[Family], text: str) -> None:
    found = family.measure(Reading.of(text, text))
    assert len(found) == len(family.traits) and np.isfinite(np.array(found, dtype=float)).all()


@pytest.mark.parametrize(
    "unit",
    ["a ", "**", "|", "# ", "`", "sorry, but ", "very really so ", "not ", "1. ", "\n\n", "(", "great very "],
)
def test_the_time_is_linear_in_hostile_text(unit: str) -> None:
    text = unit * (60_000 // len(unit))
    started = time.process_time()
    measured([(text, text)], TRAITS)
    assert time.process_time() - started < 5


def test_tags_are_traits_and_join_those_that_are_measured() -> None:
    texts = [("q", "Whole."), ("q", "Whole too."), ("q", "I can't help with that.")]
    tags = [{"completeness": "cut-off", "tone": "kind"}, None, {"helpfulness": "refusing", "topic": "off"}]
    table = measured(texts, TRAITS, tags)
    names = [trait.more for trait in table.traits]
    assert len(names) == len(set(names)) and {"kind", "off topic"} <= set(names)
    column = {
        name: table.values[:, names.index(name)].tolist()
        for name in ("cut off", "kind", "off topic", "refuses")
    }
    assert column == {"cut off": [1, 0, 0], "kind": [1, 0, 0], "off topic": [0, 0, 1], "refuses": [0, 0, 1]}
