"""The card of a feature: what it is called and who says so, what it fires on and what it does. One for all pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.features.activation_chart import Shape, shape_of
from app.features.answer_chat import answer_of
from app.features.example_view import strength
from app.features.suggested import described, how_far
from app.features.view import colour_scale
from app.session.engine import Engine, FeatureNote
from app.session.feature_title import about_mark
from app.session.stored_pairs import stored_pairs
from feature_db import FeatureView, Store, StoreError
from feature_db.features.evidence import StoredExample
from feature_db.label.blindness import titles_for, with_opinions
from feature_db.label.labels import Labels
from feature_db.records import LABEL_METHOD
from sarm_core.figures import percent, signed
from sarm_core.markup import Markup, cut, join, tag

__all__ = ["FeatureCard", "Said", "card_html", "ordinal", "read_card", "refused_html"]

ANSWERS = 3
ASKED_WIDTH, SAID_WIDTH = 90, 170
MOST_LINES = 3
"""Labels that are told one by one"""
BARS_WIDTH, BARS_HEIGHT = 220, 34


@dataclass(frozen=True)
class Said:
    """One of the strongest answers: how strong in words, what was asked, and how the answer begins."""

    how: str
    asked: str
    answer: str


@dataclass(frozen=True)
class FeatureCard:
    """Everything on a card, for the eyes of one person."""

    feature: int
    note: FeatureNote
    """Name, its mark and density"""
    sources: tuple[str, ...]
    """Who says so: labels with their verdicts, what was settled, or how a suggestion was made and holds"""
    hidden: bool
    """There are labels that must not be read yet"""
    weight: float
    rank: int
    """1 for the largest |w|; features of one |w| share the first place of theirs"""
    n_features: int
    turned: tuple[int, int] | None
    """(pairs of stored answers to one prompt that turn around without it, pairs); None where the store has none"""
    shape: Shape | None
    answers: tuple[Said, ...]
    on_panel: bool
    silenced: bool
    may_label: bool


def read_card(
    engine: Engine, name: str, feature: int, *, on_panel: bool, silenced: bool, may_label: bool
) -> FeatureCard:
    """The card of a feature as `name` ("" for nobody) may read it. Raises StoreError for one that there is not."""
    pairs = stored_pairs(engine)
    head = engine.scorer.head
    with engine.store() as store:
        feature = store.check_feature(feature)
        hidden = Labels(store, name).hidden(feature) is not None
        title = titles_for(store, name, [feature]).get(feature)
        try:
            view: FeatureView | None = store.feature(feature)
        except StoreError:  # not harvested: the model's own figures are all there is
            view = None
        top = store.examples(feature, kind="top", limit=ANSWERS) if view is not None else []
        said = view is not None and bool(view.labels or with_opinions(store, [feature]))
        sources = () if view is None else _sources(store, view, title.text if title else "", hidden)
    note = FeatureNote(
        title.text if title else "",
        title.mark if title else "",
        view.record.density if view is not None else None,
    )
    size = abs(float(head[feature]))
    return FeatureCard(
        feature,
        note,
        sources,
        hidden and said,
        float(head[feature]),
        int((np.abs(head) > size).sum()) + 1,
        len(head),
        None if pairs is None else pairs.silenced(feature),
        None if view is None else shape_of(view.record),
        () if view is None else _answers(view, top),
        on_panel,
        silenced,
        may_label,
    )


def _sources(store: Store, view: FeatureView, name: str, hidden: bool) -> tuple[str, ...]:
    """Who says what the feature is called. Labels one by one, so that a dispute shows what it is about."""
    feature = view.record.id
    settled = None if hidden else Labels(store, "").adjudication(feature)
    if settled is not None:
        by = f"settled by {settled.annotator}"
        return (by if settled.verdict is None else f"{by}, verdict {settled.verdict} of 5",)
    lines = [] if hidden else [_label(label) for label in view.labels]
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"and {len(lines) - MOST_LINES} more labels"]
    for item in view.suggestions:
        if item["text"] == name and not (hidden and item["method"] == LABEL_METHOD):
            whole = described(item)
            lines.append("; ".join([*([] if whole == name else [whole]), *how_far(item)]))
            break
    return tuple(lines)


def _label(label: dict[str, object]) -> str:
    verdict = "no verdict" if label["verdict"] is None else f"verdict {label['verdict']} of 5"
    kind = f", {label['category']}" if label["category"] else ""
    return f"{label['annotator']}: “{cut(label['text'], 60)}” ({verdict}{kind})"


def _answers(view: FeatureView, top: Sequence[StoredExample]) -> tuple[Said, ...]:
    scale = colour_scale(view.record, top)
    found = []
    for example in top:
        turns = example.text.messages
        answer = answer_of(example).content or "".join(example.text.tokens or ())
        asked = str(turns[-2].get("content") or "") if len(turns) > 1 else ""
        found.append(
            Said(strength(example.activation, scale), cut(asked, ASKED_WIDTH), cut(answer, SAID_WIDTH))
        )
    return tuple(found)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, ..., 11th, ..., 21st."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 // 10 != 1 else "th"
    return f"{number:,}{ending}"


def card_html(card: FeatureCard) -> Markup:
    """A card as HTML; every text in it is escaped. What its buttons do is in `data-act`."""
    return join(
        [
            _title(card),
            _who(card),
            tag("ul", *(_fact(fact) for fact in _facts(card)), class_="facts"),
            _bars(card.shape) if card.shape is not None and card.shape.counts.size else "",
            _said(card.answers),
            _actions(card),
        ]
    )


def refused_html(why: str) -> Markup:
    """In the place of a card that cannot be made."""
    return tag("p", why, class_="none", id="card-name")


def _title(card: FeatureCard) -> Markup:
    name = card.note.name or "unlabelled"
    mark = (
        tag("span", card.note.mark, class_="mark", title=about_mark(card.note.mark)) if card.note.mark else ""
    )
    kind = "name" if card.note.name else "name none"
    return tag(
        "header",
        tag("span", f"#{card.feature}", class_="id"),
        tag("strong", name, class_=kind, dir="auto", id="card-name"),
        mark,
    )


def _who(card: FeatureCard) -> Markup:
    lines = list(card.sources)
    if card.hidden:
        lines.append("What others said of it is hidden until your own label is in.")
    if about := about_mark(card.note.mark):
        lines.insert(0, about)
    elif not lines:
        lines.append("Nobody has said yet what it means.")
    return tag("div", *(tag("p", line, dir="auto") for line in lines), class_="who")


def _fact(fact: str) -> Markup:
    return tag("li", fact)


def _facts(card: FeatureCard) -> list[str]:
    facts = [f"weight {signed(card.weight)}, {ordinal(card.rank)} of {card.n_features:,} by size"]
    if card.note.density is not None:
        facts.append(f"fires in {percent(card.note.density, 2)} of the harvested positions")
    if card.turned is not None:
        turned, pairs = card.turned
        facts.append(f"silenced: {turned:,} of {pairs:,} stored pairs turn")
    return facts


def _bars(shape: Shape) -> Markup:
    """The histogram of its activations as a small picture: a bar a bin, bins as they are in the store."""
    top, n = int(shape.counts.max()), len(shape.counts)
    step = BARS_WIDTH / n
    bars = (
        tag(
            "rect",
            x=f"{place * step:.1f}",
            y=f"{BARS_HEIGHT * (1 - count / max(top, 1)):.1f}",
            width=f"{max(step - 1, 0.5):.1f}",
            height=f"{BARS_HEIGHT * count / max(top, 1):.1f}",
        )
        for place, count in enumerate(shape.counts.tolist())
    )
    words = f"How strongly it fires: z from {shape.low[0]:.3g} to {shape.high[-1]:.3g}"
    picture = tag(
        "svg",
        *bars,
        viewBox=f"0 0 {BARS_WIDTH} {BARS_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=words,
    )
    ends = (f"{shape.low[0]:.2g}", "z, how strongly it fires", f"{shape.high[-1]:.2g}")
    return tag("div", picture, tag("div", *(tag("span", end) for end in ends)), class_="bars")


def _said(answers: Sequence[Said]) -> Markup:
    if not answers:
        return tag("p", "The store keeps no answer in which it fires.", class_="none")
    return tag(
        "div",
        *(
            tag(
                "div",
                tag("p", said.asked, class_="asked", dir="auto") if said.asked else "",
                tag("p", said.answer, class_="answer", dir="auto"),
            )
            for said in answers
        ),
        class_="answers",
        aria_label="Answers in which it is strongest",
        role="group",
    )


def _actions(card: FeatureCard) -> Markup:
    def button(act: str, words: str, *, on: bool = True) -> Markup:
        return tag("button", words, type="button", data_act=act, disabled=None if on else "")

    return tag(
        "footer",
        button("open", "Open"),
        button("add", "On the sliders" if card.on_panel else "Add to sliders", on=not card.on_panel),
        button("unsilence", "As trained") if card.silenced else button("silence", "Silence"),
        button("label", "Label it") if card.may_label else "",
    )
