"""Features: find the ones worth reading, by numbers, by words, on a map, or by what fires in your own text."""

from __future__ import annotations

import streamlit as st

from app import session
from app.comparison import Comparison, from_json, from_texts
from app.engine import Engine
from app.feature_map import feature_map, map_columns, on_map, selected_ids
from app.feature_table import (
    DEAD,
    DENSE,
    DENSITIES,
    NAMED,
    PAGE_ROWS,
    SIGNS,
    SORTS,
    Wanted,
    columns_shown,
    firing_frame,
    frame,
    numbers,
)
from app.feature_view import harvest_command, open_feature
from app.person import person
from app.plain_text import plain
from feature_db import StoreError
from feature_db.saved_work import FeatureList

current = session.engine()
session.open_link(current)
st.title("Features", anchor=False)
st.caption("What has this model learned to look for, and which of it moves the reward?")
session.show_messages()
me = person()
held = session.steering()

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


def own_text() -> Comparison | None:
    """The prompt and answer whose features are listed: from this session, or from the link."""
    address = st.query_params.get("text")
    kept = st.session_state.get("own_text")
    if kept is None and address:
        try:
            with current.store() as store:
                kept = from_json(store.open_session(address, "own text"))
        except session.Errors as error:
            st.warning(f"The text of this link could not be opened: {error}")
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
        session.say(f"This text cannot be linked to: {error}", "warning")
        st.session_state["own_text_saved"] = None


def leave_own_text() -> None:
    for name in ("own_text", "own_text_saved"):
        st.session_state.pop(name, None)
    st.query_params.pop("text", None)


with st.container(horizontal=True, vertical_alignment="bottom"):
    words = st.text_input(
        "Words in labels and suggestions",
        key="f_words",
        bind="query-params",
        icon=":material/search:",
        placeholder='refusal, "step by step", apolog…',
        on_change=first_page,
        width=380,
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
if mine is None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sort = st.selectbox(
            "Sort by", list(SORTS), key="f_sort", bind="query-params", on_change=first_page, width=170
        )
        order = st.segmented_control(
            "Order",
            ["largest first", "smallest first"],
            default="largest first",
            required=True,
            key="f_order",
            bind="query-params",
            on_change=first_page,
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


def add_to_sliders(features: list[int]) -> None:
    """Callback."""
    left_out = held.add(features)
    done = len(features) - len(left_out)
    session.say(f"{done} features are on the sliders of Compare and steer.", "success")
    if left_out:
        session.say(f"The panel is full: {len(left_out)} features were not added.", "warning")


def put_on_list(features: list[int], name: str) -> None:
    def put() -> None:
        with current.store() as store:
            number = store.make_list(name, me)
            for feature in features:
                store.add_to_list(number, feature)
        session.say(f"{len(features)} features are on the list “{plain(name)}”.", "success")

    session.guarded(put)


def bookmark(features: list[int]) -> None:
    """Callback."""

    def put() -> None:
        with current.store() as store:
            for feature in features:
                store.bookmark(feature, me)
        session.say(f"{len(features)} features bookmarked.", "success")

    session.guarded(put)


def take_off(features: list[int], number: int) -> None:
    """Callback."""

    def take() -> None:
        with current.store() as store:
            for feature in features:
                store.remove_from_list(number, feature)

    session.guarded(take)


def actions(picked: list[int], shown_list: int | None) -> None:
    """What can be done with the chosen rows."""
    if not picked:
        st.caption("Click a number to read that feature; tick rows to put them on the sliders or on a list.")
        return
    named_here = ", ".join(f"#{i}" for i in picked[:6]) + (" …" if len(picked) > 6 else "")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{named_here}**")
        st.button(
            "Open",
            on_click=open_feature,
            args=(picked[0],),
            icon=":material/open_in_full:",
            key="open_picked",
        )
        st.button(
            "Add to sliders", on_click=add_to_sliders, args=(picked,), icon=":material/tune:", type="primary"
        )
        st.button("Bookmark", on_click=bookmark, args=(picked,), icon=":material/bookmark_add:")
        with st.popover("Add to list", icon=":material/playlist_add:"), st.form("list", border=False):
            own: list[FeatureList] = [item for item in lists if item.owner == me]
            name = st.selectbox(
                "List",
                [item.name for item in own],
                index=None,
                placeholder="Choose one, or type a new name",
                accept_new_options=True,
                key="list_name",
            )
            if not me:
                st.caption("Without a name in the sidebar the list belongs to everyone who gives none.")
            if st.form_submit_button("Add", type="primary"):
                put_on_list(picked, name or "")
                st.rerun()
        if shown_list is not None:
            st.button(
                "Take off this list",
                on_click=take_off,
                args=(picked, shown_list),
                icon=":material/playlist_remove:",
            )


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
        height=min(640, 38 + 35 * len(shown)),
    )
    actions(numbers(shown, selection.selection.rows), None)


def show_all(engine: Engine) -> None:
    columns = map_columns(engine)
    with st.expander("Map: head weight against density", expanded=True, icon=":material/scatter_plot:"):
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
        words=words,
        density=(density[0], density[1]),
        hide_dense=hide_dense,
        sign=sign,
        named=named,
        dead=dead,
        list_id=list_id or None,
        ids=None if picked is None else tuple(picked),
    )
    column, descending = SORTS[sort], order == "largest first"
    above, below = st.container(), st.container()
    with engine.store() as store:
        total = store.features_page(column, filters=wanted.filters(), limit=0).total
        dense = store.features_page(column, filters=wanted.filters(hide_dense=False), limit=0).total - total
        # The page's number is known only once its widget is drawn, and that belongs under the table.
        pages = max(1, -(-total // PAGE_ROWS))
        foot = below.container(
            horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
        )
        number = foot.pagination(pages, key="f_page", bind="query-params")
        first = (number - 1) * PAGE_ROWS
        page = store.features_page(column, descending, wanted.filters(), limit=PAGE_ROWS, offset=first)
    parts = [f"{total:,} of {n_harvested:,} features"]
    if picked is not None:
        parts.append(f"{len(picked):,} in the selection on the map (double-click it to clear)")
    if dense and hide_dense and dead != DEAD[2]:
        parts.append(f"{dense:,} dense {'ones' if dense > 1 else 'one'} hidden")
    above.caption(" · ".join(parts))
    if not page.rows:
        above.info(
            "No feature fits. Widen the density, clear the words, or "
            + ("switch “Hide dense features” off." if dense and hide_dense else "choose other filters."),
            icon=":material/filter_alt_off:",
        )
        return
    shown = frame(page)
    ids = "_".join(str(row.id) for row in page.rows)
    selection = above.dataframe(
        shown,
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"f_table_{ids}",
        column_config=columns_shown(open_clicked),
        height=38 + 35 * len(shown),
    )
    foot.caption(f"rows {first + 1:,} to {first + len(shown):,}", text_alignment="right")
    actions(numbers(shown, selection.selection.rows), list_id or None)


if mine is not None:
    show_own_text(current, mine)
else:
    show_all(current)
session.update_link(current)
