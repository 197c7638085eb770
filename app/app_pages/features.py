"""Features: find the ones worth reading, by numbers, by words, on a map, or by what fires in your own text."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.draw.plain_text import plain
from app.features.actions import feature_actions
from app.features.lists import manage_list
from app.features.map import feature_map, map_columns, on_map, selected_ids
from app.features.meaning_search import nothing_found, search_by_meaning, similarity_frame, weak_match
from app.features.table import (
    DEAD,
    DENSE,
    DENSITIES,
    NAMED,
    PAGE_ROWS,
    SEARCH_BY,
    SIGNS,
    SORTS,
    Wanted,
    columns_shown,
    firing_frame,
    frame,
    numbers,
    seen_by,
)
from app.features.text_search import text_ranking, texts_frame
from app.features.view import harvest_command, open_feature
from app.session import session
from app.session.comparison import Comparison, from_json, from_texts
from app.session.engine import Engine
from app.session.person import person
from feature_db import StoreError
from feature_db.features.text_search import features_by_texts
from feature_db.label.blindness import rows_for
from feature_db.saved_work import FeatureList

SOON_DONE = 5_000  # so many names get their vectors before a progress bar could be read

current = session.engine()
session.open_link(current)
st.title("Features", anchor=False)
st.caption("What has this model learned to look for, and which of it moves the reward?")
session.show_messages()
me = person()

with current.store() as store:
    n_harvested = store.features_page(limit=0).total
    lists = store.lists()
if not n_harvested:
    st.warning(
        "No corpus has been harvested for this model yet, so nothing is known about its features. "
        "Run this with a file of conversations, then reload the page:",
        icon=":material/inventory_2:",
    )
    st.code(harvest_command(current), language="bash", wrap_lines=True)
    st.stop()


def first_page() -> None:
    """Callback of everything that changes which rows there are."""
    st.session_state["f_page"] = 1


def list_title(number: int) -> str:
    """The list's name for the menu and the address; its size changes, so it is left out."""
    found = next((item for item in lists if item.id == number), None)
    if found is None:
        return "any list"
    return f"{found.name} ({found.owner or 'no name'}) #{found.id}"


def changeable(number: int) -> FeatureList | None:
    """The list, if there is one and it is for `me` to change."""
    with current.store() as store:
        if not store.may_change_list(number, me):
            return None
    return next((item for item in lists if item.id == number), None)


def own_text() -> Comparison | None:
    """The prompt and answer whose features are listed: from this session, or from the link."""
    address = st.query_params.get("text")
    kept = st.session_state.get("own_text")
    if kept is None and address:
        try:
            with current.store() as store:
                kept = from_json(store.open_session(address, "own text"))
        except session.Errors as error:
            st.warning(f"The text of this link could not be opened: {plain(str(error))}")
            del st.query_params["text"]
            return None
        st.session_state["own_text"] = kept
        st.session_state["own_text_saved"] = address
    if kept is not None and not address and st.session_state.get("own_text_saved"):
        st.query_params["text"] = st.session_state["own_text_saved"]
    return kept


def run_own_text(prompt: str, answer: str) -> None:
    made = session.guarded(from_texts, prompt, [answer], (), "own text")
    if made is None:
        return
    st.session_state["own_text"] = made
    try:
        with current.store() as store:
            st.session_state["own_text_saved"] = store.save_session(made.to_json(), "own text")
    except StoreError as error:
        session.say(f"This text cannot be linked to: {plain(str(error))}", "warning")
        st.session_state["own_text_saved"] = None


def leave_own_text() -> None:
    for name in ("own_text", "own_text_saved"):
        st.session_state.pop(name, None)
    st.query_params.pop("text", None)


with st.container(horizontal=True, vertical_alignment="bottom"):
    words = st.text_input(
        "Search names or texts",
        key="f_words",
        bind="query-params",
        icon=":material/search:",
        placeholder='refusal, "step by step", apolog…, or what it is about',
        on_change=first_page,
        width=380,
    )
    search_by = st.segmented_control(
        "Search by",
        SEARCH_BY,
        default=SEARCH_BY[0],
        required=True,
        key="f_by",
        bind="query-params",
        on_change=first_page,
        help="Words: every word you type occurs in the name, in the order you sort by. Meaning: names that say "
        "something like it in other words, most similar first. English. Texts: features that fire in texts with all "
        "these words, most such texts first, then the largest |w| × mean z.",
    )
    with (
        st.popover("Run your own text", icon=":material/play_arrow:", help="See what fires in it"),
        st.form("own", border=False),
    ):
        prompt = st.text_area("Prompt", height=80, key="own_prompt")
        answer = st.text_area("Answer", height=160, key="own_answer")
        if st.form_submit_button("Show what fires", type="primary"):
            run_own_text(prompt, answer)
            st.rerun()
    hide_dense = st.toggle(
        f"Hide dense features (more than {DENSE:.0%})",
        value=True,
        key="f_hide_dense",
        bind="query-params",
        on_change=first_page,
        help="Features that fire nearly everywhere say little about any one text",
    )

