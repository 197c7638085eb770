"""Accepting many suggested names at once, and taking them back at once."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from app.label.guidelines import RUBRIC
from app.session import session
from app.session.engine import Engine
from app.session.who import Me
from feature_db.label.bulk import BulkNames

__all__ = ["accept_many"]

LEAST = "accept_least"


def accept_many(engine: Engine, me: Me) -> None:
    """The names that hold, ticked; whoever may label accepts them."""
    with engine.store() as store:
        bulk = BulkNames(store, me.name)
        offered, batches = bulk.offered(), bulk.batches()
    for batch, names, when in batches[:5]:
        with st.container(horizontal=True, vertical_alignment="center"):
            day = datetime.fromtimestamp(when / 1e6, UTC)
            st.markdown(
                f"{names:,} name{'' if names == 1 else 's'} accepted by you, {day:%Y-%m-%d %H:%M} UTC"
            )
            st.button(
                "Take them back", key=f"accept_undo_{batch}", on_click=_take_back, args=(engine, me, batch)
            )
    if not offered:
        st.info(
            "No unlabelled feature has a suggested name whose interval is above chance. `sarm suggest` makes names; "
            "those that hold are offered here.",
            icon=":material/info:",
        )
        return
    least = st.slider(
        "Lower end of the interval at least (50 % is guessing)", 50, 95, 60, 1, format="%d %%", key=LEAST
    )
    found = [name for name in offered if name.low * 100 >= least]
    st.markdown(
        f"**{len(found):,} of {len(offered):,} names that hold** tell at least {least} % of pairs of answers apart on "
        "prompts they were not made from, chance allowed for."
    )
    st.caption(
        "Each becomes a label in your name that says it was accepted so, with its method and interval; it takes no "
        "part in agreement, and others may label the feature differently. Untick what you do not believe."
    )
    if not found:
        return
    table = st.data_editor(
        pd.DataFrame(
            {
                "accept": [True] * len(found),
                "feature": [f"#{name.feature}" for name in found],
                "name": [name.text for name in found],
                "right in": [f"{name.auc:.0%}" for name in found],
                "interval": [f"{name.low:.0%} to {name.high:.0%}" for name in found],
                "pairs": [name.pairs for name in found],
                "open": [f"feature?feature={name.feature}" for name in found],
            }
        ),
        hide_index=True,
        disabled=["feature", "name", "right in", "interval", "pairs", "open"],
        column_config={
            "open": st.column_config.LinkColumn("", display_text="open"),
            "name": st.column_config.TextColumn(width="large"),
        },
        key=f"accept_table_{least}_{len(offered)}",
        height=min(420, 38 + 35 * len(found)),
    )
    chosen = [name.feature for name, ticked in zip(found, table["accept"], strict=True) if ticked]
    verdict = st.segmented_control(
        "Verdict they get", (3, 4, 5), default=3, required=True, key="accept_verdict", help=RUBRIC[3]
    )
    st.button(
        f"Accept {len(chosen):,} name{'' if len(chosen) == 1 else 's'}",
        type="primary",
        key="accept_go",
        disabled=not chosen,
        on_click=_accept,
        args=(engine, me, chosen, verdict),
    )


def _accept(engine: Engine, me: Me, features: list[int], verdict: int) -> None:
    def accept() -> None:
        with engine.store() as store:
            BulkNames(store, me.name).accept(features, verdict)
        session.say(
            f"{len(features):,} name{'' if len(features) == 1 else 's'} accepted; they can be taken back together.",
            "success",
        )

    session.guarded(accept)


def _take_back(engine: Engine, me: Me, batch: str) -> None:
    def undo() -> None:
        with engine.store() as store:
            names = BulkNames(store, me.name).take_back(batch)
        session.say(
            f"{names:,} name{'' if names == 1 else 's'} taken back; what was edited since stays.", "success"
        )

    session.guarded(undo)
