"""Features whose labels differ, one of them with what it fires on, and on to the next once it is settled."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.label.adjudication import disputed_feature
from app.label.blind import withheld
from app.label.label_form import SHORT
from app.label.wordings import ALIKE, Wording, differing_wordings
from app.session.engine import Engine
from app.session.who import Me
from feature_db.label.agreement import MEASURES, Disagreement, disagreements
from feature_db.label.blindness import hidden_from
from feature_db.label.counts import label_counts

__all__ = ["differences"]

MOST = 200
WORDING = "wording"
CHOSEN = "dispute_feature"


def differences(engine: Engine, me: Me) -> None:
    """Features whose labels differ, and one of them to look at."""
    measure = st.segmented_control(
        "Labels differ in",
        [*MEASURES, WORDING],
        default=MEASURES[0],
        required=True,
        key="dispute_measure",
        help=f"Wording: two labels whose meaning is not alike (cosine below {ALIKE:g} of their words' vectors), "
        "whatever their verdicts say. Opposites share most words and are not noticed.",
    )
    with engine.store() as store:
        found: Sequence[Disagreement | Wording] = (
            differing_wordings(store) if measure == WORDING else disagreements(store, measure)
        )
        together = label_counts(store).together
    if not found:
        st.info(_nothing(measure, together), icon=":material/info:")
        return
    listed = found[:MOST]
    open_ones = [item.feature for item in listed if not item.adjudicated]
    with engine.store() as store:
        hidden = hidden_from(store, me.name, [item.feature for item in listed])
    waits = sum(not item.adjudicated for item in found)
    whose = f"feature{'' if len(found) == 1 else 's'} whose {measure} differs"
    st.markdown(
        f"**{waits:,} of {len(found):,} {whose} wait{'s' if waits == 1 else ''} to be settled**"
        + (f"; the first {MOST} are listed." if len(found) > MOST else ".")
    )
    ids = [item.feature for item in listed]
    if st.session_state.get(CHOSEN) not in ids:
        st.session_state[CHOSEN] = ids[0]
    _table(measure, listed, hidden, len(open_ones))
    chosen = st.selectbox("Feature", ids, format_func=lambda i: f"#{i}", key=CHOSEN, width=200)
    if chosen in hidden:
        withheld(chosen, hidden[chosen])
        return
    later = open_ones[open_ones.index(chosen) + 1 :] if chosen in open_ones else []
    others = [feature for feature in [*later, *open_ones] if feature != chosen and feature not in hidden]
    disputed_feature(engine, me, chosen, CHOSEN, others[0] if others else None)


def _nothing(measure: str, together: int) -> str:
    if together:
        are = "feature has" if together == 1 else "features have"
        return (
            f"{together:,} {are} labels by two people or more, and in none of them does the {measure} differ."
        )
    return (
        "No feature has labels by two people yet, so none can differ. Two people have to label the same feature: make "
        "a queue with an overlap of 2."
    )


def _table(
    measure: str, listed: Sequence[Disagreement | Wording], hidden: dict[int, str], waiting: int
) -> None:
    def said(item: Disagreement | Wording) -> str:
        if item.feature in hidden:
            return "hidden until yours is in"
        return " · ".join(f"{who}: {_word(measure, value)}" for who, value in item.values.items())

    ids = [item.feature for item in listed]
    # Another list is another table, or a tick of before would hold another row.
    key = f"dispute_table_{measure}_{len(ids)}_{waiting}"

    def choose() -> None:
        rows = st.session_state[key].selection.rows
        if rows and rows[0] < len(ids):
            st.session_state[CHOSEN] = ids[rows[0]]

    st.dataframe(
        {
            "feature": ids,
            "people": [len(item.values) for item in listed],
            measure: [said(item) for item in listed],
            "state": ["settled" if item.adjudicated else "open" for item in listed],
        },
        hide_index=True,
        column_config={
            "feature": st.column_config.NumberColumn(format="#%d", width=90),
            "people": st.column_config.NumberColumn(width=80),
            measure: st.column_config.TextColumn(width="large"),
            "state": st.column_config.TextColumn(width=90),
        },
        height=min(250, 38 + 35 * len(listed)),
        on_select=choose,
        selection_mode="single-row",
        key=key,
    )
    st.caption("Tick a row to look at it.")


def _word(measure: str, value: object) -> str:
    """A verdict as the form says it."""
    if measure == "verdict" and isinstance(value, int) and value in SHORT:
        return f"{SHORT[value]} ({value})"
    return str(value)
