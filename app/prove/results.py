"""What a steering changes in what was evaluated: scores, flipped items, what else moved, and the trade-off."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from app.draw.plain_text import plain
from app.prove.evaluation import (
    FOUND_HERE,
    changes_chart,
    curve_chart,
    distribution_chart,
    flip_comparison,
    flip_file,
    score_names,
    score_rows,
)
from app.session import session
from sarm_core.bootstrap import FEWEST_PROMPTS
from sarm_core.errors import SarmError
from sarm_core.prove.collateral import Collateral
from sarm_core.prove.evaluated import Evaluated
from sarm_core.prove.evaluation_report import scores_record
from sarm_core.prove.outcome import Outcome
from sarm_core.prove.strength import strength_curve
from sarm_core.report.verdict import verdict
from sarm_core.steering import Steering

__all__ = ["outcome_of", "results"]

SHOWN_FLIPS = 500


def results(of: Evaluated, steering: Steering, *, found_here: bool = False) -> bool:
    """All of it; False, with a message, for a steering that does not fit the model.

    `found_here` says that the features were found on these same items.
    """
    try:
        found = outcome_of(of, steering)
    except SarmError as error:
        st.error(plain(str(error)))
        return False
    st.header(plain(of.title), anchor=False)
    kind = _verdict(found, steering)
    if steering and found_here:
        st.warning(FOUND_HERE, icon=":material/warning:")
    _headline(found, bool(steering), kind)
    _notes(of, found)
    if not steering:
        st.info(
            "No steering is in force, so there is nothing to compare with yet: change a box above, or put features on "
            "the sliders on *Find features*.",
            icon=":material/tune:",
        )
        _scores(of, found, False)
        return True
    by_score, by_item, elsewhere, over = st.tabs(["Scores", "Flipped items", "What else moved", "Trade-off"])
    with by_score:
        _scores(of, found, True)
    with by_item:
        _flips(of, found)
    with elsewhere:
        _moved(of, found)
    with over:
        _curve(of, steering)
    return True


def outcome_of(of: Evaluated, steering: Steering) -> Outcome:
    """Kept for the steering in force, so that choosing a row does not draw the bootstrap again."""
    key = (id(of), steering.to_json())
    kept = st.session_state.get("eval_outcome")
    if kept is None or kept[0] != key:
        kept = (key, of.outcome(steering))
        st.session_state["eval_outcome"] = kept
    return kept[1]


def _verdict(found: Outcome, steering: Steering) -> str:
    """The report's verdict in words; gives its kind, a key of `KINDS` or "plain"."""
    kind, words, sentences = verdict(scores_record(found.comparison, steering or None), steering)
    st.markdown(f"**{plain(words)}.** {plain(' '.join(sentences))}")
    return kind


def _headline(found: Outcome, steered: bool, kind: str) -> None:
    compared = found.comparison
    total = compared.scores[compared.scores["score"] == "total"].iloc[0]
    won, lost = (int((compared.flips["direction"] == name).sum()) for name in ("won", "lost"))
    with st.container(horizontal=True):
        st.metric("Total, plain model", _percent(total["before"]), border=True, height="stretch")
        st.metric(
            "Total, steered",
            _percent(total["after"]) if steered else "no steering",
            f"{100 * total['change']:+.1f} points" if steered and np.isfinite(total["change"]) else None,
            # A colour says that the change is more than chance.
            delta_color="normal" if kind in ("better", "worse") else "off",
            delta_arrow="auto" if total["change"] else "off",
            border=True,
            height="stretch",
        )
        st.metric("Decisions won", f"{won:,}", border=True, height="stretch")
        st.metric("Decisions lost", f"{lost:,}", border=True, height="stretch")
        share = found.moved.share_flipped
        st.metric(
            "Pairs that changed order",
            _percent(share) if np.isfinite(share) else "none",
            border=True,
            height="stretch",
        )
    if steered and np.isfinite(total["low"]):
        st.caption(
            ":green-badge[exact] scores; intervals by a paired bootstrap over prompts, "
            f"{compared.resamples:,} resamples."
        )


def _percent(value: float) -> str:
    return f"{value:.1%}" if np.isfinite(value) else "undefined"


def _notes(of: Evaluated, found: Outcome) -> None:
    """Ties, NaN, missing subsets, cut answers: reported, never dropped silently."""
    if of.benchmark.said:
        st.caption(plain(". ".join(line[0].upper() + line[1:] for line in of.benchmark.said) + "."))
    lines = [*found.comparison.after.notes, *of.notes]
    if of.n_cut:
        lines.append(f"{of.n_cut} answers were too long for the model and were cut on the left")
    if lines:
        st.warning("  \n".join(plain(line[0].upper() + line[1:]) for line in lines), icon=":material/info:")
    skipped = of.benchmark.skipped
    if skipped:
        with st.expander(f"{len(skipped)} rows left out"):
            for error in skipped[:100]:
                st.text(str(error))


