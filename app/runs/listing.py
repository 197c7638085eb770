"""Every run that is kept, as a table, with one of the evaluations as the baseline of the others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from app.draw.plain_text import cut
from app.runs.comparing import compared
from app.session.engine import Engine
from feature_db.runs import Run, Runs
from sarm_core.figures import percent, plural, points, points_interval
from sarm_core.steering import Steering

__all__ = ["KIND_WORDS", "figures_in_words", "show_runs", "steering_in_words"]

PAGE_ROWS = 50
NAMED = 3
"""Features that stand with their multipliers where a steering has no name"""
KIND_WORDS = {"find": "found", "evaluation": "evaluated", "learned": "learned", "proposal": "proposed"}


def show_runs(engine: Engine) -> str:
    """The table; a click opens a run (`open_run` in state). Gives the baseline's uid, "" for none."""
    with engine.store() as store:
        runs = Runs(store)
        total = runs.count()
        evaluations = runs.all("evaluation", limit=200)
        if not total:
            st.info(
                "No run is kept yet. What you find, evaluate, learn or get proposed is kept here by itself.",
                icon=":material/history:",
            )
            return ""
        counts = {kind: n for kind in KIND_WORDS if (n := runs.count(kind))}
        st.markdown(
            f"**{plural(total, 'run is', 'runs are')} kept**: "
            + ", ".join(f"{n:,} {KIND_WORDS[kind]}" for kind, n in counts.items())
            + "."
        )
        kinds = ["", *counts]
        with st.container(horizontal=True, vertical_alignment="bottom"):
            kind = st.selectbox(
                "Runs",
                kinds,
                format_func=lambda kind: KIND_WORDS.get(kind, f"all ({total:,})"),
                key="runs_kind",
                width=200,
            )
            base = _baseline(evaluations)
        n = runs.count(kind or "")
        pages = max(1, -(-n // PAGE_ROWS))
        number = st.pagination(pages, key="runs_page") if pages > 1 else 1
        shown = runs.all(kind or "", limit=PAGE_ROWS, offset=(number - 1) * PAGE_ROWS)
    _table(engine, shown, base)
    return base


def _baseline(evaluations: Sequence[Run]) -> str:
    """Which evaluation the others are held against; it stands in the address."""
    if len(evaluations) < 2:
        return ""
    by_uid = {run.uid: run for run in evaluations}
    asked = st.query_params.get("base", "")
    if "runs_base" not in st.session_state and asked in by_uid:
        st.session_state["runs_base"] = asked
    if st.session_state.get("runs_base") not in by_uid:
        st.session_state["runs_base"] = None
    base = st.selectbox(
        "Baseline",
        list(by_uid),
        index=None,
        placeholder="hold evaluations against one of them",
        format_func=lambda uid: f"{cut(by_uid[uid].title, 36)}, {cut(steering_in_words(by_uid[uid]), 40)}",
        key="runs_base",
        width=420,
    )
    if base is None:
        st.query_params.pop("base", None)
    elif asked != base:
        st.query_params["base"] = base
    return base or ""


def steering_in_words(run: Run) -> str:
    """The saved steering it was made with, or how many features one without a name moves."""
    body = json.loads(run.steering)
    if not body:
        return "no steering"
    if run.saved_as:
        return run.saved_as
    steering = Steering.from_json(run.steering)
    if len(steering.scale) <= NAMED and not (steering.set or steering.offset or steering.groups):
        return ", ".join(f"#{i} ×{value:.3g}" for i, value in steering.scale.items())
    n = len({*steering.scale, *steering.set, *steering.offset}) + sum(
        len(group.features) for group in steering.groups.values()
    )
    return f"a steering of {n} feature{'s' if n != 1 else ''}"


def figures_in_words(run: Run) -> str:
    """The figure that matters most of each kind of run."""
    figures = run.figures
    if run.kind == "find":
        if figures.get("share") is None:
            return f"{figures['features']:,} features"
        return f"first side scores higher in {figures['won']:,} of {figures['pairs']:,} pairs"
    if run.kind in ("evaluation", "learned"):
        change = f"{percent(figures['before'])} to {percent(figures['after'])}"
        if figures["change"] is None or json.loads(run.steering) == {}:
            return percent(figures["before"]) if run.kind == "evaluation" else change
        return f"{change}, {_told_apart(figures)}"
    turned = "" if figures.get("turned") is None else f", turns {percent(figures['turned'])} elsewhere"
    return f"{figures['features']:,} features moved{turned}"


def _told_apart(figures: Mapping[str, Any]) -> str:
    low, high = figures["low"], figures["high"]
    if low is None or high is None:
        return "too few prompts for an interval"
    bounds = points_interval(low, high)
    return f"{'better' if low > 0 else 'worse' if high < 0 else 'not told apart'} ({bounds} points)"


def _table(engine: Engine, shown: Sequence[Run], base: str) -> None:
    def clicked() -> None:
        st.session_state["open_run"] = shown[st.session_state["run_clicked"]["row"]].uid

    table = pd.DataFrame(
        {
            "run": [cut(run.title, 36) for run in shown],
            "kind": [KIND_WORDS[run.kind] for run in shown],
            "on": [run.data for run in shown],
            "steering": [steering_in_words(run) if run.kind != "find" else "" for run in shown],
        }
    )
    if base:
        found = [compared(engine, run.uid, base) if run.kind == "evaluation" else None for run in shown]
        table["difference"] = [
            "baseline"
            if run.uid == base
            else ""
            if each is None
            else f"{points(each.difference)} points, {each.kind}"
            for run, each in zip(shown, found, strict=True)
        ]
        table["result"] = [figures_in_words(run) for run in shown]
        table["won_both"] = [None if each is None else each.won[0] for each in found]
        table["lost_both"] = [None if each is None else each.lost[0] for each in found]
    else:
        table["result"] = [figures_in_words(run) for run in shown]
    table["won"] = [run.figures.get("won") if run.kind != "find" else None for run in shown]
    table["lost"] = [run.figures.get("lost") for run in shown]
    table["by"] = [run.author for run in shown]
    table["when"] = [datetime.fromtimestamp(run.created / 1e6) for run in shown]
    column = st.column_config
    st.dataframe(
        table,
        hide_index=True,
        key="runs_table",
        placeholder="",
        height=38 + 35 * max(len(shown), 1),
        column_config={
            "run": column.ButtonColumn(
                "run", width=270, pinned=True, type="tertiary", on_click=clicked, key="run_clicked"
            ),
            "kind": column.TextColumn("kind", width=90),
            "result": column.TextColumn("result", width=340),
            "won": column.NumberColumn("won", help="Decisions, or held-out pairs, that the steering put right"),
            "lost": column.NumberColumn("lost", help="Those it put wrong"),
            "difference": column.TextColumn(
                "against the baseline", width=210, help="Of the decisions both have: the share right, here minus there"
            ),
            "won_both": column.NumberColumn("won by both"),
            "lost_both": column.NumberColumn("lost by both"),
            "when": column.DatetimeColumn("when", format="YYYY-MM-DD HH:mm"),
        },
    )  # fmt: skip
