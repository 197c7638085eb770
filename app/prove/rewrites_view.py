"""The part of *Find features* that asks whether a harmless rewrite changes which answer wins."""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.draw.columns import reader_for
from app.draw.files import UPLOADS, as_csv
from app.draw.plain_text import plain
from app.draw.progress import encoding_bar
from app.features.slider_actions import slider_actions
from app.prove.questions import benchmark_rows
from app.prove.rewrites import (
    RULES,
    SEED,
    SIDES,
    Checked,
    check_corpus,
    check_upload,
    flip_comparison,
    flip_rows,
    moved_rows,
    outcome,
    rate,
    rule_rows,
    totals,
)
from app.session import session
from app.session.engine import Engine
from app.session.pages import Page
from app.steer.strip import steering_strip
from sarm_core.errors import SarmError
from sarm_core.prove.corpus import CORPUS_SETS
from sarm_core.prove.perturb import Perturbation
from sarm_core.steering import Steering

__all__ = ["rewrites_section"]

SHOWN_FLIPS = 500


def rewrites_section(engine: Engine, working: DeltaGenerator) -> None:
    """The form, and under it what the rewrites of the pairs changed, under the steering in force."""
    st.caption(
        "Does a harmless rewrite change the order? Each answer of a pair is rewritten by rule so that it says the "
        "same. An order that changes shows what the reward pays for besides what is said."
    )
    _form(engine, working)
    session.show_messages()
    of = st.session_state.get("rewritten")
    if not isinstance(of, Checked) or of.of.fingerprint != engine.fingerprint:
        st.info("Choose pairs above and press Check.", icon=":material/arrow_upward:")
        return
    steering_strip(engine)
    steering = session.steering().current
    try:
        plain_model, found = _outcomes(of, steering)
    except SarmError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    st.header(plain(of.title), anchor=False)
    _headline(of, plain_model, found, bool(steering))
    by_rule, by_feature, by_flip = st.tabs(["Rewrites", "Features that moved", "Orders that changed"])
    with by_rule:
        _rules(rule_rows(plain_model, found if steering else None))
    with by_feature:
        _features(engine, found, _mark(steering))
    with by_flip:
        _flips(of, found, _mark(steering))


def _form(engine: Engine, working: DeltaGenerator) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.segmented_control(
            "Pairs",
            ["The project's corpus", "My pairs"],
            default="The project's corpus",
            required=True,
            key="rewrite_source",
        )
        most = int(st.number_input("At most", 1, 5_000, 50, key="rewrite_most", width=130))
    file = None
    name = next(iter(CORPUS_SETS))
    if source == "My pairs":
        file = st.file_uploader(
            "Rows of `prompt` + `chosen` + `rejected`, or of a public data set (JSONL, CSV, Parquet or Arrow)",
            type=list(UPLOADS),
            key="rewrite_file",
        )
    reader = reader_for("rewrite", [file] if file else [], benchmark_rows("pairs"))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if source != "My pairs":
            name = st.selectbox(
                "Set",
                list(CORPUS_SETS),
                format_func=lambda name: CORPUS_SETS[name].title,
                key="rewrite_set",
                width=340,
            )
        rules = st.pills(
            "Rewrites", list(RULES), selection_mode="multi", default=list(RULES), key="rewrite_rules"
        )
        ready = bool(rules) and (source != "My pairs" or file is not None)
        go = st.button(
            "Check", type="primary", icon=":material/shuffle:", disabled=not ready, key="rewrite_go"
        )
    if not go:
        return
    chosen = [rule for rule in RULES if rule in rules]
    with encoding_bar(working) as progress:
        if file is None:
            made = session.guarded(lambda: check_corpus(engine, name, chosen, most, progress))
        else:
            given = (file.name, file.getvalue())
            made = session.guarded(lambda: check_upload(engine, given, chosen, most, progress, reader=reader))
    if made is not None:
        st.session_state["rewritten"] = made
        st.session_state.pop("rewritten_outcome", None)


def _outcomes(of: Checked, steering: Steering) -> tuple[Perturbation, Perturbation]:
    """Plain and steered, kept until one of the two changes; without a steering they are the same object."""
    kept = st.session_state.get("rewritten_outcome")
    key = (id(of), steering.to_json())
    if kept is None or kept[0] != key:
        same = kept[1] if kept is not None and kept[0][0] == id(of) else outcome(of, Steering())
        kept = (key, same, outcome(of, steering) if steering else same)
        st.session_state["rewritten_outcome"] = kept
    return kept[1], kept[2]


def _headline(of: Checked, plain_model: Perturbation, found: Perturbation, steered: bool) -> None:
    flips, asked = totals(plain_model)
    now, _ = totals(found)
    with st.container(horizontal=True):
        st.metric("Pairs", f"{len(of.of.pairs):,} of {of.of.n_all:,}", border=True, height="stretch")
        st.metric("Orders asked", f"{asked:,}", border=True, height="stretch")
        st.metric(
            "Orders changed, plain model", _rate(rate(plain_model), flips), border=True, height="stretch"
        )
        if steered:
            st.metric(
                "Orders changed, steered",
                _rate(rate(found), now),
                f"{now - flips:+,}",
                delta_color="inverse" if now != flips else "off",
                border=True,
                height="stretch",
            )
    st.caption(
        ":green-badge[exact] rewards. Three orders are asked for each pair and rewrite: with both answers rewritten, "
        "with only the chosen, with only the rejected. A one-sided rewrite is the harder test: a judge of content "
        f"alone would change none. What the rules draw depends on the text and seed {SEED}."
    )
    if of.notes:
        st.info("  \n".join(plain(note[0].upper() + note[1:]) for note in of.notes), icon=":material/info:")


