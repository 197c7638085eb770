"""What the evaluate page shows: a benchmark encoded once, and everything a steering changes in it."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from app.draw.colours import AGAINST, FOR, UNCLEAR
from app.draw.files import as_csv, uploaded
from app.draw.plain_text import chart_text
from app.session.comparison import Answer, Comparison
from app.session.engine import Engine
from sarm_core.errors import SarmError
from sarm_core.prove.benchmarks.scores import json_number
from sarm_core.prove.collateral import Distribution
from sarm_core.prove.complement import file_complement
from sarm_core.prove.corpus import corpus_complement
from sarm_core.prove.evaluated import Evaluated, Experiment
from sarm_core.prove.evaluation_report import flip_row
from sarm_core.prove.outcome import Outcome
from sarm_core.report.verdict import KINDS, row_verdict
from sarm_core.score.encoded import Progress
from sarm_core.text.answers import Reader

__all__ = [
    "CORPUS",
    "FOUND_HERE",
    "Evaluated",
    "Outcome",
    "changes_chart",
    "curve_chart",
    "distribution_chart",
    "evaluate_corpus",
    "evaluate_upload",
    "flip_comparison",
    "flip_file",
    "score_names",
    "score_rows",
]

FOUND_HERE = (
    "The features were found on these same items, which flatters what is won here: judge the steering on answers that "
    "nothing was chosen by."
)
CORPUS = ("corpus", b"")
"""The project's corpus in the place of an uploaded complement"""


def evaluate_corpus(engine: Engine, name: str, progress: Progress | None = None) -> Evaluated:
    """Pairs of the project's corpus (a name in `CORPUS_SETS`); its other answers are the complement."""
    return Experiment.of_corpus(name).encode(engine.scorer, progress=progress)


def evaluate_upload(
    engine: Engine,
    files: Sequence[tuple[str, bytes]],
    kind: str,
    *,
    skip_bad: bool = False,
    complement: tuple[str, bytes] | None = None,
    reader: Reader | None = None,
    complement_reader: Reader | None = None,
    progress: Progress | None = None,
) -> Evaluated:
    """Uploaded files as one benchmark of `kind`; `complement` is another file of answers or pairs, or `CORPUS`.

    Raises RowError naming the upload, SarmError.
    """
    beside = corpus_complement() if complement is CORPUS else None
    if complement is not None and beside is None:
        with uploaded(complement) as (path,):
            beside = file_complement(path, complement[0], reader=complement_reader)
    with uploaded(*files) as paths:
        names = {str(path): name for path, (name, _) in zip(paths, files, strict=True)}
        experiment = Experiment.of_files(
            kind, paths, skip_bad=skip_bad, complement=beside, names=names, reader=reader
        )
    return experiment.encode(engine.scorer, progress=progress)


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


def changes_chart(table: pd.DataFrame) -> go.Figure:
    """The change of each score in points with its interval, the first on top; colour where chance is ruled out."""
    figure = go.Figure()
    colours = {KINDS["better"][0]: FOR, KINDS["worse"][0]: AGAINST}
    shown = table[table["change"].notna()].iloc[::-1]
    for verdict, part in shown.groupby("verdict", sort=False):
        # Names of subsets are other people's text: Plotly's texts read a few tags.
        names = [chart_text(name) for name in part["score"]]
        bounds = {
            "array": (part["high"] - part["change"]).fillna(0.0).tolist(),
            "arrayminus": (part["change"] - part["low"]).fillna(0.0).tolist(),
        }
        figure.add_scatter(
            x=part["change"].tolist(),
            y=names,
            name=str(verdict),
            mode="markers",
            marker={"color": colours.get(str(verdict), UNCLEAR), "size": 9},
            error_x={"type": "data", "symmetric": False, "thickness": 2, "width": 5, **bounds},
            hovertemplate="%{y}: %{x:+.1f} points<extra></extra>",
        )
    figure.update_xaxes(
        title="change of the score, points", zeroline=True, zerolinewidth=2, rangemode="tozero"
    )
    figure.update_yaxes(
        categoryorder="array", categoryarray=[chart_text(name) for name in shown["score"]], automargin=True
    )
    figure.update_layout(
        height=110 + 30 * len(shown),
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    )
    return figure


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
            name=chart_text(name),
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
