"""The words of the pages: each is one of the terminology's, and one click away from every page."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.session.words import WORDS, matching

ROOT = Path(__file__).parents[3]
TERMS = (ROOT / "docs" / "terminology.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("word", WORDS)
def test_each_is_a_word_of_the_terminology(word: str):
    assert f"| **{word}** " in TERMS, f"docs/terminology.md has no {word!r}"


def dialog_page() -> None:
    from app.session.words import words_button

    words_button()


def test_one_click_shows_them_all():
    script = AppTest.from_function(dialog_page).run()
    assert not script.markdown
    script.button(key="words_button").click().run()
    assert not script.exception and len(script.markdown) == len(WORDS)


def test_a_word_is_found_by_its_name_and_by_what_it_means():
    assert list(matching("COLLATERAL")) == ["target, complement"]
    assert set(matching("flip")) == {"pair, flip"}
    assert matching("zebra") == {} and matching("") == WORDS
