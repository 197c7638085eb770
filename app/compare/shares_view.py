"""The part of the compare page that says which group of features a reward, and a margin, comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.compare.why import signed
from app.compare.why_view import BASES
from app.draw.plain_text import cut, plain
from app.session import session
from app.session.engine import Engine
from app.session.person import whoever
from app.steer.panel import MOST_OFFERED, group_form
from feature_db.label.blindness import hidden_from
from feature_db.label.label_categories import DISAGREED, label_categories
from sarm_core.explain.shares import Partition, Shares, margin_shares, reward_shares, reward_table
from sarm_core.features import FeatureMatrix, separating_features
from sarm_core.score.scored import Scored

__all__ = ["category_groups", "share_chart", "share_table", "shares"]

NAMED, CATEGORIES = "Named groups", "Label categories"
MADE = "share_group_made"
"""State's key: a group was just made, so the dialog closes and the named groups are shown."""
UNASSIGNED = "unassigned"
COLOURS = ("#2f7dd0", "#d0643c", "#3d9970", "#8a63c9", "#c29a2b", "#c2528b", "#3aa0ab", "#8c7355")
REST = "#98a2ae"
MOST_CELLS = 12
"""Groups with a colour and a row of their own; a person who made more sees the rest in the table only."""


def shares(current: Engine, base: Scored, steered: Scored, titles: list[str]) -> None:
    """Reward and margin by group, under the same basis as the section above it."""
    st.header("Which group of features carries it?", anchor=False)
    matrix = (base if st.session_state.get("basis") == BASES[1] else steered).matrix
    active = np.unique(matrix.csr.indices)
    named = {name: group.features for name, group in session.steering().current.groups.items()}
    with current.store() as store:
        categories = label_categories(store, active.tolist())
        hidden = hidden_from(store, whoever(), categories)
    labelled = category_groups({i: name for i, name in categories.items() if i not in hidden})
    if st.session_state.pop(MADE, False):
        st.session_state["share_groups"] = NAMED
    if st.session_state.get("share_groups") not in (NAMED, CATEGORIES):
        st.session_state["share_groups"] = CATEGORIES if labelled and not named else NAMED
    with st.container(horizontal=True, vertical_alignment="center"):
        which = st.segmented_control(
            "Groups", [NAMED, CATEGORIES], key="share_groups", required=True, label_visibility="collapsed"
        )
        if st.button("Make a group", icon=":material/group_work:", key="share_group"):
            _make_group(current, _by_effect(matrix))
    groups = labelled if which == CATEGORIES else named
    partition = Partition.of_groups(groups, matrix.n_features)
    _about(which or NAMED, groups, partition, active)
    if which == CATEGORIES and hidden:
        st.caption(
            f"{len(hidden)} labelled features count as unassigned until you have labelled them yourself."
        )
    if not partition.names:
        return
    left, right = (int(st.session_state.get(side, 0)) for side in ("left", "right"))
    names = [title.split(" · ")[0] for title in titles]
    if len({left, right} & set(range(len(titles)))) == 2:
        parts = {
            names[left]: reward_shares(matrix, left, partition),
            names[right]: reward_shares(matrix, right, partition),
            f"{names[left]} − {names[right]}": margin_shares(matrix, left, right, partition),
        }
    else:
        parts = {names[0]: reward_shares(matrix, 0, partition)}
    what, found = list(parts.items())[-1]
    _said(what, found, "margin" if len(parts) > 1 else "reward")
    if (partition.of[active] < len(partition.names)).any():
        st.plotly_chart(
            share_chart(partition.names, parts),
            key="share_chart",
            config={"displaylogo": False, "displayModeBar": False},
        )
    st.dataframe(
        share_table(partition.names, parts), hide_index=True, key="share_table", column_config=_columns(parts)
    )
    if len(titles) > 1:
        with st.expander("Every answer"):
            _every_answer(matrix.rewards, reward_table(matrix, partition), partition.names, titles)


@st.dialog("Make a group", icon=":material/group_work:")
def _make_group(current: Engine, offered: list[int]) -> None:
    """A dialog, so that its long list of features is read from the store for who wants it only."""
    if st.session_state.get(MADE):
        st.rerun()
    group_form(current, "share_group", "Features active here", offered, _made)


def _made() -> None:
    st.session_state[MADE] = True


def _by_effect(matrix: FeatureMatrix) -> list[int]:
    """Features active in these answers, those that separate them first."""
    first = separating_features(matrix, MOST_OFFERED)
    rest = np.setdiff1d(np.unique(matrix.csr.indices), first)
    return [*first, *rest.tolist()][:MOST_OFFERED]


def category_groups(categories: Mapping[int, str]) -> dict[str, list[int]]:
    """Features by the category of their labels, largest group first; those with unsettled labels by themselves."""
    found: dict[str, list[int]] = {}
    for feature, category in categories.items():
        found.setdefault("labels disagree" if category == DISAGREED else category, []).append(feature)
    return dict(sorted(found.items(), key=lambda group: -len(group[1])))


