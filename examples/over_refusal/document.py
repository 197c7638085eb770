"""docs/over-refusal.md and its pictures, written from the figures of a run: no number in it is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd

from sarm_core import Curve, Series, curve_chart, svg_file, trade_off_chart, whole_file

__all__ = ["multiplier_curve", "write_page"]

PAGE = Path(__file__).with_name("page.md")
ANSWER, REFUSE = "should answer", "should refuse"
MARKS = ((1.0, "as trained"), (0.0, "silenced"))
X_TITLE = "multiplier of the features"


def multiplier_curve(curve: pd.DataFrame) -> Curve:
    """Both scores over the multiplier, and one against the other, for the report."""
    return Curve(
        "What every multiplier does",
        [_series(curve, name) for name in (ANSWER, REFUSE)],
        x_title=X_TITLE,
        text="Every point is exact for these pairs; bands are 95 % intervals over prompts.",
        marks=MARKS,
        trade_off=(REFUSE, ANSWER),
    )


def write_page(page: Path, summary: Mapping[str, Any], curve: pd.DataFrame) -> None:
    """Write the page, and two pictures into the folder images/ beside it."""
    series = {name: _series(curve, name) for name in (ANSWER, REFUSE)}
    charts = {
        "curve": curve_chart(
            "curve",
            "Both scores over the multiplier",
            list(series.values()),
            X_TITLE,
            marks=MARKS,
            shown_x="x{:g}".format,
        ),
        "trade-off": trade_off_chart(
            "trade-off",
            "One score against the other along the multiplier",
            series[REFUSE],
            series[ANSWER],
            marks=((2.0, "x2"), (1.0, "x1, as trained"), (0.5, "x0.5"), (0.0, "x0, silenced"), (-1.0, "x-1")),
            multiplier="multiplier",
        ),
    }
    for name, chart in charts.items():
        with whole_file(page.parent / "images" / f"over-refusal-{name}.svg") as file:
            file.write(svg_file(chart))
    with whole_file(page) as file:
        file.write(_text(summary))


def _series(curve: pd.DataFrame, name: str) -> Series:
    rows = curve[curve["score"] == name].sort_values("multiplier")
    return Series(name, *(rows[column].tolist() for column in ("multiplier", "value", "low", "high")))


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _points(values: list[float]) -> str:
    return f"{100 * values[0]:+.1f} points [{100 * values[1]:+.1f}, {100 * values[2]:+.1f}]"


def _rows(rows: list[list[object]]) -> str:
    return "\n".join("| " + " | ".join(str(cell) for cell in cells) + " |" for cells in rows)


def _text(summary: Mapping[str, Any]) -> str:
    answer, refuse, bonus = (*(summary["subsets"][name] for name in (ANSWER, REFUSE)), summary["flat_bonus"])
    chosen = summary["features"]
    features = [
        [f"#{row['feature']}", f"{row['w']:+.3f}", f"{row['s']:+.2f} [{row['s_low']:+.2f}, {row['s_high']:+.2f}]",
         _percent(row["chosen_freq"]), _percent(row["rejected_freq"]), _percent(row["stability"])]
        for row in chosen
    ]  # fmt: skip
    outcomes = [
        [name, found["pairs"], _percent(found["accuracy"]["x1"][0]), _percent(found["accuracy"]["x0"][0]),
         _points(found["change_at_x0"]), found["won"], found["lost"]]
        for name, found in summary["subsets"].items()
    ]  # fmt: skip
    controls = [
        [name, f"{found['won'] - found['lost']:+d}", f"{found['control_net']['median']:+.0f}",
         f"{found['control_net']['min']:+.0f} to {found['control_net']['max']:+.0f}"]
        for name, found in summary["subsets"].items()
    ]  # fmt: skip
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        pairs_to_find=summary["pairs_to_find"],
        rule="\n".join(f"* {line}" for line in summary["rule"]),
        features=_rows(features),
        steering="{" + ", ".join(f'"{row["feature"]}": ["*", 0.0]' for row in chosen) + "}",
        outcomes=_rows(outcomes),
        control_draws=f"{summary['control_draws']:,}",
        controls=_rows(controls),
        answer_prompts=answer["prompts"],
        refuse_prompts=refuse["prompts"],
        bonus="none does" if bonus is None else f"{bonus['bonus']:.2f}",
        bonus_answer="-" if bonus is None else _percent(bonus[ANSWER]),
        bonus_refuse="-" if bonus is None else _percent(bonus[REFUSE]),
        answer_after=_percent(answer["accuracy"]["x0"][0]),
        refuse_after=_percent(refuse["accuracy"]["x0"][0]),
        answer_wrong=_percent(1 - answer["accuracy"]["x1"][0]),
        refuse_before=_percent(refuse["accuracy"]["x1"][0]),
        n_chosen=len(chosen),
        n_features=f"{summary['model']['n_features']:,}",
        answer_won=answer["won"],
        answer_lost=answer["lost"],
        answer_pairs=answer["pairs"],
        refuse_won=refuse["won"],
        refuse_lost=refuse["lost"],
        error="not measured"
        if summary["error_after_reload"] is None
        else f"{summary['error_after_reload']:.0e}",
        longer=_percent(summary["answers_longer"]),
    )
