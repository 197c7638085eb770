"""All features that fit: on the map, and page by page in a table, by a number, by meaning or by texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.draw.plain_text import cut, plain
from app.features.actions import feature_actions
from app.features.filters import Search
from app.features.lists import changeable_list
from app.features.map import feature_map, map_columns, map_names, on_map, selected_ids
from app.features.meaning_search import nothing_found, search_by_meaning, similarity_frame, weak_match
from app.features.one_search import KINDS, OneSearch, match_frame, search_everything
from app.features.table import DEAD, PAGE_ROWS, SORTS, Wanted, columns_shown, frame, numbers, seen_by
from app.features.text_search import text_ranking, texts_frame
from app.features.trait_search import trait_index
from app.features.view import open_feature
from app.session.engine import Engine
from feature_db import FeatureFilter
from feature_db.features.text_search import features_by_texts
from feature_db.label.blindness import rows_for
from feature_db.saved_work import FeatureList

__all__ = ["Listing", "show_all"]

SOON_DONE = 5_000  # so many names get their vectors before a progress bar could be read


@dataclass(frozen=True)
class Listing:
    """What is listed, and for whom."""

    engine: Engine
    me: str
    lists: Sequence[FeatureList]
    n_harvested: int
    search: Search
    wanted: Wanted
    sort: str
    descending: bool

    def on_the_map(self) -> list[str]:
        """What to say of a box drawn on the map."""
        ids = self.wanted.ids
        return [] if ids is None else [f"{len(ids):,} in the selection on the map (double-click it to clear)"]


def show_all(of: Listing) -> None:
    """The map, and under it the rows that fit."""
    picked = _map(of)
    if picked is not None:
        of = replace(of, wanted=replace(of.wanted, ids=tuple(picked)))
    above, below = st.container(), st.container()
    show = {"all": _by_all, "meaning": _by_meaning, "texts": _by_texts}.get(of.search.by, _by_number)
    show(of, above, below)


def _map(of: Listing) -> list[int] | None:
    columns = map_columns(of.engine)
    # Whoever searches wants the names: they come without scrolling past the map.
    with st.expander(
        "Map: head weight against density",
        expanded=not of.search.words.strip(),
        icon=":material/scatter_plot:",
    ):
        event = st.plotly_chart(
            feature_map(columns, map_names(of.engine)),
            key="f_map",
            on_select="rerun",
            selection_mode=("points", "box"),
            config={"displaylogo": False, "modeBarButtonsToRemove": ["sendDataToCloud"]},
        )
        n_off = int((~on_map(columns)).sum())
        missing = f" {n_off:,} that never fired, or of unknown density, have no place on it." if n_off else ""
        st.caption(
            f"All {len(columns['id']):,} harvested features.{missing} Draw a box to list only what is inside."
        )
    return selected_ids(columns, event.selection)


def _page_number(below: DeltaGenerator, total: int) -> tuple[DeltaGenerator, int]:
    """The foot of the table with its page widget, and the first row of the page that is shown."""
    # The page's number is known only once its widget is drawn, and that belongs under the table.
    foot = below.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
    number = foot.pagination(max(1, -(-total // PAGE_ROWS)), key="f_page", bind="query-params")
    return foot, (number - 1) * PAGE_ROWS


def _open_clicked() -> None:
    """Callback: the number of a row was clicked."""
    open_feature(int(str(st.session_state["feature_clicked"]["label"]).removeprefix("#")))


def _rows(
    of: Listing, shown: pd.DataFrame, first: int, total: int, above: DeltaGenerator, foot: DeltaGenerator
) -> None:
    selection = above.dataframe(
        shown,
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"f_table_{'_'.join(name[1:] for name in shown['open'])}",
        column_config=columns_shown(_open_clicked),
        placeholder="",
        height=38 + 35 * len(shown),
    )
    foot.caption(f"rows {first + 1:,} to {first + len(shown):,} of {total:,}", text_alignment="right")
    number = of.wanted.list_id
    changed = number is not None and changeable_list(of.engine, of.lists, number, of.me)
    feature_actions(
        of.engine, of.lists, of.me, numbers(shown, selection.selection.rows), number if changed else None
    )


def _by_number(of: Listing, above: DeltaGenerator, below: DeltaGenerator) -> None:
    """Features by a number, those with the words if there are any."""
    column, wanted = SORTS[of.sort], of.wanted
    with of.engine.store() as store:
        filters = seen_by(store, wanted.filters(), of.me)
        total = store.features_page(column, filters=filters, limit=0).total
        wider = seen_by(store, wanted.filters(hide_dense=False), of.me)
        dense = store.features_page(column, filters=wider, limit=0).total - total
        foot, first = _page_number(below, total)
        page = store.features_page(column, of.descending, filters, limit=PAGE_ROWS, offset=first)
        rows = rows_for(store, of.me, page.rows)
    parts = [f"{total:,} of {of.n_harvested:,} features", *of.on_the_map()]
    if dense and wanted.hide_dense and wanted.dead != DEAD[2]:
        parts.append(f"{dense:,} dense {'ones' if dense > 1 else 'one'} hidden")
    above.caption(" · ".join(parts))
    if not rows and of.search.words.strip():
        above.info(
            f"No name has the words “{plain(cut(of.search.words.strip(), 60))}”. “all” looks at what answers are like "
            "and into texts, too; or widen the filters.",
            icon=":material/search_off:",
        )
        return
    if not rows:
        above.info(
            "No feature fits. Widen the density, or "
            + (
                "switch “Hide dense features” off."
                if dense and wanted.hide_dense
                else "choose other filters."
            ),
            icon=":material/filter_alt_off:",
        )
        return
    _rows(of, frame(rows), first, total, above, foot)


def _by_all(of: Listing, above: DeltaGenerator, below: DeltaGenerator) -> None:
    """Everything that speaks for a feature, in one list."""
    words = plain(cut(of.search.words.strip(), 60))
    with of.engine.store() as store:
        index = trait_index(store)

        def search(filters: FeatureFilter) -> OneSearch:
            return search_everything(store, of.search.words, filters, of.me, index)

        found = search(of.wanted.filters())
        dense = 0
        if of.wanted.hide_dense:
            dense = len(search(of.wanted.filters(hide_dense=False)).matches) - len(found.matches)
        total = len(found.matches)
        foot, first = (below, 0) if not total else _page_number(below, total)
        shown = match_frame(store, found.matches[first : first + PAGE_ROWS], of.me) if total else None
    if shown is None:
        above.info(
            f"No name and no kept text has the words “{words}”, and no kind of answer is called so. Use fewer or other "
            "words, or widen the filters.",
            icon=":material/search_off:",
        )
        return
    counts = Counter(match.kind for match in found.matches)
    parts = [f"{n:,} by {KINDS[kind]}" for kind in KINDS if (n := counts[kind])]
    said = [f"{total:,} of {of.n_harvested:,} features: {', '.join(parts)}", *of.on_the_map()]
    if dense > 0:
        said.append(f"{dense:,} dense hidden")
    read = " or ".join(f"“{plain(each)}”" for each in found.read_as[:3])
    if counts["answers"]:
        said.append(f"answers read as {read}")
    above.caption(" · ".join(said))
    _rows(of, shown, first, total, above, foot)


def _by_meaning(of: Listing, above: DeltaGenerator, below: DeltaGenerator) -> None:
    """Features by what they are called, most similar to the words first."""
    place = above.empty()

    def progress(done: int, total: int) -> None:
        if total > SOON_DONE:
            place.progress(done / total, text=f"Reading names, once: {done:,} of {total:,}")

    with of.engine.store() as store:
        found = search_by_meaning(store, of.search.words, of.wanted.filters(), of.me, progress)
        place.empty()
        total = len(found.matches)
        foot, first = _page_number(below, total)
        if total:
            shown = similarity_frame(store, found.matches[first : first + PAGE_ROWS])
    if not total:
        above.info(nothing_found(found), icon=":material/search_off:")
        return
    parts = [f"{total:,} of {of.n_harvested:,} features are called something like this", *of.on_the_map()]
    above.caption(
        ":orange-badge[estimated] "
        + " · ".join(parts)
        + f" · {found.n_names:,} names compared, most similar first"
    )
    if (weak := weak_match(found)) is not None:
        above.info(weak, icon=":material/question_mark:")
    _rows(of, shown, first, total, above, foot)


def _by_texts(of: Listing, above: DeltaGenerator, below: DeltaGenerator) -> None:
    """Features that fire in texts with the words, those with most such texts first."""
    words = of.search.words
    with of.engine.store() as store:
        ranking = text_ranking(store, words).within(store, of.wanted.filters())
        total = len(ranking.features)
        foot, first = _page_number(below, total)
        if total:
            found, _ = features_by_texts(store, words, ranking=ranking, limit=PAGE_ROWS, offset=first)
            shown = texts_frame(store, found, of.me)
    if not total:
        above.info(
            "No feature that the filters let through fires in a kept text with all these words. Use fewer words, or "
            "widen the filters; texts that were harvested but kept for no feature are not searched.",
            icon=":material/search_off:",
        )
        return
    parts = [f"{total:,} of {of.n_harvested:,} features fire in texts with these words", *of.on_the_map()]
    above.caption(" · ".join(parts) + " · only the texts that are kept as examples are searched")
    _rows(of, shown, first, total, above, foot)