def _scores(of: Evaluated, found: Outcome, steered: bool) -> None:
    names, every = score_names(of), score_names(of, every=True)
    if len(every) > len(names) and st.toggle(
        f"Every score ({len(every) - len(names)} more)",
        key="eval_cells",
        help="Pairs of styles, difficulty within a domain, parts of Ties",
    ):
        names = every
    table = score_rows(found, names)
    for name in ("change", "low", "high"):
        table[name] *= 100
    points = "%+.1f"
    columns = {
        "score": st.column_config.TextColumn("score"),
        "n": st.column_config.NumberColumn("n", format="%d", help="Values averaged"),
        "prompts": st.column_config.NumberColumn(
            "prompts",
            format="%d",
            help=f"Different prompts, in the smallest part of a mean; no interval is drawn below {FEWEST_PROMPTS}",
        ),
        "before": st.column_config.NumberColumn("plain", format="percent"),
        "after": st.column_config.NumberColumn("steered", format="percent"),
        "change": st.column_config.NumberColumn("change, points", format=points),
        "low": st.column_config.NumberColumn("from", format=points, help="95 % interval of the change"),
        "high": st.column_config.NumberColumn("to", format=points),
    }
    if not steered:
        table, columns = (
            table[["score", "n", "prompts", "before"]],
            {name: columns[name] for name in ("score", "n", "prompts", "before")},
        )
    if steered and table["low"].notna().any():
        st.plotly_chart(changes_chart(table), key="eval_changes", config={"displaylogo": False})
    st.dataframe(
        table,
        hide_index=True,
        column_config=columns,
        height=min(460, 38 + 35 * len(table)),
        key="eval_scores",
    )


def _flips(of: Evaluated, found: Outcome) -> None:
    table = found.comparison.flips
    if table.empty:
        st.caption("No decision changed.")
        return
    which = st.segmented_control(
        "Show",
        ["all", "won", "lost"],
        default="all",
        required=True,
        key="eval_which",
        format_func=lambda name: (
            f"{name} ({len(table) if name == 'all' else int((table['direction'] == name).sum())})"
        ),
    )
    if which in ("won", "lost"):
        table = table[table["direction"] == which]
    shown = table.head(SHOWN_FLIPS).reset_index(drop=True)
    names = ["direction", "prompt", "subset", "margin_before", "margin_after", "case", "id"]
    selection = st.dataframe(
        shown[[name for name in names if name != "case" or table["case"].nunique() > 1]],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "prompt": st.column_config.TextColumn(width=300),
            "margin_before": st.column_config.NumberColumn("margin before", format="%+.3f"),
            "margin_after": st.column_config.NumberColumn("margin after", format="%+.3f"),
        },
        height=min(420, 38 + 35 * max(len(shown), 1)),
        key=f"eval_flips_{which}",
    )
    if len(table) > len(shown):
        st.caption(f"The {len(shown)} with the largest change of {len(table):,}; the files below have all.")
    rows = selection.selection.rows
    with st.container(horizontal=True):
        go = st.button(
            "Open on Compare and steer",
            icon=":material/compare_arrows:",
            disabled=not rows,
            help=None if rows else "Choose a row first",
            key="eval_open",
        )
        n = f"{len(found.comparison.flips):,}"
        for name, mime in (("csv", "text/csv"), ("jsonl", "application/x-ndjson")):
            st.download_button(
                f"All {n} as {name.upper()}",
                partial(flip_file, of, found, name),
                file_name=f"flipped.{name}",
                mime=mime,
                icon=":material/download:",
                on_click="ignore",
                help="Both answers in full",
                key=f"eval_flips_{name}_file",
            )
    if go:
        _open_flip(of, shown.iloc[rows[0]])


def _open_flip(of: Evaluated, flip: pd.Series) -> None:
    try:
        comparison, right, wrong = flip_comparison(of, flip)
    except SarmError as error:
        st.warning(str(error))
        return
    session.set_comparison(comparison)
    st.session_state["left"], st.session_state["right"] = right, wrong
    st.switch_page("app_pages/compare.py")


def _moved(of: Evaluated, found: Outcome) -> None:
    own, other = st.columns(2)
    with own:
        st.markdown("**In this benchmark**")
        _collateral(found.moved)
        st.plotly_chart(distribution_chart(found.spread), key="eval_spread", config={"displaylogo": False})
    with other:
        if of.complement is None or found.moved_elsewhere is None or found.spread_elsewhere is None:
            st.markdown("**Elsewhere**")
            st.caption(
                "Choose a complement above to see what the steering moves in answers it is not meant for."
            )
            return
        st.markdown(f"**Elsewhere: {plain(of.complement.title)}**")
        _collateral(found.moved_elsewhere, of.complement.pairing)
        st.plotly_chart(
            distribution_chart(found.spread_elsewhere), key="eval_spread_other", config={"displaylogo": False}
        )


def _collateral(found: Collateral, pairing: str = "") -> None:
    text = f"{found.n_moved:,} of {found.n:,} answers ({_percent(found.share_moved)}) changed their reward at all"
    if found.n_moved:
        text += f", by {found.mean_change:.3g} on average over all, {found.largest_change:.3g} at most"
    if found.n_pairs:
        text += f"; {found.n_flipped:,} of {found.n_pairs:,} pairs ({_percent(found.share_flipped)}) "
        text += "changed their order"
        text += f" (pairs: {pairing})" if pairing else ""
    if found.n_nan:
        text += f"; {found.n_nan:,} have no reward that is a number"
    st.caption(text + ".")


def _curve(of: Evaluated, steering: Steering) -> None:
    """The trade-off, instead of one lucky point."""
    if not steering.can_rerank():
        st.caption("A steering that can change an order draws its trade-off here.")
        return
    names = score_names(of)
    wanted = st.multiselect("Scores", names, default=names[:6], key=f"eval_curve_{of.title}")
    furthest = st.slider("Up to strength", 1.0, 5.0, 2.0, 0.5, key="eval_furthest")
    try:
        drawn = strength_curve(of.benchmark, of.matrix, steering, np.linspace(0, furthest, 41).tolist())
    except SarmError as error:
        st.caption(plain(str(error)))
        return
    st.plotly_chart(curve_chart(drawn, wanted), key="eval_curve_chart", config={"displaylogo": False})
    st.caption(
        "Strength t replaces every multiplier m by 1 + t (m − 1). Each point is exact. One that stands "
        "out may do so by chance: try it on other answers."
    )
