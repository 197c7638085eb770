"""The page of one feature: which one, what is known of it, and why something cannot be shown."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import streamlit as st

from app.features.activation_chart import Mark
from app.features.example_view import STRENGTHS, strength
from app.features.suggested import described, how_far
from app.session import session
from app.session.engine import Engine
from app.session.pages import Page
from feature_db import FeatureView, StoreError
from feature_db.features.evidence import StoredExample
from feature_db.records import LABEL_METHOD, FeatureRecord

__all__ = [
    "AnswerHit",
    "Group",
    "answers_where_it_fires",
    "colour_scale",
    "empty_bands",
    "example_groups",
    "figures_html",
    "harvest_command",
    "labels_html",
    "marks_of",
    "open_feature",
    "read_feature",
    "say_harvest",
    "wanted_feature",
    "without_labels",
]

FEW = 5
_BANDS = {
    "strong": "it fires at half of its largest or more",
    "medium": "it fires at a quarter to half of its largest",
    "weak": "it fires at less than a quarter of its largest",
    "negative": "its activation is below 0",
}


def open_feature(feature: int, answer: Mapping[str, Any] | None = None) -> NoReturn:
    """Go to the page of `feature`, from a callback or the body of any page.

    `answer` is the answer the person was looking at: {"title": str, "activation": z}; the feature's
    histogram marks it. Does not return.
    """
    st.session_state["from_answer"] = (
        None
        if answer is None
        else {
            "title": str(answer["title"]),
            "activation": float(answer["activation"]),
            "feature": int(feature),
        }
    )
    st.session_state["feature"] = int(feature)
    st.switch_page(Page.FEATURE.path, query_params={"feature": str(int(feature))})


def wanted_feature(value: Any, n_features: int) -> int:
    """The number in the box or the address as a feature. Raises StoreError with what is possible."""
    try:
        feature = int(value)
        if feature != float(value):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise StoreError(f"a feature is a number from 0 to {n_features - 1}") from None
    if not 0 <= feature < n_features:
        raise StoreError(f"there is no feature {feature}: this model's run from 0 to {n_features - 1}")
    return feature


def harvest_command(engine: Engine) -> str:
    """What fills this store."""
    source, path = engine.choice.source, engine.store_path
    return f"sarm harvest corpus.jsonl --model {source} --db {path}"


def say_harvest(engine: Engine, why: str) -> None:
    """That something is unknown for lack of a harvest, with the command that would fill the store."""
    st.warning(why, icon=":material/inventory_2:")
    st.code(harvest_command(engine), language="bash", wrap_lines=True)


def read_feature(engine: Engine, feature: int) -> FeatureView | None:
    """What the store has of a feature; None when it was not harvested. Raises StoreError."""
    with engine.store() as store:
        if not store.features_page(limit=0).total:
            return None
        try:
            return store.feature(feature)
        except StoreError:
            store.check_feature(feature)
            return None


def without_labels(view: FeatureView) -> FeatureView:
    """A feature for whoever must not read its labels yet: suggestions of programs stay, they are nobody's opinion."""
    programs = [suggestion for suggestion in view.suggestions if suggestion["method"] != LABEL_METHOD]
    return replace(view, labels=[], suggestions=programs)


def labels_html(view: FeatureView, tests: Mapping[str, str] | None = None) -> str:
    """Labels, each with its author and test, then suggestions, each with how far it holds. Nothing is merged.

    `tests` are words about a label's test by the label's uid.
    """
    lines = []
    for label in view.labels:
        facts = [str(label["annotator"]), _day(label["time"])]
        if label["verdict"] is not None:
            facts.append(f"one meaning {label['verdict']} of 5")
        if label["category"]:
            facts.append(str(label["category"]))
        if label["confidence"] is not None:
            facts.append(f"confidence {label['confidence']:.0%}")
        if test := (tests or {}).get(label["uid"]):
            facts.append(test)
        lines.append(_line("label", str(label["text"]), facts, str(label["note"] or "")))
    for suggestion in view.suggestions:
        lines.append(_line("suggested", described(suggestion), how_far(suggestion), ""))
    return f'<style>{_CSS}</style><div class="sarm-names">{"".join(lines)}</div>'


