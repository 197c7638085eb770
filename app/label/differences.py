"""Features whose labels differ, and one of them to look at."""

from __future__ import annotations

import streamlit as st

from app.label.adjudication import disputed_feature
from app.label.blind import withheld
from app.session.engine import Engine
from app.session.who import Me
from feature_db.label.agreement import MEASURES, disagreements
from feature_db.label.blindness import hidden_from

__all__ = ["differences"]

MOST = 200


def differences(engine: Engine, me: Me) -> None:
    """Features whose labels differ, and one of them to look at."""
    measure = st.segmented_control(
        "Labels differ in", list(MEASURES), default=MEASURES[0], required=True, key="dispute_measure"
    )
    with engine.store() as store:
        found = disagreements(store, measure)
    if not found:
        st.info(
            f"No feature has two labels whose {measure} differs. Two people have to label the same feature: make a "
            "queue with an overlap of 2.",
            icon=":material/info:",
        )
    else:
        by_id = {item.feature: item for item in found}
        listed = [item.feature for item in found[:MOST]]
        with engine.store() as store:
            hidden = hidden_from(store, me.name, listed)
        open_ones = sum(not item.adjudicated for item in found)
        st.caption(
            f"{len(found):,} feature{'' if len(found) == 1 else 's'}, {open_ones:,} not settled"
            + (f", the first {MOST} listed" if len(found) > MOST else "")
        )
        st.dataframe(
            {
                "feature": listed,
                "people": [len(by_id[i].values) for i in listed],
                measure: [
                    "hidden until yours is in"
                    if i in hidden
                    else " · ".join(f"{who}: {value}" for who, value in by_id[i].values.items())
                    for i in listed
                ],
                "settled": [by_id[i].adjudicated for i in listed],
            },
            hide_index=True,
            column_config={
                "feature": st.column_config.NumberColumn(format="#%d", width=90),
                "people": st.column_config.NumberColumn(width=80),
                measure: st.column_config.TextColumn(width="large"),
                "settled": st.column_config.CheckboxColumn(width=80),
            },
            height=min(320, 38 + 35 * len(listed)),
        )
        if st.session_state.get("dispute_feature") not in listed:
            st.session_state["dispute_feature"] = listed[0]
        chosen = st.selectbox(
            "Feature", listed, format_func=lambda i: f"#{i}", key="dispute_feature", width=200
        )
        if chosen in hidden:
            withheld(chosen, hidden[chosen])
        else:
            disputed_feature(engine, me, chosen)
