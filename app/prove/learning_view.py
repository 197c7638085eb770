"""The page *Learn*: preferences in, a steering and its proof out, onto the sliders in one click."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.datasets.choice import IN_DATA_SET, choose_data_set, follow_address, warn_of_choice
from app.draw.columns import reader_for
from app.draw.files import UPLOADS
from app.draw.plain_text import plain
from app.draw.progress import encoding_bar
from app.prove.learned_run import record, show_kept
from app.prove.learning import (
    LearnedHere,
    frontier_chart,
    learn_corpus,
    learn_orders,
    learn_profiles,
    learn_upload,
    moved_table,
)
from app.prove.profiles_view import ProfilesHere, show_profiles
from app.runs.kept import asked_run, keep_run, put_on_sliders
from app.session import session
from app.session.engine import Engine
from app.session.steering_state import MAX_PANEL
from app.session.wishes import wishes
from sarm_core.bootstrap import FEWEST_PROMPTS
from sarm_core.text.answers import Reader
from sarm_core.wish.learned import Learned

__all__ = ["choose_pairs", "learned_here", "reopen", "show_learned"]

MINE, OF_ORDERS, OF_CORPUS = "My pairs", "My orders on Compare", "The project's corpus"
FEWEST = 2 * FEWEST_PROMPTS


def choose_pairs(engine: Engine, working: DeltaGenerator) -> None:
    """Whose preferences; the model runs only here."""
    follow_address("learn_source", MINE)
    source = st.segmented_control(
        "Preferences", [MINE, IN_DATA_SET, OF_ORDERS, OF_CORPUS], required=True, key="learn_source"
    )
    files: Any = []
    reader, beside, chosen, by = Reader(), False, None, ""
    if source == IN_DATA_SET and (chosen := choose_data_set(engine, "learn_source")) is not None:
        reader = chosen.reader
        warn_of_choice(chosen)
    if source == MINE:
        st.caption(
            "Rows that say which of two answers is better, of any format: JSONL, CSV, Parquet or Arrow; at least 20 "
            "prompts. Half of the prompts teach, the other half measures."
        )
        files = st.file_uploader(
            "Pairs",
            type=list(UPLOADS),
            accept_multiple_files=True,
            key="learn_files",
            label_visibility="collapsed",
        )
        reader = reader_for("learn", files or [], _states_a_preference)
    orders = [wanted for wanted in wishes().orders.values() if wanted.wishes] if source == OF_ORDERS else []
    if source == OF_ORDERS:
        st.caption(
            f"You gave the order of answers to {len(orders)} prompts on *Compare and steer* in this session; at least "
            f"{FEWEST} are needed."
        )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        most = int(st.number_input("At most so many features", 1, MAX_PANEL, 8, key="learn_most", width=180))
        if source in (MINE, IN_DATA_SET):
            by = st.text_input(
                "One for each",
                key="learn_by",
                placeholder="a column, such as annotator",
                max_chars=100,
                width=220,
                help="A column that names whose preference a row is: one steering for each, side by side",
            ).strip()
            beside = st.toggle(
                "Leave the project's corpus alone",
                key="learn_beside",
                help="Features that carry much reward there cost more, and what turns there is counted",
                disabled=bool(by),
            )
        lacking = (
            (source == MINE and not files)
            or (source == IN_DATA_SET and chosen is None)
            or (source == OF_ORDERS and len(orders) < FEWEST)
        )
        go = st.button(
            "Learn", type="primary", icon=":material/play_arrow:", disabled=lacking, key="learn_go"
        )
    if go and by:
        given = [(file.name, file.getvalue()) for file in files or []]
        with encoding_bar(working) as progress:
            each = session.guarded(
                lambda: learn_profiles(
                    engine,
                    given if chosen is None else [chosen.file(engine)],
                    by,
                    session.steering().current,
                    most,
                    reader=reader,
                    progress=progress,
                )
            )
        if each is not None:
            st.session_state["learned"] = each
    elif go:
        start = session.steering().current
        given = [(file.name, file.getvalue()) for file in files or []]
        with encoding_bar(working) as progress:
            found = session.guarded(
                lambda: (
                    learn_corpus(engine, start, most, progress)
                    if source == OF_CORPUS
                    else learn_orders(engine, orders, start, most, progress)
                    if source == OF_ORDERS
                    else learn_upload(
                        engine,
                        given if chosen is None else [chosen.file(engine)],
                        start,
                        most,
                        beside_corpus=beside,
                        reader=reader,
                        progress=progress,
                    )
                )
            )
        if found is not None:
            st.session_state["learned"] = found
            recipe = {
                "source": source,
                "start": start.to_json(),
                "most": most,
                "beside": beside,
                **(chosen.recipe if chosen is not None else {}),
            }
            keep_run(engine, record(found, recipe))


def _states_a_preference(reader: Reader, source: str, number: int, row: dict[str, Any]) -> object:
    """Reads a row as pairs: one that grades a single answer is one half of some."""
    return list(reader.pairs_of([(source, number, row)], ties=True))


def reopen(engine: Engine) -> bool:
    """Show what was kept of the run that the address names; False where it names none, or one that is on the page."""
    run = asked_run(engine, "learned")
    if run is None:
        return False
    st.header(plain(run.title), anchor=False)
    show_kept(run, engine)
    if json.loads(run.steering):
        st.button(
            "Put it on the sliders",
            on_click=put_on_sliders,
            args=(run,),
            icon=":material/tune:",
            key="learn_apply_kept",
        )
    return True


def learned_here(engine: Engine) -> LearnedHere | ProfilesHere | None:
    """What was learned last, if by this model."""
    found = st.session_state.get("learned")
    if not isinstance(found, LearnedHere | ProfilesHere) or found.fingerprint != engine.fingerprint:
        return None
    return found


def show_learned(here: LearnedHere | ProfilesHere, engine: Engine) -> None:
    """The verdict in a sentence, then the figures, the multipliers and the frontier."""
    if isinstance(here, ProfilesHere):
        show_profiles(here, engine)
        return
    found = here.found
    st.header(f"Learned from {plain(here.title)}", anchor=False)
    if found.steering is None:
        st.warning(f"No steering is proposed: {plain(found.why)}.", icon=":material/balance:")
    else:
        st.markdown(
            f"{found.n_pairs:,} pairs of {found.n_prompts:,} prompts teach **{len(found.moved)} multipliers**. They "
            f"hold on prompts that took no part: {plain(found.measured_in_words)}."
        )
    _metrics(found)
    if here.said:
        st.caption(plain(". ".join(line[0].upper() + line[1:] for line in here.said) + "."))
    if found.steering is not None:
        _apply(found)
    if not found.frontier:
        return
    table, chart = st.columns(2)
    with table:
        notes = engine.notes(list(found.moved))
        st.dataframe(
            moved_table(found, notes),
            hide_index=True,
            column_config={
                "feature": st.column_config.NumberColumn("feature", format="#%d"),
                "before": st.column_config.NumberColumn("before", format="×%.3g"),
                "after": st.column_config.NumberColumn("after", format="×%.3g"),
            },
            height=320,
            key="learn_moved",
        )
    with chart:
        st.plotly_chart(frontier_chart(found), key="learn_frontier", config={"displaylogo": False})
        st.caption(
            "One point a strength, with the 95 % interval of its gain on the held-out half; the large one was taken, "
            "by cross-validation over the prompts that teach."
        )


def _metrics(found: Learned) -> None:
    gain = found.gain
    points = f"{100 * gain.difference:+.1f} points"
    with st.container(horizontal=True):
        st.metric("Held out, before", f"{found.before.accuracy:.1%}", border=True, height="stretch")
        st.metric(
            "Held out, after",
            f"{found.after.accuracy:.1%}",
            points if gain.told_apart else f"{points}, not told apart",
            delta_color="normal" if gain.told_apart else "off",
            delta_arrow="auto" if gain.told_apart else "off",
            border=True,
            height="stretch",
        )
        st.metric("Pairs won", f"{gain.won:,}", border=True, height="stretch")
        st.metric("Pairs lost", f"{gain.lost:,}", border=True, height="stretch")
        if found.collateral is not None and found.collateral.collateral.n_pairs:
            share = found.collateral.collateral.share_flipped
            st.metric("Orders turned elsewhere", f"{share:.1%}", border=True, height="stretch")


def _apply(found: Learned) -> None:
    """Onto the sliders; *Undo* beside the steering in force takes it back."""
    held = session.steering()

    def put() -> None:
        if found.steering is not None:
            session.guarded(held.load, found.steering)

    there = held.current == found.steering
    st.button(
        "On the sliders" if there else "Put it on the sliders",
        on_click=put,
        disabled=there,
        icon=":material/tune:",
        key="learn_apply",
        help="What was on the sliders when you pressed Learn is part of it; Undo takes it back",
    )