def figures_html(feature: int, head: npt.NDArray[np.floating], view: FeatureView | None) -> str:
    """Weight and rank from the model itself; density, mean, maximum and effect where the store knows them."""
    weight = float(head[feature])
    rank = int((np.abs(head) > abs(weight)).sum()) + 1
    figures = [("head weight w", f"{weight:+.4f}", f"number {rank:,} of {len(head):,} by |w|")]
    if view is not None:
        record = view.record
        if record.density is not None:
            of = "of unknown counts"
            if record.firing_count is not None and record.denominator:
                of = f"{record.firing_count:,} of {record.denominator:,} positions"
            figures.append(("density", f"{record.density:.3%}", of))
        if record.mean is not None:
            figures.append(("mean z", f"{record.mean:.4g}", "where it fires"))
        if record.max is not None:
            figures.append(("max z", f"{record.max:.4g}", "of the harvest"))
        if view.effect is not None:
            figures.append(("|w| × mean z", f"{view.effect:.3g}", "over all positions"))
    cells = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{value}<small>{more}</small></dd></div>"
        for name, value, more in figures
    )
    return f'<style>{_CSS}</style><dl class="sarm-figures">{cells}</dl>'


def _line(kind: str, text: str, facts: Sequence[str], note: str) -> str:
    more = f' title="{html.escape(note)}"' if note else ""
    return (
        f'<div class="{kind}"{more}><i>{kind}</i><b>{html.escape(text)}</b>'
        f"<span>{html.escape(' · '.join(facts))}</span></div>"
    )


def _day(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, tz=UTC).strftime("%Y-%m-%d")


def colour_scale(record: FeatureRecord, examples: Sequence[StoredExample]) -> float:
    """The activation of full colour: one number for all texts of a feature, whatever is on the page.

    The largest |z| of the harvest, or among all examples where that is larger: some have no statistics of their own.
    """
    known = [abs(record.max)] if record.max is not None else []
    if record.histogram_edges is not None and len(np.asarray(record.histogram_edges)):
        known.append(max(0.0, -float(np.asarray(record.histogram_edges)[0])))
    return max([*known, *(abs(example.activation) for example in examples)], default=0.0)


@dataclass(frozen=True)
class Group:
    """Examples that are shown together: the strongest, one band of activation, a sample."""

    key: str
    title: str
    help: str
    examples: tuple[StoredExample, ...]


def example_groups(examples: Sequence[StoredExample], scale: float) -> list[Group]:
    """Examples by how strongly the feature fires in them, in words, those there are, strongest first.

    `scale` is the feature's largest |z|. The bands of a harvest, or of a file, are put together by the share of it that
    an example reaches (`STRENGTHS`); of each band the first of its sample come first.
    """
    groups = []
    top = tuple(example for example in examples if example.kind == "top")
    if top:
        groups.append(Group("top", "Strongest", "Its strongest texts; a text is listed once", top))
    banded = sorted(
        (example for example in examples if example.kind == "band"),
        key=lambda example: (example.rank, -example.activation),
    )
    for word, words in _BANDS.items():
        members = tuple(example for example in banded if strength(example.activation, scale) == word)
        if members:
            limits = _limits(word, scale)
            groups.append(
                Group(word, word.capitalize(), f"A sample of the texts in which {words}{limits}", members)
            )
    for kind, title, words in (
        ("random", "Random", "A random sample of all texts in which it fires"),
        ("silent", "Silent", "A random sample of texts in which it does not fire"),
    ):
        members = tuple(example for example in examples if example.kind == kind)
        if members:
            groups.append(Group(kind, title, words, members))
    return groups