mine = own_text()
searching = search_by if words.strip() else SEARCH_BY[0]
search_order = {"meaning": "order of similarity", "texts": "order of how many texts match"}.get(searching)
if mine is None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sort = st.selectbox(
            "Sort by",
            list(SORTS),
            key="f_sort",
            bind="query-params",
            on_change=first_page,
            disabled=search_order is not None,
            help=f"A search by {searching} is in {search_order}" if search_order else None,
            width=170,
        )
        order = st.segmented_control(
            "Order",
            ["largest first", "smallest first"],
            default="largest first",
            required=True,
            key="f_order",
            bind="query-params",
            on_change=first_page,
            disabled=search_order is not None,
        )
        sign = st.selectbox(
            "Head weight", list(SIGNS), key="f_sign", bind="query-params", on_change=first_page, width=130
        )
        named = st.selectbox(
            "Labels", NAMED, key="f_named", bind="query-params", on_change=first_page, width=170
        )
        dead = st.selectbox(
            "Dead features", DEAD, key="f_dead", bind="query-params", on_change=first_page, width=180
        )
        list_id = st.selectbox(
            "On the list",
            [0, *(item.id for item in lists)],
            format_func=list_title,
            key="f_list",
            bind="query-params",
            on_change=first_page,
            width=220,
        )
        list_to_change = changeable(list_id)
        if list_to_change is not None:
            manage_list(current, list_to_change, me)
        density = st.select_slider(
            "Density, from and to",
            list(DENSITIES),
            value=("0", "100 %"),
            key="f_density",
            bind="query-params",
            on_change=first_page,
            width=280,
        )


def open_clicked() -> None:
    """Callback: the number of a row was clicked."""
    clicked = st.session_state["feature_clicked"]
    answer = None
    feature = int(str(clicked["label"]).removeprefix("#"))
    if mine is not None:
        rows, z = session.score(current, mine).matrix.column(feature)
        if len(rows):
            answer = {"title": "your own text", "activation": float(z[0])}
    open_feature(feature, answer)


def show_own_text(engine: Engine, text: Comparison) -> None:
    scored = session.score(engine, text)
    ids, contributions = scored.contributions(0)
    notes = engine.notes(ids.tolist())
    shown, hidden = firing_frame(scored.matrix, 0, notes, hide_dense=hide_dense)
    with st.container(border=True):
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.caption("Your text: prompt, then answer")
        left.text(text.question)
        left.text(text.answers[0].text)
        right.button("Back to all features", on_click=leave_own_text, icon=":material/close:")
    error = abs(float(contributions.sum()) - float(scored.rewards[0]))
    st.caption(
        f":green-badge[exact] {len(ids)} features are active at the scored token; together they give the reward "
        f"{scored.rewards[0]:+.4f} (error {error:.0e})."
        + (f" {hidden} dense {'ones are' if hidden > 1 else 'one is'} hidden." if hidden else "")
    )
    if shown.empty:
        st.info("Every active feature is dense: switch “Hide dense features” off to see them.")
        return
    selection = st.dataframe(
        shown,
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"own_table_{text.key}_{hide_dense}",
        column_config=columns_shown(open_clicked),
        placeholder="",
        height=min(640, 38 + 35 * len(shown)),
    )
    feature_actions(current, lists, me, numbers(shown, selection.selection.rows), None)


