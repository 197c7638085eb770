"""The run as it stands: a sentence, alarms, lines over steps, the features, the texts; anew while it grows."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.draw.files import as_csv
from app.draw.plain_text import plain
from app.draw.progress import encoding_bar
from app.features.slider_actions import slider_actions
from app.session import session
from app.session.engine import Engine
from app.session.feature_title import insert_names
from app.watch.charts import features_chart, reward_chart
from app.watch.texts_view import texts
from app.watch.watched import Watched, named, watched
from sarm_core.score.encoded import Progress
from sarm_core.steering import Steering
from sarm_core.watch.drift import Alarm, Drift
from sarm_core.watch.words import alarm_in_words, headline

__all__ = ["show_run"]

EVERY = 5
"""Seconds between two looks"""
PLAIN = {"displaylogo": False, "modeBarButtonsToRemove": ["sendDataToCloud"]}


def show_run(
    engine: Engine, folder: Path, steering: Steering, *, window: int, alarm: float, follow: bool
) -> None:
    """Draw the run in `folder`; with `follow` again and again, scoring what is new."""
    st.fragment(_look, run_every=EVERY if follow else None)(engine, folder, steering, window, alarm, follow)


def _look(engine: Engine, folder: Path, steering: Steering, window: int, alarm: float, follow: bool) -> None:
    working = st.empty()
    held = watched(engine, folder, steering, window)
    if follow or held.last is None:
        try:
            if not _refreshed(held, working):
                st.caption("Another session is scoring what is new; this is what there was before.")
        except session.Errors as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
    _asides(held, follow)
    if held.last is None:
        st.info("No completion that can be scored yet.", icon=":material/hourglass_empty:")
        return
    drift = named(held.last, engine)
    alarms = drift.alarms(share=alarm)
    st.markdown(f"### {plain(headline(drift))}")
    if alarms:
        said = [plain(f"{alarm_in_words(drift, one)}.") for one in alarms]
        st.warning("  \n".join(said), icon=":material/notification_important:")
    _facts(drift)
    if len(drift) > 1:
        _charts(drift, alarms)
        _table(drift, engine)
        texts(drift, engine)


def _refreshed(held: Watched, working: DeltaGenerator) -> bool:
    """Look what is new; a bar stands there only while the model reads, so that a look at nothing new moves nothing."""
    with ExitStack() as bars:
        shown: list[Progress] = []

        def progress(done: int, total: int) -> None:
            if not shown:
                shown.append(bars.enter_context(encoding_bar(working)))
            shown[0](done, total)

        return held.refresh(progress, lambda note: st.toast(plain(note)))


def _asides(held: Watched, follow: bool) -> None:
    if held.watch.waiting:
        names = ", ".join(plain(name) for name in held.watch.waiting[:3])
        st.caption(f"Half-written, read when it is whole: {names}" + ("" if follow else " (press Follow)"))
    for error in held.watch.bad[:3]:
        st.warning(f"Left out: {plain(str(error))}", icon=":material/warning:")


def _facts(drift: Drift) -> None:
    last = drift.points[-1]
    parts = [
        f"{len(drift):,} points, {sum(point.n for point in drift.points):,} answers",
        f"{last.n:,} answers to {last.n_prompts:,} prompts in the last",
        f"{last.length:,.0f} tokens an answer, {drift.points[0].length:,.0f} at first",
    ]
    if last.kl == last.kl:
        parts.append(f"divergence from the first policy {last.kl:.3g} (the trainer's)")
    st.caption(plain("; ".join(parts) + "."))
    for note in drift.notes:
        st.caption(plain(note))


def _charts(drift: Drift, alarms: list[Alarm]) -> None:
    left, right = st.columns([2, 3], gap="medium")
    left.plotly_chart(reward_chart(drift), key="watch_reward", config=PLAIN)
    right.plotly_chart(features_chart(drift, alarms), key="watch_features", config=PLAIN)
    st.caption(
        f":green-badge[exact] The changes of all features add up to the rise of the mean reward (error "
        f"{drift.error:.0e}). "
        "Bands, of the first three: 95 % intervals over prompts."
    )


def _table(drift: Drift, engine: Engine) -> None:
    table = _rows(drift, engine)
    selection = st.dataframe(
        table,
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        height=min(420, 38 + 35 * len(table)),
        column_config=_columns(),
        key="watch_table",
    )
    slider_actions(
        [int(table["feature"].iloc[i]) for i in selection.selection.rows],
        "watch_table",
        "Found by the run",
        hint="Tick rows to silence their features on the sliders, or to read them.",
    )
    st.download_button(
        "All steps as CSV",
        lambda: as_csv(drift.frame()),
        file_name="drift.csv",
        mime="text/csv",
        icon=":material/download:",
        key="watch_csv",
    )


def _rows(drift: Drift, engine: Engine) -> pd.DataFrame:
    notes = engine.notes([int(i) for i in drift.features])
    table = pd.DataFrame(
        {
            "feature": drift.features,
            "change": drift.change[:, -1],
            "low": drift.change_low[:, -1],
            "high": drift.change_high[:, -1],
            "share": 100 * drift.share[:, -1],
            "matched": drift.matched[:, -1],
            "z": drift.z[:, -1],
            "first": drift.mean[:, 0],
            "last": drift.mean[:, -1],
        }
    ).dropna(axis="columns", how="all")
    insert_names(table, notes, "name")
    return table


def _columns() -> dict[str, Any]:
    number = st.column_config.NumberColumn
    return {
        "feature": number(format="#%d"),
        "change": number(format="%+.3f", help="Mean contribution at the last step less that at the first"),
        "low": number("from", format="%+.3f"),
        "high": number("to", format="%+.3f"),
        "share": number(
            "of the rise",
            format="%.0f %%",
            help="Empty where the rise is not told apart from 0. Shares add up to 100 %; some are below 0.",
        ),
        "matched": number(
            "equally long", format="%+.3f", help="The change that remains with answers held equally long"
        ),
        "z": number("standard errors", format="%+.1f", help="The change by its standard error over prompts"),
        "first": number("at first", format="%+.3f"),
        "last": number("now", format="%+.3f"),
    }
