"""What the evaluate page shows: a benchmark encoded once, and everything a steering changes in it."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from app.draw.colours import AGAINST, FOR
from app.draw.files import as_csv, uploaded
from app.session.comparison import Answer, Comparison
from app.session.engine import Engine
from sarm_core.demo.corpus import CORPUS as CORPUS_FILE
from sarm_core.demo.corpus import answers as corpus_answers
from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.prove import comparison as changes
from sarm_core.prove.benchmarks.scores import json_number
from sarm_core.prove.complement import BY_PROMPT, file_pairs, prompt_pairs
from sarm_core.prove.corpus import CORPUS_SETS, encoded_corpus, positions
from sarm_core.prove.evaluate import (
    Benchmark,
    Collateral,
    Distribution,
    collateral,
    compare,
    distribution,
    evaluate,
    load_benchmark,
)
from sarm_core.prove.evaluation_report import flip_row
from sarm_core.provenance import bytes_facts, file_facts
from sarm_core.report.verdict import KINDS, row_verdict
from sarm_core.score.encoded import Encoded, Progress, encode_once
from sarm_core.steering import Steering
from sarm_core.text.answers import read_answers

__all__ = [
    "CORPUS",
    "Evaluated",
    "Outcome",
    "curve_chart",
    "distribution_chart",
    "evaluate_corpus",
    "evaluate_upload",
    "flip_comparison",
    "flip_file",
    "outcome",
    "score_names",
    "score_rows",
]

CORPUS = ("corpus", b"")
"""The project's corpus in the place of an uploaded complement"""


@dataclass(frozen=True)
class Evaluated:
    """A benchmark with its activations: all that is needed to evaluate any steering.

    `complement` holds other answers, which a steering should leave alone, or None.
    """

    title: str
    benchmark: Benchmark
    matrix: FeatureMatrix
    complement: FeatureMatrix | None
    complement_title: str
    n_cut: int
    notes: tuple[str, ...]
    fingerprint: str
    asked: tuple[str, ...]
    """How the command line asks for the same: kind, files or set, and options"""
    files: tuple[dict[str, str], ...]
    """Name and sha256 of what holds the items"""
    complement_file: dict[str, str] | None = None
    complement_pairs: npt.NDArray[np.int64] | None = None
    """Answers of the complement whose order may change, int [p, 2]"""
    complement_pairing: str = ""
    """How they were paired, in words"""


@dataclass(frozen=True)
class Outcome:
    """Before and after one steering."""

    comparison: changes.Comparison
    moved: Collateral
    spread: Distribution
    moved_elsewhere: Collateral | None
    spread_elsewhere: Distribution | None


def evaluate_corpus(engine: Engine, name: str, progress: Progress | None = None) -> Evaluated:
    """Pairs of the project's corpus (a name in `CORPUS_SETS`); its other answers are the complement."""
    benchmark = CORPUS_SETS[name].pairs()
    corpus = encoded_corpus(engine.scorer, progress=progress)
    own = positions(benchmark.conversations)
    rest = np.setdiff1d(np.arange(len(corpus.matrix)), own)
    every = corpus_answers()
    file = file_facts(CORPUS_FILE)
    return Evaluated(
        CORPUS_SETS[name].title,
        benchmark,
        corpus.matrix.select(own),
        corpus.matrix.select(rest) if rest.size else None,
        "the corpus's other answers",
        int((corpus.n_cut[own] > 0).sum()),
        corpus.notes,
        engine.fingerprint,
        ("corpus", name),
        (file,),
        file if rest.size else None,
        prompt_pairs([every[i].conversation for i in rest]),
        BY_PROMPT,
    )


def evaluate_upload(
    engine: Engine,
    files: Sequence[tuple[str, bytes]],
    kind: str,
    *,
    skip_bad: bool = False,
    complement: tuple[str, bytes] | None = None,
    progress: Progress | None = None,
) -> Evaluated:
    """Uploaded files as one benchmark of `kind`; `complement` is another file of answers or pairs, or `CORPUS`.

    Raises RowError naming the upload, SarmError.
    """
    with uploaded(*files) as paths:
        benchmark = load_benchmark(kind, paths, skip_bad=skip_bad)
        other = None if complement is None else _complement(engine, complement, progress)
        encoded = encode_once(
            engine.scorer, benchmark.conversations, places=benchmark.places, progress=progress
        )
    names = {str(path): name for path, (name, _) in zip(paths, files, strict=True)}
    return Evaluated(
        ", ".join(name for name, _ in files),
        benchmark.under_names(names),
        encoded.matrix,
        None if other is None else other.encoded.matrix,
        "" if other is None else other.title,
        int((encoded.n_cut > 0).sum()),
        (*encoded.notes, *(other.encoded.notes if other else ())),
        engine.fingerprint,
        (
            kind,
            *(name for name, _ in files),
            *(["--complement", other.asked] if other else []),
            *(["--skip-bad"] if skip_bad else []),
        ),
        tuple(bytes_facts(name, content) for name, content in files),
        None if other is None else other.file,
        None if other is None else other.pairs,
        "" if other is None else other.pairing,
    )


@dataclass(frozen=True)
class _Complement:
    encoded: Encoded
    pairs: npt.NDArray[np.int64]
    pairing: str
    title: str
    asked: str
    file: dict[str, str]


