"""The widgets that say which features are listed, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app.draw.plain_text import cut
from app.features.lists import changeable_list, manage_list
from app.features.own_text import own_text_form
from app.features.table import DEAD, DENSE, DENSITIES, NAMED, SEARCH_BY, SIGNS, SORTS, Wanted
from app.session.engine import Engine
from feature_db import FeatureFilter
from feature_db.saved_work import FeatureList

__all__ = ["Search", "filter_row", "search_row"]


@dataclass(frozen=True)
class Search:
    """What was typed, what it is looked for in, and whether dense features are left out."""

    words: str
    by: str
    """One of SEARCH_BY; "words", which finds all features, where nothing was typed."""
    hide_dense: bool

    @property
    def order(self) -> str | None:
        """The order a search brings with it, in words; None where it is the one to sort by."""
        return {
            "all": "order of what speaks for each",
            "meaning": "order of similarity",
            "texts": "order of how many texts match",
        }.get(self.by)


def _first_page() -> None:
    """Callback of everything that changes which rows there are."""
    st.session_state["f_page"] = 1


def _example(engine: Engine) -> str:
    """What to type, by a name that is there to be found: that of the feature with most influence that has one."""
    with engine.store() as store:
        named = store.features_page("effect", filters=FeatureFilter(suggested=True), limit=1).rows
    name = named[0].suggestion.split(";")[0].strip() if named and named[0].suggestion else ""
    return f"{cut(name, 30)}, rude, lists, or what it is about" if name else "a word of a name or of a text"


def search_row(engine: Engine) -> Search:
    """The search, the door to one's own text, and the switch for dense features."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input(
            "Search features",
            key="f_words",
            bind="query-params",
            icon=":material/search:",
            placeholder=_example(engine),
            on_change=_first_page,
            width=380,
        )
        by = st.segmented_control(
            "Search by",
            SEARCH_BY,
            default=SEARCH_BY[0],
            required=True,
            key="f_by",
            bind="query-params",
            on_change=_first_page,
            help="All: labels with the words, features that are higher in answers of this kind, suggested names with "
            "the words, names like it, texts with the words; each feature once. Words: every word you type occurs in "
            "the name, in the order you sort by. Meaning: names that say something like it in other words, most "
            "similar first. English. Texts: features that fire in texts with all these words, most such texts first, "
            "then the largest |w| × mean z.",
        )
        own_text_form(engine)
        hide_dense = st.toggle(
            f"Hide dense features (more than {DENSE:.0%})",
            value=True,
            key="f_hide_dense",
            bind="query-params",
            on_change=_first_page,
            help="Features that fire nearly everywhere say little about any one text",
        )
    return Search(words, by if words.strip() else "words", hide_dense)


def filter_row(
    engine: Engine, lists: Sequence[FeatureList], me: str, search: Search
) -> tuple[Wanted, str, bool]:
    """What is wanted, the name of the number to sort by, and whether the largest come first."""

    def list_title(number: int) -> str:
        """The list's name for the menu and the address; its size changes, so it is left out."""
        found = next((item for item in lists if item.id == number), None)
        return "any list" if found is None else f"{found.name} ({found.owner or 'no name'}) #{found.id}"

    with st.container(horizontal=True, vertical_alignment="bottom"):
        sort = st.selectbox(
            "Sort by",
            list(SORTS),
            key="f_sort",
            bind="query-params",
            on_change=_first_page,
            disabled=search.order is not None,
            help=f"A search by {search.by} is in {search.order}" if search.order else None,
            width=170,
        )
        order = st.segmented_control(
            "Order",
            ["largest first", "smallest first"],
            default="largest first",
            required=True,
            key="f_order",
            bind="query-params",
            on_change=_first_page,
            disabled=search.order is not None,
        )
        sign = st.selectbox(
            "Head weight", list(SIGNS), key="f_sign", bind="query-params", on_change=_first_page, width=130
        )
        named = st.selectbox(
            "Labels", NAMED, key="f_named", bind="query-params", on_change=_first_page, width=170
        )
        dead = st.selectbox(
            "Dead features", DEAD, key="f_dead", bind="query-params", on_change=_first_page, width=180
        )
        list_id = st.selectbox(
            "On the list",
            [0, *(item.id for item in lists)],
            format_func=list_title,
            key="f_list",
            bind="query-params",
            on_change=_first_page,
            width=220,
        )
        list_to_change = changeable_list(engine, lists, list_id, me)
        if list_to_change is not None:
            manage_list(engine, list_to_change, me)
        low, high = st.select_slider(
            "Density, from and to",
            list(DENSITIES),
            value=("0", "100 %"),
            key="f_density",
            bind="query-params",
            on_change=_first_page,
            width=280,
        )
    wanted = Wanted(
        words="" if search.order else search.words,
        density=(low, high),
        hide_dense=search.hide_dense,
        sign=sign,
        named=named,
        dead=dead,
        list_id=list_id or None,
    )
    return wanted, sort, order == "largest first"
