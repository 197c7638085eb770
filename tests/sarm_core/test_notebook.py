"""What results show in a notebook: the numbers of the engine, escaped, adding up."""

from __future__ import annotations

import pickle
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from sarm_core.features import FeatureMatrix
from sarm_core.figures import signed
from sarm_core.notebook import bar, drawn
from sarm_core.score.scorer import Scored
from sarm_core.steering import Steering
from sarm_core.text.conversation import TokenSequence

HOSTILE = '<img src=x onerror="alert(1)">'


class Cells(HTMLParser):
    """The text of each cell, row by row, and the names of all elements and attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.rows: list[list[str]] = []
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def sequence(answer: str) -> TokenSequence:
    pieces = ["<|im_start|>", "Q?", "<|im_end|>", answer, "<|im_end|>"]
    stops = np.cumsum([len(piece) for piece in pieces])
    spans = np.stack([stops - [len(piece) for piece in pieces], stops], axis=1).astype(np.int32)
    return TokenSequence(np.arange(5, dtype=np.int32), 0, 3, "".join(pieces), spans)


@pytest.fixture
def scored() -> Scored:
    rng = np.random.default_rng(3)
    ids = np.stack([rng.choice(60, 20, replace=False) for _ in range(3)])
    matrix = FeatureMatrix.from_topk(ids, rng.normal(size=(3, 20)), rng.normal(size=60))
    return Scored(matrix, (sequence("Yes."), sequence(HOSTILE), sequence("No.")))


def number(shown: str) -> float:
    return float(shown.replace("\u2212", "-"))


def test_a_difference_is_the_pair_it_was_and_draws_what_adds_up(scored: Scored):
    features, parts = scored.difference(0, 1)
    assert parts.sum() == pytest.approx(float(scored.rewards[0] - scored.rewards[1]), abs=1e-5)
    np.testing.assert_array_equal(features, scored.matrix.difference(0, 1)[0])
    shown = Cells(scored.difference(0, 1)._repr_html_())
    head, *rows = shown.rows
    assert head == ["feature", "", "difference", "left", "right"]
    assert sum(number(row[2]) for row in rows) == pytest.approx(parts.sum(), abs=0.01)
    largest = np.argmax(np.abs(parts))
    assert rows[0][:1] == [f"#{features[largest]}"] and rows[0][2] == signed(parts[largest])
    assert rows[-1][0] == f"{len(features) - 12} other features"


def test_contributions_add_up_to_the_reward(scored: Scored):
    frame = scored.contributions(1).frame()
    assert list(frame) == ["feature", "activation", "weight", "contribution"]
    assert frame["contribution"].sum() == pytest.approx(float(scored.rewards[1]), abs=1e-5)
    shown = Cells(scored.contributions(1)._repr_html_())
    assert sum(number(row[2]) for row in shown.rows[1:]) == pytest.approx(float(scored.rewards[1]), abs=0.01)


def test_names_stand_beside_numbers_and_cannot_become_markup(scored: Scored):
    named = scored.named({int(i): HOSTILE for i in range(60)})
    for text in (
        named.difference(0, 1)._repr_html_(),
        named.contributions(0)._repr_html_(),
        named._repr_html_(),
    ):
        shown = Cells(text)
        assert "img" not in shown.elements and not {"onerror", "src", "href"} & shown.attributes
        assert "script" not in shown.elements and "http" not in text
    assert HOSTILE in Cells(named.difference(0, 1)._repr_html_()).rows[1][0]
    assert set(named.difference(0, 1).frame()["name"]) == {HOSTILE}
    assert named.steered(Steering(scale={0: 2.0})).names == named.names


def test_answers_are_a_frame_in_their_order(scored: Scored):
    frame = scored.frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame["answer"]) == ["Yes.", HOSTILE, "No."]
    np.testing.assert_array_equal(frame["reward"].to_numpy(np.float32), scored.rewards)
    assert frame["behind_best"].min() == 0 and (frame["tokens"] == 5).all()
    shown = Cells(scored._repr_html_())
    assert [row[1] for row in shown.rows[1:]] == ["Yes.", HOSTILE, "No."]


@pytest.mark.parametrize("end", ["<br>", "</>", "<3>"])
def test_an_answer_keeps_an_end_that_only_looks_like_a_tag(scored: Scored, end: str):
    whole = sequence("Yes.")
    text = str(whole.text).removesuffix("<|im_end|>") + end
    spans = whole.spans.copy()
    spans[-1, 1] = len(text)
    cut = Scored(scored.matrix.select([0]), (TokenSequence(whole.input_ids, 0, 3, text, spans),))
    assert cut.texts == [f"Yes.{end}"]


def test_more_answers_than_are_shown_are_counted(scored: Scored):
    many = Scored(scored.matrix.select(np.zeros(70, int)), scored.sequences[:1] * 70)
    assert "20 more answers are not shown" in many._repr_html_()
    assert len(Cells(many._repr_html_()).rows) == 51
    assert len(Scored(scored.matrix.select(np.zeros(0, int)), ())._repr_html_()) > 0


def test_a_difference_can_be_kept_elsewhere(scored: Scored):
    for one, two in zip(
        pickle.loads(pickle.dumps(scored.difference(0, 1))), scored.difference(0, 1), strict=True
    ):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("value", "place"), [(1.0, "left:50.00%;width:25.00%"), (-2.0, "left:0.00%;width:50.00%")]
)
def test_a_bar_begins_in_the_middle(value: float, place: str):
    assert place in bar(value, 2.0)


def test_a_table_without_rows_is_one():
    assert Cells(drawn("none", ("a", "b"), [], text=(0,))).rows == [["a", "b"]]
