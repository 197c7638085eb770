"""What tells two kinds of answers apart: a table and a picture of features, and the pairs whose label looks wrong."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from app.draw.files import as_csv
from app.draw.plain_text import plain
from app.features.slider_actions import slider_actions
from app.find.found import AXES, Found, listed, scatter, summary
from app.find.headline import headline
from app.session import session
from app.session.engine import Engine, FeatureNote
from sarm_core.bootstrap import FEWEST_PROMPTS
from sarm_core.errors import SarmError
from sarm_core.find.suspicious import keep_trusted
from sarm_core.find.tables import WIDE_PROMPTS

__all__ = ["show", "suspicious"]

ROWS = 500
POINTS = 5_000  # a browser draws more of them too slowly to be of use
COLUMNS = [
    "feature", "label", "s", "s_low", "s_high", "w", "flags", "freq_difference", "freq_difference_low",
    "freq_difference_high", "cohens_d", "stability", "n_firing", "complement_sum", "complement_freq",
    "margin_share", "density",
]  # fmt: skip


def show(found: Found, engine: Engine) -> None:
    """The features, as a table and as a picture, and what may be done with them."""
    result = found.contrast
    notes: dict[int, FeatureNote] = engine.notes(result.table["feature"].tolist())
    st.header(plain(found.title), anchor=False)
    headline(found, notes)
    st.caption(f"{summary(found)} Positive s: more active in the answers that are “{plain(found.names[0])}”.")
    opposing, few = int(result.table["opposes_head"].sum()), int(result.table["few"].sum())
    if found.notes:
        lines = [plain(note[0].upper() + note[1:]) for note in found.notes]
        st.info("  \n".join(lines), icon=":material/info:")
    if result.n_prompts < WIDE_PROMPTS:
        wide = "wide" if result.n_prompts >= FEWEST_PROMPTS else f"not given below {FEWEST_PROMPTS}"
        st.warning(
            f"Only {result.n_prompts} prompts: intervals are {wide}, and a feature that stands out may do so by chance."
        )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sorts = {
            name: column
            for name, column in AXES.items()
            if column in result.table.columns and result.table[column].notna().any()
        }
        sort = st.selectbox("Largest first by", list(sorts), key="find_sort", width=240)
        # A filter that would hide everything is not offered: with few answers all features fire in few.
        hide_few = few < len(result.table) and st.toggle(
            f"Hide what fires in fewer than 20 answers ({few:,})", True, key="find_hide_few"
        )
        only_opposing = st.toggle(
            f"Only those the head weighs the other way ({opposing:,})", key="find_opposing"
        )
    table = listed(found, notes, hide_few=hide_few, only_opposing=only_opposing, sort=sorts[sort])
    if table.empty:
        st.info("No feature is left: switch one of the two filters off, or compare more answers.")
        return
    rows, picture = st.tabs(["Table", "Picture"])
    with rows:
        shown = table.head(ROWS)
        selection = st.dataframe(
            shown[[name for name in COLUMNS if name in shown.columns]],
            hide_index=True,
            on_select="rerun",
            selection_mode="multi-row",
            column_config=_column_config(),
            height=min(560, 38 + 35 * len(shown)),
            key=f"find_table_{found.title}_{sort}_{hide_few}_{only_opposing}",
        )
        if len(table) > len(shown):
            st.caption(f"The first {len(shown)} of {len(table):,}; the download has all.")
        slider_actions(
            [int(shown["feature"].iloc[i]) for i in selection.selection.rows], "find_table", found.title
        )
    with picture:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            names = list(sorts)
            x = st.selectbox("Across", names, key="find_x", width=240)
            y = st.selectbox("Up", names, index=len(names) - 1, key="find_y", width=240)
        event = st.plotly_chart(
            scatter(table.head(POINTS), (x, sorts[x]), (y, sorts[y]), notes),
            key="find_scatter",
            on_select="rerun",
            selection_mode=("points", "box"),
            config={"displaylogo": False, "modeBarButtonsToRemove": ["sendDataToCloud"]},
        )
        most = f" The {POINTS:,} with the largest {sort} of {len(table):,}." if len(table) > POINTS else ""
        st.caption(
            f"Size: in how many answers the feature fires. The colour compares the signs of s and w.{most}"
        )
        points = list(dict.fromkeys(int(point["customdata"][0]) for point in event.selection.points))
        slider_actions(
            points,
            "find_picture",
            found.title,
            hint="Click a point, or draw a box around several, to put them on the sliders.",
        )
    st.download_button(
        "Table as CSV",
        lambda: as_csv(table),  # a second's work for a large dictionary: on request
        file_name="contrast.csv",
        mime="text/csv",
        icon=":material/download:",
        key="find_csv",
    )
    if session.steering().panel:
        st.page_link(
            "app_pages/evaluate.py", label="Evaluate what the sliders change", icon=":material/checklist:"
        )


def suspicious(found: Found) -> None:
    """Pairs whose label the features contradict, and the file without the worst of them."""
    if not found.encodings.sides.rows:
        return  # pairs made by rule or from the corpus: nobody labelled them
    with st.expander("Pairs whose label looks wrong", icon=":material/flag:"):
        st.caption(
            "concept: what chosen and rejected answers differ in elsewhere speaks against this label (each pair is "
            "judged by the pairs of other prompts). margin: the head prefers the rejected answer. Neither proves a "
            "wrong label: read the pair."
        )
        by = st.segmented_control(
            "Order by", ["concept", "margin", "both"], default="concept", required=True, key="find_by"
        )
        table = found.encodings.suspicious(by or "concept")
        given = found.encodings.sides
        texts = table.head(ROWS).copy()
        texts.insert(0, "row", [given.chosen.places[p][1] for p in texts["pair"]])
        texts["chosen"] = [
            (given.chosen.conversations[p].answer or "(token ids)")[:300] for p in texts["pair"]
        ]
        texts["rejected"] = [
            (given.rejected.conversations[p].answer or "(token ids)")[:300] for p in texts["pair"]
        ]
        st.dataframe(
            texts.drop(columns=["pair", "concept_rank", "margin_rank"]),
            hide_index=True,
            column_config={
                "concept": st.column_config.NumberColumn(format="%+.3f"),
                "margin": st.column_config.NumberColumn(format="%+.3f"),
                "contradicted_by": st.column_config.TextColumn("contradicted by"),
            },
        )
        percent = st.slider("Leave out the worst", 0.0, 30.0, 4.0, 0.5, format="%.1f %%", key="find_drop")
        try:
            kept = keep_trusted(table, percent / 100)
        except SarmError as error:
            st.warning(plain(str(error)))
            return
        body = "".join(json.dumps(dict(given.rows[i]), ensure_ascii=False) + "\n" for i in kept)
        st.download_button(
            f"Cleaned set: {len(kept):,} of {len(table):,} pairs",
            body,
            file_name="cleaned.jsonl",
            mime="application/x-ndjson",
            icon=":material/download:",
            key="find_cleaned",
        )


def _column_config() -> dict[str, Any]:
    number = st.column_config.NumberColumn
    return {
        "feature": number(format="#%d"),
        "s": number(
            "salience s", format="%+.3f", help="(c − j) / (c + j + mean): which side it is more active in"
        ),
        "s_low": number("s from", format="%+.3f"),
        "s_high": number("s to", format="%+.3f"),
        "w": number("head weight w", format="%+.4f"),
        "flags": st.column_config.TextColumn(
            "look twice",
            help="against w: the head weighs it the other way; few answers: it fires in fewer than 20",
        ),
        "freq_difference": number("fires more often by", format="percent"),
        "freq_difference_low": number("from", format="percent"),
        "freq_difference_high": number("to", format="percent"),
        "cohens_d": number("Cohen's d", format="%+.2f"),
        "stability": number(
            "sign stability", format="percent", help="Share of differing pairs with the common sign"
        ),
        "n_firing": number("fires in answers", format="%d"),
        "complement_sum": number(
            "total on complement", format="%.2f", help="Sum of z: what a change would also touch"
        ),
        "complement_freq": number("fires in complement", format="percent"),
        "margin_share": number(
            "w Δz", format="%+.4f", help="These sum to the difference of the mean rewards"
        ),
        "density": number("fires in corpus", format="percent"),
    }