def _complement(engine: Engine, given: tuple[str, bytes], progress: Progress | None) -> _Complement:
    if given is CORPUS:
        every = [answer.conversation for answer in corpus_answers()]
        encoded = encoded_corpus(engine.scorer, progress=progress)
        return _Complement(
            encoded, prompt_pairs(every), BY_PROMPT, "this tool's corpus", "corpus", file_facts(CORPUS_FILE)
        )
    with uploaded(given) as (path,):
        answers = read_answers(path)
        pairs, pairing = file_pairs(path, answers.conversations)
        encoded = encode_once(engine.scorer, answers.conversations, places=answers.places, progress=progress)
    return _Complement(encoded, pairs, pairing, given[0], given[0], bytes_facts(*given))


def outcome(of: Evaluated, steering: Steering) -> Outcome:
    """Arithmetic on the stored activations. Raises SteeringError when the steering does not fit the model."""
    before, after = evaluate(of.benchmark, of.matrix), evaluate(of.benchmark, of.matrix, steering)
    own = of.matrix.rewards, steering.rewards(of.matrix)
    ranking = steering.without_offsets()
    elsewhere, moved_elsewhere = None, None
    if of.complement is not None:
        elsewhere = of.complement.rewards, steering.rewards(of.complement)
        moved_elsewhere = collateral(*elsewhere, of.complement_pairs, ranked=ranking.rewards(of.complement))
    return Outcome(
        compare(before, after),
        collateral(*own, of.benchmark.pair_numbers, ranked=ranking.rewards(of.matrix)),
        distribution(*own),
        moved_elsewhere,
        None if elsewhere is None else distribution(*elsewhere),
    )


def score_names(of: Evaluated, *, every: bool = False) -> list[str]:
    """The benchmark's scores as the report orders them; the parts under domains and subsets on request."""
    names = list(of.benchmark.result(of.matrix.rewards).scores)
    return names if every else of.benchmark.headlines(names)


def score_rows(found: Outcome, names: Sequence[str]) -> pd.DataFrame:
    """Score, n, prompts, before, after, change, its interval and the verdict of the report in words."""
    table = found.comparison.scores.set_index("score", drop=False).loc[list(names)]
    table = table[["score", "n", "prompts", "before", "after", "change", "low", "high"]].reset_index(
        drop=True
    )
    table["verdict"] = [_verdict(row) for row in table.to_dict("records")]
    return table


def _verdict(row: Mapping[Hashable, Any]) -> str:
    change, low, high = (json_number(row[name]) for name in ("change", "low", "high"))
    kind = row_verdict(change, low, high, int(row["prompts"]))
    return f"few prompts ({row['prompts']}): no interval" if kind == "few" else KINDS[kind][0]


def flip_comparison(of: Evaluated, flip: pd.Series) -> tuple[Comparison, int, int]:
    """The flipped item for the compare page: its answers, and the places of the two that decided it.

    Raises SarmError for token ids, which have no text to show.
    """
    benchmark, item = of.benchmark, int(flip["item"])
    named = {answer.number: answer.name for answer in benchmark.items[item].answers}
    named |= {int(flip["right"]): named.get(int(flip["right"]), "right")}
    named |= {int(flip["wrong"]): named.get(int(flip["wrong"]), "wrong")}
    conversations = benchmark.conversations
    shown = conversations[int(flip["right"])]
    if shown.messages is None:
        raise SarmError("this item holds token ids without text, so there is nothing to show on that page")
    order = list(named)
    return (
        Comparison(
            shown.messages[:-1],
            tuple(Answer(conversations[i].answer or "", named[i]) for i in order),
            f"{of.title}, {flip['id']}",
        ),
        order.index(int(flip["right"])),
        order.index(int(flip["wrong"])),
    )


def flip_file(of: Evaluated, found: Outcome, ending: str) -> str:
    """Every flipped item with both answers in full, as "csv" or "jsonl"."""
    rows = [flip_row(of.benchmark, row) for row in found.comparison.to_dict()["flips"]]
    if ending == "csv":
        return as_csv(pd.DataFrame(rows))
    return "".join(json.dumps(row) + "\n" for row in rows)


def distribution_chart(found: Distribution) -> go.Figure:
    """Rewards before and after on common bins."""
    centres = (found.edges[:-1] + found.edges[1:]) / 2
    figure = go.Figure()
    sides: tuple[tuple[str, npt.NDArray[np.int64], str], ...] = (
        ("before", found.counts_before, AGAINST),
        ("after", found.counts_after, FOR),
    )
    for name, counts, colour in sides:
        figure.add_bar(
            x=centres,
            y=counts,
            name=name,
            marker_color=colour,
            opacity=0.6,
            hovertemplate=f"{name}: %{{y}} answers around %{{x:.3g}}<extra></extra>",
        )
    figure.update_layout(barmode="overlay", bargap=0.02)
    figure.update_xaxes(title="reward")
    figure.update_yaxes(title="answers")
    return _dressed(figure, 260)


def curve_chart(curve: pd.DataFrame, names: Sequence[str]) -> go.Figure:
    """Scores over the strength of the steering; 0 is the plain model, 1 the steering in force."""
    figure = go.Figure()
    dashes = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
    for number, name in enumerate(names):
        part = curve[curve["score"] == name]
        figure.add_scatter(
            x=part["strength"].to_numpy(),
            y=part["value"].to_numpy(),
            name=name.replace("<", "‹").replace(">", "›"),
            mode="lines",
            line={"dash": dashes[number % len(dashes)], "width": 2},
            hovertemplate="strength %{x:.2g}: %{y:.1%}<extra></extra>",
        )
    for strength, text in ((0.0, "plain model"), (1.0, "in force")):
        figure.add_vline(x=strength, line_dash="dot", line_width=1, annotation_text=text)
    figure.update_xaxes(title="strength of the steering")
    figure.update_yaxes(title="score", tickformat=".0%")
    return _dressed(figure, 340)


def _dressed(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 24, "b": 8},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        uirevision="keep",
    )
    return figure
