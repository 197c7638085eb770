"""The part of the compare page that says which features decide between two answers."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.compare.side_by_side import side_by_side
from app.compare.why import Decision, decide, in_words
from app.components.feature_bars import feature_bars
from app.draw.plain_text import cut, plain
from app.explain.bars import bars
from app.session import session
from app.session.comparison import Comparison
from app.session.engine import Engine
from sarm_core.score.scored import Scored

__all__ = ["SIDES", "choose_sides", "why"]

SIDES = "sides"
"""The key of the section's head."""
BASES = ("the steering", "the plain model")
VIEWS = ("Bars", "Table", "Texts side by side")
AT_LEAST = 10  # per cent of the largest difference: hides the long tail of tiny ones at first
MOST_BARS = 60


def why(current: Engine, now: Comparison, base: Scored, steered: Scored) -> None:
    """Two answers to choose, and every feature between them; `base` without the steering in force."""
    titles = now.titles()
    if len(titles) < 2:
        st.info("Paste a second answer to see which features decide between the two.", icon=":material/info:")
        return
    indices = range(len(titles))
    if st.session_state.get("basis") not in BASES:
        st.session_state["basis"] = BASES[0]
    if not 0 <= st.session_state.setdefault("at_least", AT_LEAST) <= 100:
        st.session_state["at_least"] = AT_LEAST
    names = [title.split(" · ")[0] for title in titles]
    with st.container(horizontal=True, vertical_alignment="bottom", key=SIDES):
        left = st.selectbox(
            "Compare", indices, format_func=titles.__getitem__, key="left", persist_state="session"
        )
        right = st.selectbox(
            "with", indices, format_func=titles.__getitem__, key="right", persist_state="session"
        )
        basis = st.segmented_control("Under", BASES, required=True, key="basis", persist_state="session")
        least = st.slider(
            "Hide smaller than",
            0,
            100,
            key="at_least",
            format="%d %% of the largest",
            persist_state="session",
        )
    if left == right:
        st.info("Choose two different answers.", icon=":material/info:")
        return
    matrix = (base if basis == BASES[1] else steered).matrix
    ids, _ = matrix.difference(left, right)
    notes = current.notes(ids.tolist())
    decision = decide(matrix, left, right, notes)
    st.markdown(plain(in_words(decision, names[left], names[right], notes)))
    if decision.table.empty:
        return
    sizes = decision.table["difference"].abs()
    # At 100 % the largest itself stays, whatever rounding does.
    shown = decision.table[sizes >= sizes.max() * min(least / 100, 1 - 1e-9)]
    st.caption(
        f":green-badge[exact] the differences of all {len(decision.table)} features sum to the margin "
        f"{decision.margin:+.4f} (error {decision.error:.0e}); {len(shown)} are shown"
    )
    if st.session_state.get("why_tab") not in VIEWS:
        st.session_state["why_tab"] = VIEWS[0]
    # The last tab runs the model, so only when it is open.
    chart, numbers, texts = st.tabs(VIEWS, key="why_tab", on_change="rerun")
    with chart:
        feature_bars(
            key="why_bars",
            columns=[f"{names[left]}: w z", f"{names[right]}: w z", f"{names[left]} − {names[right]}"],
            bars=bars(
                shown.head(MOST_BARS), ("left", "right", "difference"), notes, session.steering().panel
            ),
            on_click=_open_feature,
            on_add=lambda feature: session.add_features([feature]),
        )
        if len(shown) > MOST_BARS:
            st.caption(f"The {MOST_BARS} largest of {len(shown)}; the table has all.")
    with numbers:
        _table(decision, shown.index.to_numpy(), names[left], names[right])
    if texts.open:
        with texts:
            side_by_side(current, now, base, (left, right), decision, notes)


def choose_sides(steered: Scored) -> tuple[int, ...]:
    """The two answers that `why` compares, () for one alone: the best against the last at first; afterwards what was
    chosen stays, whatever the ranking does."""
    indices = range(len(steered))
    if len(indices) < 2:
        return ()
    order = [int(i) for i in np.argsort(-steered.rewards, kind="stable")]
    if st.session_state.get("left") not in indices:
        st.session_state["left"] = next(i for i in order if i != st.session_state.get("right"))
    if st.session_state.get("right") not in indices:
        st.session_state["right"] = next(i for i in reversed(order) if i != st.session_state["left"])
    return int(st.session_state["left"]), int(st.session_state["right"])


def _open_feature(feature: int) -> None:
    """Callback: the script goes to the feature's page when it runs next."""
    st.session_state["open_feature"] = feature


def _table(decision: Decision, rows: np.ndarray, left: str, right: str) -> None:
    shown = decision.table.loc[rows]
    selection = st.dataframe(
        shown,
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key="why_table",
        column_config={
            "feature": st.column_config.NumberColumn(format="#%d"),
            "left": st.column_config.NumberColumn(cut(left, 20), format="%+.4f"),
            "right": st.column_config.NumberColumn(cut(right, 20), format="%+.4f"),
            "difference": st.column_config.NumberColumn(format="%+.4f"),
            "z_left": st.column_config.NumberColumn(f"z in {cut(left, 20)}", format="%.3f"),
            "z_right": st.column_config.NumberColumn(f"z in {cut(right, 20)}", format="%.3f"),
            "weight": st.column_config.NumberColumn("head weight w", format="%+.4f"),
            "density": st.column_config.NumberColumn("fires in", format="percent"),
        },
    )
    # The selection is by place; the table may have fewer rows now than when it was made.
    picked = [int(shown["feature"].iloc[i]) for i in selection["selection"]["rows"] if i < len(shown)]
    new = [i for i in picked if i not in session.steering().panel]
    if not picked:
        st.caption("Choose rows to add their features to the sliders.")
    elif not new:
        st.caption("Already on the sliders: " + ", ".join(f"#{i}" for i in picked))
    else:
        st.button(
            f"Add {', '.join(f'#{i}' for i in new[:6])}{' …' if len(new) > 6 else ''} to the sliders",
            on_click=session.add_features,
            args=(new,),
            key="add_rows",
            type="primary",
            icon=":material/add:",
        )