def _rate(share: float, flips: int) -> str:
    return f"{share:.1%} ({flips:,})" if np.isfinite(share) else "undefined"


def _rules(table: pd.DataFrame) -> None:
    number = st.column_config.NumberColumn
    st.dataframe(
        table.drop(columns=[name for name in ("nan", "cut") if not table[name].any()]),
        hide_index=True,
        key="rewrite_table",
        column_config={
            "what": st.column_config.TextColumn("what it does"),
            "answers": number("answers rewritten", format="%d"),
            "not_applicable": number(
                "no use for it", format="%d", help="Answers the rule leaves as they are"
            ),
            "cut": number(
                "left out: cut",
                format="%d",
                help="Answers whose rewrite lost another part of the prompt to the model's length limit",
            ),
            "n": number("orders asked (n)", format="%d"),
            "flips": number("changed", format="%d"),
            "flip_rate": number("flip rate", format="percent"),
            "flips_steered": number("changed, steered", format="%d"),
            "rate_steered": number("flip rate, steered", format="percent"),
            "mean_change": number("mean change of the reward", format="%+.4f"),
            "mean_abs_change": number("mean size of it", format="%.4f"),
            "nan": number("no number", format="%d", help="Orders with a reward that is not a number"),
        },
    )
    _download("Rewrites as CSV", table, "rewrites")


def _mark(steering: Steering) -> str:
    """Part of a table's key: another steering orders the rows anew, and ticks must not pass to other rows."""
    return f"{zlib.crc32(steering.to_json().encode()):08x}"


def _features(engine: Engine, found: Perturbation, mark: str) -> None:
    if found.features.empty:
        st.info("No rewrite applies to these answers, so no feature moved.", icon=":material/info:")
        return
    names = ["all rules", *dict.fromkeys(found.features["rule"])]
    rule = st.segmented_control("Moved by", names, default=names[0], required=True, key="rewrite_moved_by")
    notes = engine.notes(found.features["feature"].unique().tolist())
    table = moved_rows(found, rule if rule in names else names[0], notes)
    number = st.column_config.NumberColumn
    selection = st.dataframe(
        table,
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"rewrite_features_{rule}_{mark}",
        height=min(420, 38 + 35 * max(len(table), 1)),
        column_config={
            "feature": number(format="#%d"),
            "label": st.column_config.TextColumn(width=260),
            "w": number("head weight w", format="%+.4f"),
            "mean_change": number(
                "mean change of w z", format="%+.4f", help="Over the answers this rule rewrote"
            ),
            "mean_abs_change": number("mean size of it", format="%.4f"),
            "share_changed": number(
                "z changed in",
                format="percent",
                help="Share of the rewritten answers; the largest of the rules",
            ),
        },
    )
    slider_actions(
        [int(table["feature"].iloc[i]) for i in selection.selection.rows],
        "rewrite_moved",
        "harmless rewrites",
    )
    _download("Features as CSV", table, "features")


def _flips(of: Checked, found: Perturbation, mark: str) -> None:
    table = flip_rows(of, found)
    if table.empty:
        st.caption("No order changed.")
        return
    shown = table.head(SHOWN_FLIPS)
    number = st.column_config.NumberColumn
    selection = st.dataframe(
        shown.assign(side=[SIDES[side] for side in shown["side"]])[
            ["rule", "side", "prompt", "margin_before", "margin_after", "id"]
        ],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"rewrite_flips_{mark}",
        height=min(420, 38 + 35 * len(shown)),
        column_config={
            "prompt": st.column_config.TextColumn(width=300),
            "margin_before": number("margin before", format="%+.4f", help="chosen − rejected"),
            "margin_after": number("margin after", format="%+.4f"),
        },
    )
    if len(table) > len(shown):
        st.caption(f"The {len(shown)} with the largest change of {len(table):,}; the download has all.")
    rows = selection.selection.rows
    with st.container(horizontal=True):
        go = st.button(
            "Open on Compare and steer",
            icon=":material/compare_arrows:",
            disabled=not rows,
            help=None if rows else "Choose a row first",
            key="rewrite_open",
        )
        _download("Orders that changed as CSV", table, "flips")
    if go and rows:
        flip = shown.iloc[rows[0]]
        try:
            made, left, right = flip_comparison(of, str(flip["rule"]), int(flip["pair"]), str(flip["side"]))
        except SarmError as error:
            st.warning(plain(str(error)))
            return
        session.set_comparison(made)
        st.session_state["left"], st.session_state["right"] = left, right
        st.switch_page(Page.COMPARE.path)


def _download(label: str, table: pd.DataFrame, name: str) -> None:
    st.download_button(
        label,
        as_csv(table),
        file_name=f"{name}.csv",
        mime="text/csv",
        icon=":material/download:",
        key=f"rewrite_csv_{name}",
    )
