"""The reward of one answer: its figures, the sum it is made of, and where in the text a feature responds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.components.feature_bars import feature_bars
from app.draw.token_view import token_html
from app.explain.bars import bars
from app.session import session
from app.session.comparison import Comparison
from app.session.engine import Engine, FeatureNote
from app.session.feature_title import feature_title, insert_names
from sarm_core.score.scored import Scored
from sarm_core.steering import Steering

__all__ = ["Explained", "figures", "made_of", "side_by_side", "where_it_responds"]

MOST_BARS = 40

# The text stays in sight while the bars go by: a bar's answer is in the text. Beside the bars it sticks within its own
# column; on a phone, where they come below it, across both. Streamlit's bar at the top is 3.75rem high; Streamlit gives
# HTML no variable for the page's own colour, which must hide the bars that pass under the text.
LAYOUT = """<style>
.st-key-text_and_sums > :has(> .st-key-traced_text) { position: sticky; top: 3.75rem; z-index: 1; min-height: 0 }
.st-key-traced_text { max-height: calc(100vh - 5rem); overflow-y: auto;
  width: calc(100% + 6px); margin-inline: -3px; padding-inline: 3px }  /* room for the scored token's frame */
.st-key-text_and_sums > * { min-width: 0; align-self: start }
@media (max-width: 640px) {
  .st-key-traced_text { max-height: 40vh; padding-block: 0.25rem 0.5rem; background: light-dark(PAPER);
    border-bottom: 1px solid rgba(128, 140, 155, 0.5) }
}
@media (min-width: 641px) {
  .st-key-text_and_sums { display: grid; grid-template: auto 1fr / repeat(2, minmax(0, 1fr)); gap: 1rem 4rem }
  .st-key-text_and_sums > :has(> .st-key-sums) { grid-area: 1 / 2 / 3 / 3 }
}
</style>"""


@dataclass(frozen=True)
class Explained:
    """One answer among those to its prompt, and its contributions under the steering in force.

    `table` has a row a feature, largest |contribution| first: feature, label, activation z, weight w, contribution w z,
    density. `rewards` and `steered` [n] are of all answers.
    """

    engine: Engine
    comparison: Comparison
    index: int
    scored: Scored
    steering: Steering
    rewards: np.ndarray
    steered: np.ndarray
    table: pd.DataFrame
    notes: Mapping[int, FeatureNote]

    @classmethod
    def of(
        cls, engine: Engine, comparison: Comparison, index: int, scored: Scored, steering: Steering
    ) -> Explained:
        """Arithmetic on what is scored already, and names from the store."""
        steered = scored.steered(steering)
        made_of = steered.matrix.table(index)
        ids = made_of.features.tolist()
        notes = engine.notes(ids)
        table = pd.DataFrame(made_of.columns())
        insert_names(table, notes)
        table["density"] = [notes[i].density for i in ids]
        return cls(engine, comparison, index, scored, steering, scored.rewards, steered.rewards, table, notes)


def figures(of: Explained) -> None:
    """Margin, rank and reward among the answers, and a warning where the model did not read all of this one."""
    reward, index, scorer = of.steered[of.index], of.index, of.engine.scorer
    with st.container(horizontal=True, key="figures"):
        others = np.delete(of.steered, index)
        if len(others):
            st.metric("Margin to the best other", f"{reward - others.max():+.3f}", width="content")
            rank = int((of.steered > reward).sum()) + 1
            st.metric("Rank", f"{rank} of {len(of.steered)}", width="content")
        st.metric(
            "Reward", f"{reward:+.3f}", _changed(of), delta_color="off", delta_arrow="off", width="content"
        )
        active = f"{int(of.scored.matrix.n_active[index]):,} of {scorer.n_features:,}"
        st.metric("Active features", active, width="content")
    st.caption("Only differences between answers to one prompt mean anything; the reward alone has no scale.")
    if of.scored.n_cut[index]:
        st.warning(
            f"Prompt and answer are longer than {scorer.max_length:,} tokens: the first "
            f"{of.scored.n_cut[index]:,} were cut and had no influence. What is left ends with the end of the answer.",
            icon=":material/content_cut:",
        )


def _changed(of: Explained) -> str | None:
    """What the steering does to this reward, in words where it does nothing."""
    if not of.steering:
        return None
    change = f"{of.steered[of.index] - of.rewards[of.index]:+.3f}"
    return "not moved by the steering" if float(change) == 0 else f"{change} by the steering"


def side_by_side() -> tuple[tuple[DeltaGenerator, DeltaGenerator], DeltaGenerator]:
    """Places for the head and the body of the text, which stays in sight, and for the sums beside or below it."""
    paper = ", ".join(str(st.get_option(f"theme.{base}.backgroundColor")) for base in ("light", "dark"))
    st.html(LAYOUT.replace("PAPER", paper))
    with st.container(key="text_and_sums"):
        text = st.container(key="traced_head"), st.container(key="traced_text")
        return text, st.container(key="sums")


def made_of(of: Explained) -> None:
    """Every feature's part of the reward, as bars and as numbers; a bar is a way to `where_it_responds`."""
    table = of.table
    _keep_traced(table)
    st.header("What the reward is made of", anchor=False)
    error = abs(float(table["contribution"].sum()) - float(of.steered[of.index]))
    st.caption(
        f":green-badge[exact] the contributions w z of all {len(table)} features sum to the reward (error {error:.0e})"
        + ("; z is as steered" if of.steering else "")
    )
    chart, numbers = st.tabs(["Bars", "Table"])
    with chart:
        feature_bars(
            key="contributions",
            columns=["contribution w z"],
            bars=bars(table.head(MOST_BARS), ("contribution",), of.notes, session.steering().panel),
            chosen=st.session_state["traced"],
            click_hint="Show in the text",
            on_click=_show_in_text,
            on_add=lambda feature: session.add_features([feature]),
        )
        if len(table) > MOST_BARS:
            st.caption(f"The {MOST_BARS} largest of {len(table)}; the table has all.")
    with numbers:
        st.dataframe(
            table,
            hide_index=True,
            key="contributions_table",
            column_config={
                "feature": st.column_config.NumberColumn(format="#%d"),
                "activation": st.column_config.NumberColumn("activation z", format="%.4f"),
                "weight": st.column_config.NumberColumn("head weight w", format="%+.4f"),
                "contribution": st.column_config.NumberColumn("contribution w z", format="%+.4f"),
                "density": st.column_config.NumberColumn("fires in", format="percent"),
            },
        )


