"""The table of features: what the widgets on the page ask for, as a filter, and rows as a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import streamlit as st

from app.session.engine import FeatureNote
from feature_db import FeatureFilter, Store
from feature_db.features.catalogue import FeatureRow
from feature_db.features.names import Names
from feature_db.label.blindness import hidden_from
from sarm_core.features import FeatureMatrix

__all__ = [
    "DEAD",
    "DENSE",
    "DENSITIES",
    "NAMED",
    "PAGE_ROWS",
    "SEARCH_BY",
    "SIGNS",
    "SORTS",
    "Wanted",
    "columns_shown",
    "firing_frame",
    "frame",
    "numbers",
    "seen_by",
]

PAGE_ROWS = 25
DENSE = 0.1
"""A feature that fires at more than this share of positions says little about any one text."""

SORTS = {
    "|w| × mean z": "effect",
    "|w|": "abs_weight",
    "w": "head_weight",
    "density": "density",
    "mean z": "mean",
    "max z": "max",
    "labels": "n_labels",
    "number": "id",
}
DENSITIES = {"0": 0.0, "0.001 %": 1e-5, "0.01 %": 1e-4, "0.1 %": 1e-3, "1 %": 1e-2, "10 %": 0.1, "100 %": 1.0}
SEARCH_BY = ("all", "words", "meaning", "texts")
SIGNS = {"any sign": None, "w > 0": 1, "w < 0": -1}
NAMED = ("labelled or not", "labelled", "unlabelled", "only suggested", "disputed")
DEAD = ("with dead ones", "without dead ones", "dead ones only")


@dataclass(frozen=True)
class Wanted:
    """What the widgets say; the values are the texts on them, and may come from an address bar."""

    words: str = ""
    density: tuple[str, str] = ("0", "100 %")
    hide_dense: bool = True
    sign: str = "any sign"
    named: str = NAMED[0]
    dead: str = DEAD[0]
    list_id: int | None = None
    ids: tuple[int, ...] | None = None

    def filters(self, *, hide_dense: bool | None = None) -> FeatureFilter:
        """The same as a filter of the store; `hide_dense` overrides the switch."""
        low, high = (DENSITIES.get(text, place) for place, text in enumerate(self.density))
        if self.hide_dense if hide_dense is None else hide_dense:
            high = min(high, DENSE)
        if self.dead == DEAD[2]:  # they have a density of their own, whatever range is set
            low, high = 0.0, 1.0
        return FeatureFilter(
            ids=self.ids,
            labelled={"labelled": True, "unlabelled": False, "only suggested": False}.get(self.named),
            suggested=True if self.named == "only suggested" else None,
            disputed=True if self.named == "disputed" else None,
            min_density=low or None,
            max_density=high if high < 1 else None,
            dead={DEAD[1]: False, DEAD[2]: True}.get(self.dead),
            weight_sign=SIGNS.get(self.sign),
            list_id=self.list_id,
            query=self.words.strip() or None,
        )


def seen_by(store: Store, filters: FeatureFilter, name: str) -> FeatureFilter:
    """The same filter, but words do not find labels that `name` must not read yet (`feature_db.label.blindness`)."""
    if filters.query is None:
        return filters
    names = Names(store)
    in_labels, in_suggestions = names.with_words(filters.query)
    unseen = hidden_from(store, name, in_labels).keys() - in_suggestions if in_labels else set()
    if not unseen:
        return filters
    return replace(filters, ids=[i for i in names.features(filters).tolist() if i not in unseen])


def frame(rows: Sequence[FeatureRow]) -> pd.DataFrame:
    """Rows of one page, as numbers; unknown ones are missing, never 0."""
    return pd.DataFrame(
        [
            {
                "open": f"#{row.id}",
                "name": name,
                "by": by,
                "accuracy": row.suggestion_accuracy if by == "suggested" else None,
                "head_weight": row.head_weight,
                "effect": row.effect,
                "density": row.density,
                "mean": row.mean,
                "max": row.max,
                "firing_count": row.firing_count,
                "n_labels": row.n_labels,
            }
            for row in rows
            for name, by in [_name(row)]
        ]
    )


def _name(row: FeatureRow) -> tuple[str, str]:
    if row.standing is not None:
        return row.standing.name or row.settled or " · ".join(reversed(row.labels)), row.standing.note
    return (
        (row.suggestion, "suggested")
        if row.suggestion
        else (row.example or "", "example" if row.example else "")
    )


def columns_shown(open_row: Any) -> dict[str, Any]:
    """Column settings for `frame` and `firing_frame`; `open_row` is called when a number is clicked."""
    number = st.column_config.NumberColumn
    return {
        "open": st.column_config.ButtonColumn(
            "feature", width=84, pinned=True, type="tertiary", on_click=open_row, key="feature_clicked"
        ),
        "name": st.column_config.TextColumn(
            "called",
            width="medium",
            help="The name that holds, else the labels, latest first, else a suggestion",
        ),
        "by": st.column_config.TextColumn(
            "how named",
            width=94,
            help="By people: settled, or how many labels agree; disputed, no pattern or no verdict where the labels "
            "make no name. Suggested: by a program",
        ),
        "accuracy": number(
            "holds",
            width=70,
            format="%.2f",
            help="How well a suggestion tells places where the feature fires from others, on texts it was not made "
            "from (balanced accuracy): 0.5 is chance, 1 is always right. Empty for labels, and where nobody tried",
        ),
        "similarity": st.column_config.ProgressColumn(
            "similarity",
            format="%.2f",
            min_value=0,
            max_value=1,
            width=110,
            help="Cosine between what you typed and the nearest of the feature's names; names below 0.2 are left out",
        ),
        "matched": st.column_config.TextColumn(
            "nearest name", width="large", help="The label or suggestion that is most like what you typed"
        ),
        "matched_in": st.column_config.TextColumn(
            "how named",
            width=94,
            help="By people: settled, or how many labels agree; disputed, no pattern or no verdict. Else by a program",
        ),
        "found_by": st.column_config.TextColumn("found by", width=150, help="What the words were found in"),
        "why": st.column_config.TextColumn(
            "why",
            width="large",
            help="Of pairs of answers to one prompt, one of which has more of what was asked for: how often the "
            "feature is higher in that one (equal counts half). Or the name that is like it; or texts with the words",
        ),
        "texts": st.column_config.TextColumn(
            "in texts", width=84, help="Of its kept texts in which it fires, those with all these words"
        ),
        "excerpt": st.column_config.TextColumn(
            "where it fires most strongly", width="large", help="From the text of these with the largest z"
        ),
        "head_weight": number("head weight w", format="%+.4f"),
        "effect": number("|w| × mean z", format="%.3g", help="Mean over all positions, silent ones as 0"),
        "density": number("fires in", format="percent", help="Share of the harvested positions"),
        "mean": number("mean z", format="%.3f", help="Over the positions where it fires"),
        "max": number("max z", format="%.3f"),
        "firing_count": number("positions", format="localized", help="Positions where it fires"),
        "n_labels": number("labels", width=70),
        "activation": number("activation z", format="%.4f"),
        "contribution": number("contribution w z", format="%+.4f"),
    }


def firing_frame(
    matrix: FeatureMatrix, row: int, notes: Mapping[int, FeatureNote], *, hide_dense: bool
) -> tuple[pd.DataFrame, int]:
    """Features active in one answer, largest |w z| first, and how many dense ones were left out.

    A feature whose density is unknown is kept.
    """
    rows: list[dict[str, Any]] = []
    hidden = 0
    for found in matrix.table(row).rows():
        note = notes.get(int(found["feature"]), FeatureNote())
        if hide_dense and note.density is not None and note.density > DENSE:
            hidden += 1
            continue
        rows.append(
            {
                "open": f"#{found['feature']}",
                "name": note.name,
                "by": note.mark or ("label" if note.name else ""),
                "activation": found["activation"],
                "head_weight": found["weight"],
                "contribution": found["contribution"],
                "density": note.density,
            }
        )
    return pd.DataFrame(rows), hidden


def numbers(shown: pd.DataFrame, rows: Sequence[int]) -> list[int]:
    """Feature numbers of the chosen rows of a shown frame."""
    return [int(str(shown["open"].iloc[row]).removeprefix("#")) for row in rows if 0 <= row < len(shown)]
