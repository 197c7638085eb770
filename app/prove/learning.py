"""What the page *Learn* shows: a steering learned from a person's pairs, and how it did where it did not learn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from app.draw.colours import FOR, UNCLEAR
from app.draw.files import uploaded
from app.prove.profiles_view import ProfilesHere
from app.session.engine import Engine, FeatureNote
from app.session.feature_title import insert_names
from app.session.wishes import Wanted
from sarm_core.demo.corpus import CORPUS
from sarm_core.errors import SarmError
from sarm_core.prove.corpus import corpus_complement, encoded_corpus
from sarm_core.score.encoded import Progress, encode_once
from sarm_core.steering import Steering
from sarm_core.text.answers import Reader
from sarm_core.wish.labelled import LabelledPairs
from sarm_core.wish.learned import FrontierPoint, Learned, learn
from sarm_core.wish.profiles import learn_each

__all__ = [
    "LearnedHere",
    "frontier_chart",
    "learn_corpus",
    "learn_orders",
    "learn_profiles",
    "learn_upload",
    "moved_table",
]


@dataclass(frozen=True)
class LearnedHere:
    """What was learned by the model of `fingerprint`, and from what; `said` is how the rows were read."""

    title: str
    found: Learned
    said: tuple[str, ...]
    fingerprint: str


def learn_corpus(
    engine: Engine, start: Steering, max_features: int, progress: Progress | None = None
) -> LearnedHere:
    """From the grades of the project's corpus. Raises SarmError."""
    return _learned(engine, [CORPUS], "the project's corpus", Reader(), start, max_features, False, progress)


def learn_upload(
    engine: Engine,
    files: Sequence[tuple[str, bytes]],
    start: Steering,
    max_features: int,
    *,
    beside_corpus: bool = False,
    reader: Reader | None = None,
    progress: Progress | None = None,
) -> LearnedHere:
    """From uploaded preferences; `beside_corpus`: the project's corpus is what should stay as it is.

    Raises RowError naming the upload, SarmError.
    """
    title = ", ".join(name for name, _ in files)
    with uploaded(*files) as paths:
        return _learned(
            engine, paths, title, reader or Reader(), start, max_features, beside_corpus, progress
        )


def learn_profiles(
    engine: Engine,
    files: Sequence[tuple[str, bytes]],
    by: str,
    start: Steering,
    max_features: int,
    *,
    reader: Reader | None = None,
    progress: Progress | None = None,
) -> ProfilesHere:
    """One steering for each name in the column `by`. Raises RowError naming the upload, SarmError."""
    reader = reader or Reader()
    with uploaded(*files) as paths:
        labelled = LabelledPairs.read(paths, reader, by)
    encoded = encode_once(engine.scorer, labelled.answers, places=labelled.places, progress=progress)
    found = learn_each(encoded, labelled, start=start, max_features=max_features)
    title = ", ".join(name for name, _ in files)
    return ProfilesHere(title, by, found, (*reader.said(), *encoded.notes), engine.fingerprint)


def learn_orders(
    engine: Engine,
    orders: Iterable[Wanted],
    start: Steering,
    max_features: int,
    progress: Progress | None = None,
) -> LearnedHere:
    """From the orders that a person gave on *Compare and steer*. Raises SarmError."""
    stated = []
    for wanted in orders:
        texts = wanted.comparison.conversations()
        pairs = [(texts[wish.better], texts[wish.worse]) for wish in wanted.wishes]
        stated.append((wanted.comparison.origin or "your orders", pairs))
    labelled = LabelledPairs.of_prompts(stated)
    return _of(engine, labelled, "your orders", (), start, max_features, False, progress)


def _learned(engine, paths, title, reader, start, max_features, beside_corpus, progress) -> LearnedHere:
    labelled = LabelledPairs.read(paths, reader)
    return _of(engine, labelled, title, tuple(reader.said()), start, max_features, beside_corpus, progress)


def _of(
    engine: Engine,
    labelled: LabelledPairs,
    title: str,
    said: tuple[str, ...],
    start: Steering,
    max_features: int,
    beside_corpus: bool,
    progress: Progress | None,
) -> LearnedHere:
    if not len(labelled.pairs):
        raise SarmError("there is no pair to learn from: give orders on Compare and steer first")
    encoded = encode_once(engine.scorer, labelled.answers, places=labelled.places, progress=progress)
    elsewhere = None
    if beside_corpus:
        elsewhere = corpus_complement().encoded(encoded_corpus(engine.scorer, progress=progress).matrix)
    found = learn(encoded, labelled, start=start, elsewhere=elsewhere, max_features=max_features)
    return LearnedHere(title, found, (*said, *encoded.notes), engine.fingerprint)


def moved_table(found: Learned, notes: Mapping[int, FeatureNote]) -> pd.DataFrame:
    """feature, name, how named, before, after; those first that move leads most."""
    table = found.frame()
    insert_names(table, notes, "name")
    return table


def frontier_chart(found: Learned) -> go.Figure:
    """One point a strength: what it gains on the held-out half, over what it turns elsewhere, or, where nothing is
    known of that, over how many features it moves."""
    known = found.collateral is not None

    def across(point: FrontierPoint) -> float:
        return (point.turned or 0.0) if known else point.n_features

    points = sorted(found.frontier, key=across)
    gains = [point.gain.difference for point in points]
    figure = go.Figure()
    figure.add_scatter(
        x=[across(point) for point in points],
        y=gains,
        mode="markers",
        marker={
            "size": [13 if point.chosen else 7 for point in points],
            "color": [FOR if point.chosen else UNCLEAR for point in points],
        },
        error_y={
            "color": UNCLEAR,
            "type": "data",
            "symmetric": False,
            "array": [_beyond(point, True) for point in points],
            "arrayminus": [_beyond(point, False) for point in points],
            "width": 2,
            "thickness": 1,
        },
        customdata=[point.n_features for point in points],
        hovertemplate="%{customdata} features: %{y:+.1%} held out<extra></extra>",
        showlegend=False,
    )
    figure.add_hline(y=0, line_dash="dot", line_width=1)
    figure.update_xaxes(
        title="orders that turn elsewhere" if known else "features moved", tickformat=".1%" if known else None
    )
    figure.update_yaxes(title="held-out accuracy gained", tickformat="+.0%")
    figure.update_layout(height=320, margin={"l": 8, "r": 8, "t": 12, "b": 8}, uirevision="keep")
    return figure


def _beyond(point: FrontierPoint, above: bool) -> float:
    """How far the interval reaches from the gain."""
    gain = point.gain
    if gain.low is None or gain.high is None:
        return 0.0
    return gain.high - gain.difference if above else gain.difference - gain.low
