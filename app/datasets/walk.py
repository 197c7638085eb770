"""Previous and next on *Compare*: through the slice of a data set that the prompt on the page was opened from."""

from __future__ import annotations

import streamlit as st

from app.datasets.address import NAMES, from_address, in_words, to_address
from app.datasets.table import to_compare
from app.draw.plain_text import cut, plain
from app.session import session
from app.session.engine import Engine
from app.session.pages import Page
from feature_db import StoreError
from feature_db.datasets.items import Item, Items
from feature_db.datasets.slices import Slice
from sarm_core.figures import signed

__all__ = ["walk_bar"]

PLACES = ("di", "dk")
"""In an address: the item's number, and its place in the slice"""


def walk_bar(engine: Engine) -> None:
    """Nothing, unless the prompt on the page was opened from a data set (or the address says so)."""
    given = st.query_params.to_dict()
    address, number, place = given.get("d", ""), given.get("di", ""), given.get("dk", "")
    if not address or not all(
        text.isascii() and text.isdecimal() and len(text) < 10 for text in (number, place)
    ):
        return
    part = from_address(given)
    try:
        with engine.store() as store:
            items = Items(store, address)
            item = items.item(int(number))
            if not _is_here(items, item, part, int(place)):
                _leave()
                return
            at, total = _place(items, part, item.number, int(place)), items.count(part)
            beside = [_at(items, part, at + step) if at is not None else None for step in (-1, 1)]
    except StoreError as error:
        st.caption(plain(str(error)))
        _leave()
        return
    _draw(engine, items, item, part, at, total, beside)


def _is_here(items: Items, item: Item, part: Slice, place: int) -> bool:
    """Whether the item's answers are what is on the page. An address that names an item and no answers opens it."""
    origin = f"{items.of.name}, prompt {item.number + 1}"
    now = session.comparison()
    if "walked" not in st.session_state and "a" not in st.query_params:
        session.guarded(to_compare, items, part, item.number, place)
        now = session.comparison()
    st.session_state["walked"] = True
    return now is not None and now.origin == origin


def _leave() -> None:
    for name in ("d", *PLACES, *NAMES.values()):
        st.query_params.pop(name, None)


def _place(items: Items, part: Slice, number: int, place: int) -> int | None:
    """Where the item stands in the slice; it may have moved, or left, since scores came in."""
    found = items.page(part, limit=1, offset=place)
    if found and found[0].number == number:
        return place
    return items.place(part, number)


def _at(items: Items, part: Slice, place: int) -> tuple[int, int] | None:
    """(Number, place) of the item in a place of the slice."""
    found = items.page(part, limit=1, offset=place) if place >= 0 else []
    return (found[0].number, place) if found else None


def _draw(
    engine: Engine,
    items: Items,
    item: Item,
    part: Slice,
    at: int | None,
    total: int,
    beside: list[tuple[int, int] | None],
) -> None:
    def go(to: tuple[int, int]) -> None:
        def act() -> None:
            with engine.store() as store:
                st.query_params.update(to_compare(Items(store, items.of.address), part, *to))

        session.guarded(act)

    with st.container(horizontal=True, vertical_alignment="center", key="walk"):
        for to, name, icon, key in (
            (beside[0], "Previous", ":material/chevron_left:", "walk_previous"),
            (beside[1], "Next", ":material/chevron_right:", "walk_next"),
        ):
            st.button(name, icon=icon, on_click=go, args=(to,), disabled=to is None, key=key)
        st.page_link(
            Page.DATASETS.path,
            label=plain(cut(items.of.name, 60)),
            icon=Page.DATASETS.icon,
            query_params={"d": items.of.address, **to_address(part)},
        )
        st.caption(_words(item, part, at, total))


def _words(item: Item, part: Slice, at: int | None, total: int) -> str:
    where = f"{at + 1:,} of {total:,}" if at is not None else f"no longer one of the {total:,}"
    asked = in_words(part)
    text = where + (f" ({asked})" if asked else "")
    if item.verdict == "agrees":
        text += " · the model agrees with the label"
    elif item.verdict == "disagrees":
        text += " · the model disagrees with the label"
    elif item.verdict == "ties":
        text += " · equal rewards"
    if item.labels > 1 and item.won is not None:
        text += f" in {item.won:,} of {item.labels:,} orders"
    elif item.margin is not None:
        text += f", margin {signed(item.margin)}"
    return text