def _about(which: str, groups: Mapping[str, Sequence[int]], partition: Partition, active: np.ndarray) -> None:
    """How much of what is active has a group at all, and what to do about the rest."""
    if which == NAMED and not groups:
        st.caption(
            "No group was made yet. Put features that belong together (style, safety, …) into one to see which part of "
            "each reward and margin they carry, and to steer them with one slider."
        )
        return
    assigned = int((partition.of[active] < len(partition.names)).sum())
    text = f"{assigned:,} of the {len(active):,} features active in these answers are in a group"
    if which == CATEGORIES:
        text += " by the category of their labels; the rest has no category yet."
        text += " *Label* gives categories." if not assigned else ""
    else:
        text += "; the rest is *unassigned*."
    if partition.shared:
        several = ", ".join(f"#{i}" for i in partition.shared[:8])
        text += (
            f" In several groups, counted in the first: {several}{' …' if len(partition.shared) > 8 else ''}."
        )
    st.caption(text)


def _said(what: str, found: Shares, kind: str) -> None:
    text = f":green-badge[exact] the groups sum to the {kind} of {plain(what)}, {signed(found.total, 4)} "
    text += f"(error {found.error:.0e})"
    if found.caveat:
        text += f". {found.caveat[0].upper()}{found.caveat[1:]}: see the share of all contributions instead."
    st.caption(text)


def share_table(names: Sequence[str], parts: Mapping[str, Shares]) -> pd.DataFrame:
    """A row a group (the last: unassigned) and one for the sum; shares are of the last of `parts`.

    `of the total` is left out where a percentage of it would mislead.
    """
    found = list(parts.values())[-1]
    columns: dict[str, object] = {"group": [*names, UNASSIGNED, "sum"]}
    columns["features"] = [*found.n_features.tolist(), int(found.n_features.sum())]
    for what, part in parts.items():
        columns[what] = [*part.signed.tolist(), float(part.signed.sum())]
    columns["of all contributions"] = [*found.of_absolute.tolist(), float(found.of_absolute.sum())]
    if (of_total := found.of_total) is not None:
        columns["of the total"] = [*of_total.tolist(), float(of_total.sum())]
    return pd.DataFrame(columns)


def _columns(parts: Mapping[str, Shares]) -> dict[str, Any]:
    what = list(parts)[-1]
    return {
        **{name: st.column_config.NumberColumn(cut(name, 24), format="%+.4f") for name in parts},
        "features": st.column_config.NumberColumn(help=f"That contribute to {cut(what, 24)}"),
        "of all contributions": st.column_config.NumberColumn(
            format="percent", help=f"Of the sum of |contributions| to {cut(what, 24)}, whatever their sign"
        ),
        "of the total": st.column_config.NumberColumn(format="percent", help=f"Of {cut(what, 24)} itself"),
    }


def share_chart(names: Sequence[str], parts: Mapping[str, Shares]) -> go.Figure:
    """One bar for each of `parts`, its groups side by side on both sides of zero; a diamond at the sum."""
    figure = go.Figure()
    rows = [_shown(what, 24) for what in parts]
    cells = [*names[:MOST_CELLS], UNASSIGNED]
    for number, name in enumerate(cells):
        rest = number == len(cells) - 1
        places = [len(names), *range(MOST_CELLS, len(names))] if rest else [number]
        label = "unassigned and others" if rest and len(names) > MOST_CELLS else _shown(name, 28)
        figure.add_bar(
            y=rows,
            x=np.array([float(part.signed[places].sum()) for part in parts.values()]),
            name=label,
            orientation="h",
            marker_color=REST if rest else COLOURS[number % len(COLOURS)],
            hovertemplate=f"{label}: %{{x:+.4f}}<extra></extra>",
        )
    figure.add_scatter(
        y=rows,
        x=np.array([part.total for part in parts.values()]),
        mode="markers",
        marker={
            "symbol": "diamond",
            "size": 10,
            "color": "#ffffff",
            "line": {"width": 2, "color": "#1b2430"},
        },
        name="sum",
        hovertemplate="sum: %{x:+.4f}<extra></extra>",
    )
    figure.update_layout(
        barmode="relative",
        height=96 + 44 * len(rows),
        bargap=0.35,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "traceorder": "normal"},
        uirevision="keep",
        dragmode=False,
    )
    figure.update_xaxes(zeroline=True, fixedrange=True)
    figure.update_yaxes(autorange="reversed", fixedrange=True)
    return figure


def _shown(text: str, width: int) -> str:
    """For Plotly, which reads a few HTML tags, %{...} templates and $TeX$ in its texts, but entities as text."""
    shown = escape(cut(text, width), quote=False)
    return shown.replace("$", "&#36;").replace("%", "&#37;")


def _every_answer(
    rewards: npt.NDArray[np.float32],
    table: npt.NDArray[np.float64],
    names: Sequence[str],
    titles: Sequence[str],
) -> None:
    """Signed sums of all answers, best first."""
    order = np.argsort(-rewards, kind="stable")
    columns: dict[str, object] = {
        "answer": [titles[int(i)] for i in order],
        "reward": rewards[order].astype(float),
    }
    for number, name in enumerate([*names, UNASSIGNED]):
        # A person may call a group "reward" or "unassigned": columns of one name would be one column.
        title = name if name not in columns else f"{name} (group {number + 1})"
        columns[title] = table[order, number]
    figures = {
        name: st.column_config.NumberColumn(cut(name, 24), format="%+.4f")
        for name in columns
        if name != "answer"
    }
    st.dataframe(pd.DataFrame(columns), hide_index=True, key="share_answers", column_config=figures)