def where_it_responds(of: Explained, head: DeltaGenerator, body: DeltaGenerator) -> int | None:
    """The answer's tokens shaded by the feature that is chosen; gives it, or None where none is active."""
    _keep_traced(of.table)
    choices = _choices(of.table)
    with head:
        st.header("Where a feature responds", anchor=False)
        if not choices:
            st.info("No feature is active at the scored token of this answer.", icon=":material/info:")
            return None
        with st.container(horizontal=True, vertical_alignment="bottom"):
            feature = st.selectbox(
                "Feature, or click a bar",
                choices,
                format_func=lambda i: feature_title(i, of.notes.get(i), 60),
                key="traced",
                persist_state="session",
            )
            st.button(
                "Feature's page",
                on_click=lambda: st.session_state.update(open_feature=feature),
                icon=":material/ink_highlighter:",
                key="open_traced",
            )
        st.caption(
            "Only the framed last token is scored; the others show what the feature responds to, which is not yet "
            "proof of what caused the score."
        )
    with body:
        (view,) = session.traces(of.engine, of.comparison, of.scored, (of.index,), feature)
        along = view.activations[:, 0]
        st.caption(
            f":green-badge[exact] z of feature #{feature} at each token, before steering; it is active at "
            f"{int((along != 0).sum()):,} of {len(along):,}."
        )
        st.html(
            token_html(
                view.pieces,
                along,
                scale=float(np.abs(along).max()),
                scored=len(along) - 1,
                muted_until=view.answer_start,
                fold_prompt=True,
            )
        )
    return feature


def _choices(table: pd.DataFrame) -> list[int]:
    return [int(i) for i in table["feature"]]


def _keep_traced(table: pd.DataFrame) -> None:
    """What was chosen stays while it is active here; else the largest contribution is shown."""
    choices = _choices(table)
    if st.session_state.get("traced") not in choices:
        st.session_state["traced"] = choices[0] if choices else None


def _show_in_text(feature: int) -> None:
    """Callback."""
    st.session_state["traced"] = feature
