"""A study's figures as a table (Markdown), as rows of one number each (CSV), and as a plot (a page of its own)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sarm_core.files import whole_file

__all__ = ["tables", "write_tables"]

HELD_OUT = "held-out pairs"
"""Told from a benchmark of plain pairs"""


def tables(found: Mapping[str, Any]) -> str:
    """Markdown for a `study.json`: arms, differences, and every score by arm."""
    lines = [*_arms(found), "", *_differences(found), "", *_scores(found), *_ties(found["pairs"])]
    return "\n".join(lines) + "\n"


def write_tables(out: Path, found: Mapping[str, Any]) -> bool:
    """`study.md`, `study.csv` and, where plotly is there, `study.html`; whether it was."""
    with whole_file(out / "study.md") as file:
        file.write(tables(found))
    with whole_file(out / "study.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["arm", "head", "measure", "score", "seed", "value"])
        writer.writerows(_rows(found))
    try:
        from plotly import graph_objects
        from plotly.subplots import make_subplots
    except ImportError:
        return False
    with whole_file(out / "study.html") as file:
        # The name of a page's element is random unless it is given.
        figure = _plot(found, graph_objects, make_subplots)
        file.write(figure.to_html(include_plotlyjs=True, div_id="study"))
    return True


# -- Markdown --------------------------------------------------------------------------------------------------


def _arms(found: Mapping[str, Any]) -> list[str]:
    kinds = list(found["benchmarks"])
    names = [
        "arm",
        HELD_OUT,
        "sd over seeds",
        *(f"{kind} total" for kind in kinds),
        "numbers used",
        "variance unexplained",
        "few features",
        "held-out pairs with few",
        "undecided with few",
    ]
    lines = _head(names)
    for arm, of in found["arms"].items():
        ridge, few = of["heads"]["ridge"], of["heads"].get("few")
        cells = [
            arm,
            _interval(ridge["pairs"]["all"]),
            _number(ridge["pairs"]["all"]["spread"], ".3f"),
            *(_interval(ridge["benchmarks"][kind]["total"]) for kind in kinds),
            _number(ridge["n_features"]["value"], ",.0f"),
            _number(of["unexplained"] and of["unexplained"]["value"], ".3f"),
            _number(few and few["n_features"]["value"], ",.0f"),
            _interval(few["pairs"]["all"]) if few else "",
            f"{_undecided(few['pairs']['all']):.0%}" if few else "",
        ]
        lines.append(_line(cells))
    return lines


def _undecided(pairs: Mapping[str, Any]) -> float:
    """The share of pairs whose two answers have one reward, which count as wrong: no feature that is used differs."""
    return sum(pairs["ties"]) / len(pairs["ties"]) / pairs["n"]


def _differences(found: Mapping[str, Any]) -> list[str]:
    kinds = list(found["benchmarks"])
    lines = _head(["sarm minus", HELD_OUT, "each seed", *(f"{kind} total" for kind in kinds)])
    for arm, of in found["differences"].items():
        pairs = of["pairs"]["all"]
        each = ", ".join(_number(value, "+.3f") for value in pairs["seeds"])
        totals = [_interval(of["benchmarks"][kind]["total"], "+") for kind in kinds]
        lines.append(_line([arm, _interval(pairs, "+"), each, *totals]))
    return lines


def _scores(found: Mapping[str, Any]) -> list[str]:
    arms = list(found["arms"])
    lines = _head(["measured on", "n", *arms])
    first = found["arms"][arms[0]]["heads"]["ridge"]
    for source, of in first["pairs"].items():
        cells = [_interval(found["arms"][arm]["heads"]["ridge"]["pairs"][source]) for arm in arms]
        lines.append(_line([f"{HELD_OUT}: {source}", f"{of['n']:,}", *cells]))
    for kind, scores in first["benchmarks"].items():
        for score, of in scores.items():
            cells = [
                _interval(found["arms"][arm]["heads"]["ridge"]["benchmarks"][kind][score]) for arm in arms
            ]
            lines.append(_line([f"{kind}: {score}", f"{of['n']:,}", *cells]))
    return lines


def _ties(pairs: Mapping[str, Any]) -> list[str]:
    """What became of pairs whose two answers are called equally good."""
    if not pairs["ties"]:
        return []
    half = (
        f"{pairs['ties_half']:,} counted as half a win for each answer in every fit, the others were left out"
    )
    return [
        "",
        f"{pairs['ties']:,} more pairs are ties: {half if pairs['ties_half'] else 'they were left out'}.",
    ]


def _head(names: list[str]) -> list[str]:
    return [_line(names), "|" + "---|" * len(names)]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _plain(text: str) -> str:
    """Names of sources and subsets come from files: they stay text, on one line, in their cell."""
    kept = "".join(c if c.isprintable() else " " for c in text)
    return "".join(f"\\{c}" if c in "\\`*<>|" else c for c in kept)


def _interval(figure: Mapping[str, Any], sign: str = "") -> str:
    """A value and its interval, as far as they are defined."""
    if figure["value"] is None:
        return "undefined"
    said = f"{figure['value']:{sign}.3f}"
    if figure["low"] is not None:
        said += f" [{figure['low']:{sign}.3f}, {figure['high']:{sign}.3f}]"
    return said


def _number(value: float | None, how: str) -> str:
    return "" if value is None else f"{value:{how}}"


# -- CSV -------------------------------------------------------------------------------------------------------


def _rows(found: Mapping[str, Any]) -> Iterator[list[Any]]:
    """arm, head, measure, score, seed, value; the seed is empty where it changes nothing."""
    for arm, of in found["arms"].items():
        seeds = found["arms"][arm]["seeds"] or [""]
        for head, figures in of["heads"].items():
            for measure in ("n_features", "train_accuracy", "validation_accuracy"):
                for seed, value in zip(seeds, figures[measure]["seeds"], strict=True):
                    yield [arm, head, measure, "", seed, value]
            for measure, scores in ((HELD_OUT, figures["pairs"]), *figures["benchmarks"].items()):
                for score, figure in scores.items():
                    for seed, value in zip(seeds, figure["seeds"], strict=True):
                        yield [arm, head, measure, score, seed, value]
        if of["unexplained"]:
            for seed, value in zip(seeds, of["unexplained"]["seeds"], strict=True):
                yield [arm, "", "variance unexplained", "", seed, value]


# -- plot ------------------------------------------------------------------------------------------------------


def _plot(found: Mapping[str, Any], graph_objects: Any, make_subplots: Any) -> Any:
    """Accuracies left, sarm's lead over each other arm right; intervals over prompts, a small mark for each seed."""
    figure = make_subplots(rows=1, cols=2, subplot_titles=["accuracy", "sarm minus the other arm"])
    measures = [HELD_OUT, *(f"{kind} total" for kind in found["benchmarks"])]
    colours = ("#3366cc", "#dc6900", "#2a9d5c", "#8e44ad", "#7f8c8d")
    for number, measure in enumerate(measures):
        colour = colours[number % len(colours)]
        columns = (
            (1, {arm: _taken(of["heads"]["ridge"], measure) for arm, of in found["arms"].items()}),
            (2, {arm: _taken(of, measure) for arm, of in found["differences"].items()}),
        )
        for column, figures in columns:
            shown = {arm: of for arm, of in figures.items() if of["value"] is not None}
            if not shown:
                continue
            of = list(shown.values())
            figure.add_scatter(
                x=list(shown),
                y=[each["value"] for each in of],
                error_y={
                    "array": [_reach(each, "high") for each in of],
                    "arrayminus": [_reach(each, "low") for each in of],
                },
                mode="markers",
                marker={"color": colour, "size": 10},
                name=measure,
                legendgroup=measure,
                offsetgroup=measure,
                showlegend=column == 1,
                row=1,
                col=column,
            )
            seeds = [(arm, value) for arm, each in shown.items() for value in each["seeds"]]
            figure.add_scatter(
                x=[arm for arm, _ in seeds],
                y=[value for _, value in seeds],
                mode="markers",
                marker={"color": colour, "size": 5, "symbol": "x"},
                hoverinfo="y",
                legendgroup=measure,
                offsetgroup=measure,
                showlegend=False,
                row=1,
                col=column,
            )
    figure.add_hline(y=0, line={"width": 1}, row=1, col=2)
    figure.add_hline(y=0.5, line={"width": 1, "dash": "dot"}, row=1, col=1)
    figure.update_layout(
        template="plotly_white", title_text=_title(found), scattermode="group", scattergap=0.6
    )
    return figure


def _reach(figure: Mapping[str, Any], end: str) -> float:
    """How far an end of the interval lies from the value; 0 without an interval."""
    return 0.0 if figure[end] is None else abs(figure[end] - figure["value"])


def _taken(of: Mapping[str, Any], measure: str) -> Mapping[str, Any]:
    """The figure of a measure of the plot."""
    if measure == HELD_OUT:
        return of["pairs"]["all"]
    return of["benchmarks"][measure.removesuffix(" total")]["total"]


def _title(found: Mapping[str, Any]) -> str:
    seeds = len(found["seeds"])
    return f"{seeds} seed{'s' * (seeds > 1)}, 95 % intervals over prompts of the mean over them; crosses are seeds"