def show_all(engine: Engine) -> None:
    columns = map_columns(engine)
    # Whoever searches wants the names: they come without scrolling past the map.
    with st.expander(
        "Map: head weight against density", expanded=not words.strip(), icon=":material/scatter_plot:"
    ):
        event = st.plotly_chart(
            feature_map(columns),
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
    picked = selected_ids(columns, event.selection)
    wanted = Wanted(
        words="" if search_order else words,
        density=(density[0], density[1]),
        hide_dense=hide_dense,
        sign=sign,
        named=named,
        dead=dead,
        list_id=list_id or None,
        ids=None if picked is None else tuple(picked),
    )
    above, below = st.container(), st.container()
    show = {"meaning": show_similar, "texts": show_by_texts}.get(searching, show_sorted)
    show(engine, wanted, above, below)


def page_number(below: DeltaGenerator, total: int) -> tuple[DeltaGenerator, int]:
    """The foot of the table with its page widget, and the first row of the page that is shown."""
    # The page's number is known only once its widget is drawn, and that belongs under the table.
    foot = below.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
    number = foot.pagination(max(1, -(-total // PAGE_ROWS)), key="f_page", bind="query-params")
    return foot, (number - 1) * PAGE_ROWS


def on_the_map(wanted: Wanted) -> list[str]:
    if wanted.ids is None:
        return []
    return [f"{len(wanted.ids):,} in the selection on the map (double-click it to clear)"]


def show_rows(
    shown: pd.DataFrame, first: int, above: DeltaGenerator, foot: DeltaGenerator, list_id: int | None
) -> None:
    selection = above.dataframe(
        shown,
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"f_table_{'_'.join(name[1:] for name in shown['open'])}",
        column_config=columns_shown(open_clicked),
        placeholder="",
        height=38 + 35 * len(shown),
    )
    foot.caption(f"rows {first + 1:,} to {first + len(shown):,}", text_alignment="right")
    changed = list_id if list_id is not None and changeable(list_id) else None
    feature_actions(current, lists, me, numbers(shown, selection.selection.rows), changed)


def show_sorted(engine: Engine, wanted: Wanted, above: DeltaGenerator, below: DeltaGenerator) -> None:
    """Features by a number, those with the words if there are any."""
    column, descending = SORTS[sort], order == "largest first"
    with engine.store() as store:
        filters = seen_by(store, wanted.filters(), me)
        total = store.features_page(column, filters=filters, limit=0).total
        wider = seen_by(store, wanted.filters(hide_dense=False), me)
        dense = store.features_page(column, filters=wider, limit=0).total - total
        foot, first = page_number(below, total)
        page = store.features_page(column, descending, filters, limit=PAGE_ROWS, offset=first)
        rows = rows_for(store, me, page.rows)
    parts = [f"{total:,} of {n_harvested:,} features", *on_the_map(wanted)]
    if dense and hide_dense and dead != DEAD[2]:
        parts.append(f"{dense:,} dense {'ones' if dense > 1 else 'one'} hidden")
    above.caption(" · ".join(parts))
    if not rows:
        above.info(
            "No feature fits. Widen the density, clear the words, or "
            + ("switch “Hide dense features” off." if dense and hide_dense else "choose other filters."),
            icon=":material/filter_alt_off:",
        )
        return
    show_rows(frame(rows), first, above, foot, wanted.list_id)


def show_similar(engine: Engine, wanted: Wanted, above: DeltaGenerator, below: DeltaGenerator) -> None:
    """Features by what they are called, most similar to the words first."""
    place = above.empty()

    def progress(done: int, total: int) -> None:
        if total > SOON_DONE:
            place.progress(done / total, text=f"Reading names, once: {done:,} of {total:,}")

    with engine.store() as store:
        found = search_by_meaning(store, words, wanted.filters(), me, progress)
        place.empty()
        total = len(found.matches)
        foot, first = page_number(below, total)
        if total:
            shown = similarity_frame(store, found.matches[first : first + PAGE_ROWS])
    if not total:
        above.info(nothing_found(found), icon=":material/search_off:")
        return
    parts = [f"{total:,} of {n_harvested:,} features are called something like this", *on_the_map(wanted)]
    above.caption(
        ":orange-badge[estimated] "
        + " · ".join(parts)
        + f" · {found.n_names:,} names compared, most similar first"
    )
    if (weak := weak_match(found)) is not None:
        above.info(weak, icon=":material/question_mark:")
    show_rows(shown, first, above, foot, wanted.list_id)


def show_by_texts(engine: Engine, wanted: Wanted, above: DeltaGenerator, below: DeltaGenerator) -> None:
    """Features that fire in texts with the words, those with most such texts first."""
    with engine.store() as store:
        ranking = text_ranking(store, words).within(store, wanted.filters())
        total = len(ranking.features)
        foot, first = page_number(below, total)
        if total:
            found, _ = features_by_texts(store, words, ranking=ranking, limit=PAGE_ROWS, offset=first)
            shown = texts_frame(store, found, me)
    if not total:
        above.info(
            "No feature that the filters let through fires in a kept text with all these words. Use fewer words, or "
            "widen the filters; texts that were harvested but kept for no feature are not searched.",
            icon=":material/search_off:",
        )
        return
    parts = [f"{total:,} of {n_harvested:,} features fire in texts with these words", *on_the_map(wanted)]
    above.caption(" · ".join(parts) + " · only the texts that are kept as examples are searched")
    show_rows(shown, first, above, foot, wanted.list_id)


if mine is not None:
    show_own_text(current, mine)
else:
    show_all(current)
session.update_link(current)
