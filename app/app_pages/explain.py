"""Explain one answer: its reward as a sum over features, and where in the text a feature is active."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from app.compare.prompt import prompt_box
from app.components.feature_bars import feature_bars
from app.draw.token_view import token_html
from app.explain.answer_choice import choose_answer
from app.explain.bars import bars
from app.explain.occlusion_view import which_words
from app.session import session
from app.session.feature_title import feature_title

MOST_BARS = 40

# The text stays in sight while the bars go by: a bar's answer is in the text. Beside the bars it sticks within its own
# column; on a phone, where they come below it, across both. Streamlit's bar at the top is 3.75rem high; Streamlit gives
# HTML no variable for the page's own colour, which must hide the bars that pass under the text.
PAPER = ", ".join(str(st.get_option(f"theme.{base}.backgroundColor")) for base in ("light", "dark"))
LAYOUT = f"""<style>
.st-key-text_and_sums > :has(> .st-key-traced_text) {{ position: sticky; top: 3.75rem; z-index: 1; min-height: 0 }}
.st-key-traced_text {{ max-height: calc(100vh - 5rem); overflow-y: auto;
  width: calc(100% + 6px); margin-inline: -3px; padding-inline: 3px }}  /* room for the scored token's frame */
.st-key-text_and_sums > * {{ min-width: 0; align-self: start }}
@media (max-width: 640px) {{
  .st-key-traced_text {{ max-height: 40vh; padding-block: 0.25rem 0.5rem; background: light-dark({PAPER});
    border-bottom: 1px solid rgba(128, 140, 155, 0.5) }}
}}
@media (min-width: 641px) {{
  .st-key-text_and_sums {{ display: grid; grid-template: auto 1fr / repeat(2, minmax(0, 1fr)); gap: 1rem 4rem }}
  .st-key-text_and_sums > :has(> .st-key-sums) {{ grid-area: 1 / 2 / 3 / 3 }}
}}
</style>"""

current = session.engine()
session.open_link(current)
if (opened := st.session_state.pop("open_feature", None)) is not None:
    st.switch_page("app_pages/feature.py", query_params={"feature": str(opened)})
st.title("Explain one answer", anchor=False)
st.caption("What makes up the reward of this answer, and where in the text does a feature respond?")
now, index = choose_answer()
session.show_messages()
prompt_box(now)

scored = session.score(current, now)
held = session.steering()
session.offer_features(scored)
steered = scored.steered(held.current)
rewards, steered_rewards = scored.rewards, steered.rewards
rank = int((steered_rewards > steered_rewards[index]).sum()) + 1

with st.container(horizontal=True, key="figures"):
    others = np.delete(steered_rewards, index)
    if len(others):
        st.metric(
            "Margin to the best other", f"{steered_rewards[index] - others.max():+.3f}", width="content"
        )
        st.metric("Rank", f"{rank} of {len(now.answers)}", width="content")
    changed = f"{steered_rewards[index] - rewards[index]:+.3f} by the steering" if held.current else None
    st.metric("Reward", f"{steered_rewards[index]:+.3f}", changed, delta_color="off", width="content")
    active = f"{int(scored.matrix.n_active[index]):,} of {current.scorer.n_features:,}"
    st.metric("Active features", active, width="content")
st.caption("Only differences between answers to one prompt mean anything; the reward alone has no scale.")
if scored.n_cut[index]:
    st.warning(
        f"Prompt and answer are longer than {current.scorer.max_length:,} tokens: the first "
        f"{scored.n_cut[index]:,} were cut and had no influence. What is left ends with the end of the answer.",
        icon=":material/content_cut:",
    )

ids, contributions = steered.contributions(index)
z = dict(zip(*(part.tolist() for part in steered.matrix.activations(index)), strict=True))
notes = current.notes(ids.tolist())
order = np.argsort(-np.abs(contributions), kind="stable")
table = pd.DataFrame(
    {
        "feature": ids,
        "label": [notes[i].name for i in ids.tolist()],
        "activation": [z.get(i, 0.0) for i in ids.tolist()],
        "weight": scored.matrix.head[ids].astype(float),
        "contribution": contributions,
        "density": [notes[i].density for i in ids.tolist()],
    }
).iloc[order]
choices = [int(i) for i in table["feature"]]
if st.session_state.get("traced") not in choices:
    st.session_state["traced"] = choices[0] if choices else None


def show_in_text(feature: int) -> None:
    """Callback."""
    st.session_state["traced"] = feature


st.html(LAYOUT)
with st.container(key="text_and_sums"):
    text_head = st.container(key="traced_head")
    text_body = st.container(key="traced_text")
    sums = st.container(key="sums")
with sums:
    st.subheader("What the reward is made of", anchor=False)
    error = abs(float(contributions.sum()) - float(steered_rewards[index]))
    st.caption(
        f":green-badge[exact] the contributions w z of all {len(table)} features sum to the reward (error {error:.0e})"
        + ("; z is as steered" if held.current else "")
    )
    chart, numbers = st.tabs(["Bars", "Table"])
    with chart:
        feature_bars(
            key="contributions",
            columns=["contribution w z"],
            bars=bars(table.head(MOST_BARS), ("contribution",), notes, held.panel),
            chosen=st.session_state["traced"],
            click_hint="Show in the text",
            on_click=show_in_text,
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

with text_head:
    st.subheader("Where a feature responds", anchor=False)
    if not choices:
        st.info("No feature is active at the scored token of this answer.", icon=":material/info:")
if choices:
    with text_head:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            feature = st.selectbox(
                "Feature, or click a bar",
                choices,
                format_func=lambda i: feature_title(i, notes.get(i), 60),
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
    with text_body:
        (view,) = session.traces(current, now, scored, (index,), feature)
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
if choices:
    st.divider()
    which_words(current, now.conversations()[index], feature)
session.update_link(current, ("explained", "traced"))
