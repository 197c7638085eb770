"""Tokens as HTML: a browser must read back the text that went in, and nothing but the text."""

from __future__ import annotations

import tomllib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.draw.token_view import FULL, LONG_PROMPT, NEGATIVE, STRONG, token_html

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>\' onmouseover="alert(3)" &lt;b&gt; <!--'


class Reader(HTMLParser):
    """What a browser would make of it: tags with attributes, and the text outside style and summary."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.within: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.within.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "summary"} & set(self.within):
            self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.within == []
    return reader


texts = st.lists(st.text(max_size=8).map(lambda t: t.replace("\r", "")) | st.just(HOSTILE), max_size=12)


@pytest.mark.slow
@given(texts, st.data())
def test_the_pieces_join_to_the_text_and_bring_no_markup(pieces: list[str], data: st.DataObject) -> None:
    z = np.array(
        data.draw(st.lists(st.sampled_from([0.0, 0.4, -2.0]), min_size=len(pieces), max_size=len(pieces)))
    )
    scored = data.draw(st.none() | st.integers(0, max(len(pieces) - 1, 0)))
    until = data.draw(st.integers(0, len(pieces)))
    page = read(token_html(pieces, z, scale=1.0, scored=scored, muted_until=until))
    assert page.text.replace("↵\n", "\n") == "".join(pieces).replace("↵\n", "\n")
    assert {tag for tag, _ in page.tags} <= {"style", "div", "span"}
    assert {name for _, attributes in page.tags for name in attributes} <= {"class", "style", "title"}
    for _, attributes in page.tags:
        assert not any(word in (attributes.get("title") or "") for word in "<>\"'")


def test_every_active_token_and_the_scored_one_are_marked_and_no_other() -> None:
    page = read(token_html(list("abcdef"), np.array([0, 1.5, 0, -0.5, 0, 0]), scale=2.0, scored=5))
    marked = [attributes for tag, attributes in page.tags if tag == "span"]
    assert [m["title"] for m in marked] == ["z = 1.5", "z = -0.5", "z = 0"]
    assert [m.get("class") for m in marked] == [None, None, "scored"]
    assert marked[0]["style"] != marked[1]["style"]


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_any_scale_gives_a_colour_a_browser_takes(scale: float) -> None:
    page = read(token_html(["a"], np.array([3.0]), scale=scale))
    strength = float(str(page.tags[-1][1]["style"]).rsplit(",", 1)[1].rstrip(") "))
    assert 0.1 <= strength <= 0.8


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("shade", [STRONG, NEGATIVE])
def test_text_on_the_strongest_shade_can_be_read(theme: str, shade: str) -> None:
    config = tomllib.loads(
        (Path(__file__).parents[3] / "app" / ".streamlit" / "config.toml").read_text("utf-8")
    )
    ink, paper = (
        np.array([int(config["theme"][theme][name][i : i + 2], 16) for i in (1, 3, 5)])
        for name in ("textColor", "backgroundColor")
    )
    ground = FULL * np.array([int(part) for part in shade.split(",")]) + (1 - FULL) * paper
    light, dark = sorted((luminance(ink), luminance(ground)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def luminance(colour: np.ndarray) -> float:
    """Of WCAG 2, from sRGB 0 to 255."""
    part = np.asarray(colour) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_a_long_prompt_folds_only_when_asked_and_says_how_much_it_hides() -> None:
    pieces = ["x "] * 300 + ["answer"]
    z = np.zeros(301)
    z[[3, 4, 300]] = 1.0
    folded = token_html(pieces, z, scale=1.0, muted_until=300, fold_prompt=True)
    assert "Prompt, 300 tokens, active at 2" in folded
    assert read(folded).text == "".join(pieces)
    assert "details" not in token_html(pieces, z, scale=1.0, muted_until=300)
    short = token_html(
        pieces[-LONG_PROMPT:], z[-LONG_PROMPT:], scale=1.0, muted_until=LONG_PROMPT, fold_prompt=True
    )
    assert "details" not in short


def test_tokens_without_a_mark_cost_nothing() -> None:
    bare = len(token_html([], np.zeros(0), scale=1.0))
    assert len(token_html(["word "] * 5000, np.zeros(5000), scale=1.0, muted_until=4000)) < bare + 26_000