def _limits(word: str, scale: float) -> str:
    if word not in STRENGTHS:
        return ""
    below = min((share for share in STRENGTHS.values() if share > STRENGTHS[word]), default=1.0)
    return f" ({STRENGTHS[word] * scale:.3g} to {below * scale:.3g})"


def empty_bands(examples: Sequence[StoredExample], scale: float) -> str:
    """Which of strong, medium and weak have no example to read, and why; "" where each has one.

    `examples` are all of a feature, those kept for testing labels included: a band may have no others.
    """
    banded = [example for example in examples if example.kind == "band"]
    if not banded:
        return ""
    said = []
    for word in STRENGTHS:
        those = [example for example in banded if strength(example.activation, scale) == word]
        if not those:
            said.append(f"{word}: no kept text")
        elif all(example.purpose != "label" for example in those):
            said.append(f"{word}: {len(those)} kept aside for testing labels")
    return "; ".join(said)


@dataclass(frozen=True)
class AnswerHit:
    """An answer of the compare page in which a feature is active."""

    index: int
    title: str
    activation: float
    contribution: float
    """w z of the plain model"""
    steered: float
    """w z under the steering in force"""


def answers_where_it_fires(engine: Engine, feature: int) -> list[AnswerHit] | None:
    """Active answers of the session's comparison, largest |w z| first; None without a comparison."""
    now = session.comparison()
    if now is None:
        return None
    scored = session.score(engine, now)
    rows, z = scored.matrix.column(feature)
    weight = float(scored.matrix.head[feature])
    steered_rows, steered_z = scored.steered(session.steering().current).matrix.column(feature)
    steered = dict(zip(steered_rows.tolist(), steered_z.tolist(), strict=True))
    titles = now.titles()
    hits = [
        AnswerHit(row, titles[row], value, weight * value, weight * steered.get(row, 0.0))
        for row, value in zip(rows.tolist(), z.tolist(), strict=True)
    ]
    return sorted(hits, key=lambda hit: -abs(hit.contribution))


def marks_of(feature: int, hits: Sequence[AnswerHit] | None) -> list[Mark]:
    """Marks for the histogram: answers at hand, and strongly the one the person came from."""
    marks = [Mark(hit.title, hit.activation) for hit in hits or ()]
    came = st.session_state.get("from_answer")
    if came:
        came.setdefault("feature", feature)  # set by a page that names no feature: the first one shown
        if came["feature"] == feature:
            marks.append(Mark(str(came["title"]), float(came["activation"]), strong=True))
    return marks


_CSS = """
.sarm-names { display: flex; flex-direction: column; gap: 0.3rem }
.sarm-names > div { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0.1rem 0.6rem }
.sarm-names b { font-weight: 600; font-size: 1.15rem; overflow-wrap: anywhere }
.sarm-names .suggested b { font-weight: 400; font-size: 1rem }
.sarm-names i { font-style: normal; font-size: 0.75rem; padding: 0.05rem 0.45rem; border-radius: 1rem;
  border: 1px solid rgba(128, 140, 155, 0.5) }
.sarm-names .label i { background: rgba(47, 125, 208, 0.16); border-color: transparent }
.sarm-figures { display: flex; flex-wrap: wrap; gap: 0.5rem 2.2rem; margin: 0.2rem 0 0.6rem;
  padding: 0 !important }
.sarm-figures > div { margin: 0 !important; padding: 0 }
.sarm-figures dt { font-size: 0.82rem; opacity: 0.75; font-weight: 400 }
.sarm-figures dd { font-size: 1.4rem; margin: 0; line-height: 1.3; font-variant-numeric: tabular-nums }
.sarm-figures small { display: block; font-size: 0.78rem; opacity: 0.72 }
.sarm-names span { font-size: 0.82rem; opacity: 0.7 }
"""
