"""The card of a feature: what it says, to whom, and that no text in it is markup."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from app.components.feature_card import _command, _feature
from app.features.card import FeatureCard, card_html, ordinal, read_card
from app.session.engine import Choice, Engine, load_engine
from app.session.stored_pairs import StoredPairs
from feature_db import FeatureFilter, Store, StoreError
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.roles import People
from sarm_core.steering import Steering
from tests.app.store_builder import DEAD, HOSTILE_FEATURE, LABELLED


@pytest.fixture
def engine(app_env: None, store_path: Path, checkpoint: Path) -> Engine:
    return load_engine(Choice(str(checkpoint)))


def card(engine: Engine, feature: int, name: str = "") -> FeatureCard:
    return read_card(engine, name, feature, on_panel=False, silenced=False, may_label=True)


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, markup: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"

    def acts(self) -> list[str]:
        return [str(attrs["data-act"]) for tag, attrs in self.tags if tag == "button"]


def test_ordinals() -> None:
    wanted = {1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 21: "21st", 113: "113th"}
    assert {number: ordinal(number) for number in wanted} == wanted and ordinal(1022) == "1,022nd"


def test_a_card_has_name_mark_weight_with_rank_answers_and_a_histogram(engine: Engine) -> None:
    found = card(engine, 7)
    page = Page(card_html(found))
    head = engine.scorer.head
    rank = 1 + sum(abs(float(w)) > abs(float(head[7])) for w in head)
    assert "Python, sorted; has code" in page.text and "suggested" in page.text
    assert f", {ordinal(rank)} of {len(head)} by size" in page.text
    assert len(found.answers) == 3 and all(said.answer in page.text for said in found.answers)
    assert "svg" in [tag for tag, _ in page.tags] and page.acts() == ["open", "add", "silence", "label"]
    with engine.store() as store:
        record = store.feature(7).record
    assert record.histogram_counts is not None
    assert sum(tag == "rect" for tag, _ in page.tags) == len(np.asarray(record.histogram_counts))


def test_the_pairs_that_turn_are_those_of_the_steering_that_silences_it(engine: Engine) -> None:
    turns = [{"role": "user", "content": "q"}]
    with engine.store() as store, store.write() as conn:
        # As if the stored answers were to one prompt: `make_harvest` asks a question each.
        conn.execute("UPDATE texts SET prompt = 'one' WHERE id <= 20")
        assert store.text(1).messages != turns
    with engine.store() as store:
        pairs = StoredPairs.read(store, engine.scorer.head)
    assert pairs is not None and len(pairs.left) == 190
    counts = set()
    for feature in range(20):
        found = pairs.flips(Steering(scale={feature: 0.0}))
        assert card(engine, feature).turned == (found.turned, found.pairs)
        assert (
            f"silenced: {found.turned} of {found.pairs} stored pairs turn"
            in Page(card_html(card(engine, feature))).text
        )
        counts.add(found.turned)
    assert len(counts) > 1


def test_a_dispute_is_told_label_by_label_with_verdicts(engine: Engine) -> None:
    found = card(engine, LABELLED)
    assert found.note.mark == "suggested, disputed" and not found.hidden
    assert found.sources[:2] == (
        "ann: “refusal wording” (verdict 4 of 5, safety)",
        "bo: “apologies” (verdict 2 of 5, style)",
    )
    with engine.store() as store:
        People(store).set_role(None, "chief", "admin")
        Labels(store, "chief").adjudicate(LABELLED, text="refusals", verdict=4)
    settled = card(engine, LABELLED)
    assert (settled.note.name, settled.note.mark) == ("refusals", "")
    assert settled.sources == ("settled by chief, verdict 4 of 5",)


def test_one_label_is_a_name_and_says_that_it_is_one(engine: Engine) -> None:
    with engine.store() as store:
        Labels(store, "ann").label(9, "sorts lists", verdict=3)
        Labels(store, "ann").label(10, "nothing", verdict=2)
    named, unnamed = card(engine, 9), card(engine, 10)
    assert (named.note.name, named.note.mark) == ("sorts lists", "1 label")
    assert unnamed.note.mark == "example, no pattern" and "verdict 2 of 5" in unnamed.sources[0]


def test_who_labels_blind_reads_nothing_of_others(engine: Engine) -> None:
    with engine.store() as store:
        People(store).set_role(None, "chief", "admin")
        Queues(store, "chief").make("all", FeatureFilter(ids=[LABELLED, 9]), sort="id", overlap=3)
    assert not card(engine, 9, "cy").hidden, "nobody said anything of it"
    blind = card(engine, LABELLED, "cy")
    words = Page(card_html(blind)).text
    assert blind.hidden and blind.note.mark == "suggested" and "hidden until your own label is in" in words
    assert "ann" not in words and "refusal wording" not in words and "apologies" not in words
    assert "refusal wording" in Page(card_html(card(engine, LABELLED, "ann"))).text


def test_texts_of_others_are_no_markup(engine: Engine) -> None:
    page = Page(card_html(card(engine, HOSTILE_FEATURE)))
    assert "<script>document.body" in page.text
    allowed = {"header", "span", "strong", "div", "p", "ul", "li", "svg", "rect", "footer", "button"}
    assert {tag for tag, _ in page.tags} <= allowed
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]


def test_a_feature_without_a_harvest_has_its_weight_and_no_other_is_made_up(engine: Engine) -> None:
    with Store.open(engine.store_path) as store, store.write() as conn:
        for table, column in (("examples", "feature"), ("feature_details", "feature"), ("features", "id")):
            conn.execute(f"DELETE FROM {table} WHERE {column} = 30")
    found = card(engine, 30)
    assert found.shape is None and found.answers == () and found.note.density is None
    assert "no answer" in Page(card_html(found)).text
    assert card(engine, DEAD).answers == ()
    for wrong in (-1, 64, 10**9):
        with pytest.raises(StoreError, match="0 to 63"):
            card(engine, wrong)


def test_what_the_browser_sends_is_a_feature_and_a_known_act_or_nothing() -> None:
    assert _command({"act": "add", "feature": 3}) == ("add", 3) and _feature({"feature": 3}) == 3
    for raw in (None, 3, {}, {"act": "add"}, {"act": "drop", "feature": 3}, {"act": "add", "feature": True}):
        assert _command(raw) is None
    for feature in ("3", -1, 2**31, 1.0, None, True):
        assert _feature({"feature": feature}) is None
