"""The prompts of a slice, page by page: what the model makes of their labels, and a click that opens one on Compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.datasets.address import to_address
from app.datasets.kept import open_item
from app.datasets.scoring import margins_under
from app.draw.progress import NotKept
from app.session import session
from app.session.engine import Engine
from app.session.pages import Page
from feature_db.datasets.items import Item, Items
from feature_db.datasets.slices import Slice

__all__ = ["PAGE_ROWS", "frame", "show_table", "to_compare"]

PAGE_ROWS = 50


def verdict_of(item: Item) -> str:
    """What the model makes of an item's label, in words."""
    if item.labels <= 1 or item.verdict in ("unscored", "unlabelled"):
        words = {"unscored": "not scored", "unlabelled": "no label", "ties": "equal"}
        return words.get(item.verdict, item.verdict)
    return f"agrees with {item.won:,} of {item.labels:,}"


def frame(
    items: Sequence[Item], columns: Sequence[str], steered: Sequence[float | None] | None = None
) -> pd.DataFrame:
    """One row an item; columns of one's own are called "own:" and their name."""
    table = pd.DataFrame(
        {
            "open": [f"{item.number + 1}" for item in items],
            "prompt": [item.prompt for item in items],
            "verdict": [verdict_of(item) for item in items],
            "margin": [item.margin for item in items],
        }
    )
    if steered is not None:
        table["steered"] = list(steered)
    if any(item.subset for item in items):
        table["subset"] = [item.subset for item in items]
    table["answers"] = [item.answers for item in items]
    table["length"] = [item.length for item in items]
    table["longer"] = [item.longer for item in items]
    if any(item.id != str(item.number + 1) for item in items):
        table["id"] = [item.id for item in items]
    for name in columns:
        values = [item.own.get(name) for item in items]
        kinds = {type(value) for value in values if value is not None}
        # A table's column is of one kind: numbers beside texts are shown as texts.
        if kinds - {int, float}:
            values = [None if value is None else str(value) for value in values]
        table[f"own:{name}"] = values
    return table


def show_table(engine: Engine, items: Items, of: Slice, total: int) -> None:
    """One page of the slice, with its pages below."""
    above, below = st.container(), st.container()
    foot = below.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
    pages = max(1, -(-total // PAGE_ROWS))
    if st.session_state.get("d_page", 1) > pages:
        st.session_state["d_page"] = 1
    number = foot.pagination(pages, key="d_page", bind="query-params")
    first = (number - 1) * PAGE_ROWS
    shown = items.page(of, limit=PAGE_ROWS, offset=first)
    steered = _steered(engine, items, shown)
    table = frame(shown, items.of.columns, steered)

    def clicked() -> None:
        row = st.session_state["item_clicked"]["row"]
        st.session_state["open_item"] = (shown[row].number, first + row)

    above.dataframe(
        table,
        hide_index=True,
        key="d_table",
        height=38 + 35 * max(len(shown), 1),
        column_config=_columns(items.of.columns, clicked),
        placeholder="",
    )
    foot.caption(
        f"prompts {first + 1:,} to {first + len(shown):,} of {total:,}; a number opens one on Compare",
        text_alignment="right",
    )


def _steered(engine: Engine, items: Items, shown: Sequence[Item]) -> list[float | None] | None:
    """Margins of the page under the steering in force; None without one that can change an order."""
    steering = session.steering().current
    if not steering or not steering.can_rerank():
        return None
    try:
        return margins_under(engine, items, [item.number for item in shown], steering)
    except NotKept:
        return None


def to_compare(items: Items, of: Slice, number: int, place: int) -> dict[str, str]:
    """Put an item's answers on *Compare*, the labelled ones left and right; gives the address it has there.

    Raises StoreError, RowError, SarmError.
    """
    opened = open_item(items, number)
    session.set_comparison(opened.comparison)
    if opened.better is not None and opened.worse is not None and opened.better != opened.worse:
        st.session_state["left"], st.session_state["right"] = opened.better, opened.worse
    return {"d": items.of.address, "di": str(number), "dk": str(place), **to_address(of)}


def open_clicked(items: Items, of: Slice) -> None:
    """Go to *Compare* with the item that was clicked in the last run."""
    clicked = st.session_state.pop("open_item", None)
    if clicked is None:
        return
    address = session.guarded(to_compare, items, of, *clicked)
    if address is not None:
        st.switch_page(Page.COMPARE.path, query_params=address)


def _columns(own: Sequence[str], clicked: Any) -> dict[str, Any]:
    number = st.column_config.NumberColumn
    return {
        "open": st.column_config.ButtonColumn(
            "open", width=64, pinned=True, type="tertiary", on_click=clicked, key="item_clicked"
        ),
        "prompt": st.column_config.TextColumn("prompt", width=360),
        "verdict": st.column_config.TextColumn(
            "model", width=150, help="Whether the answer that is called better has the higher reward"
        ),
        "margin": number(
            "margin", format="%+.3f",
            help="Reward of the better answer minus the worse one's, by the plain model; of several orders the mean",
        ),
        "steered": number("margin, steered", format="%+.3f", help="The same under the steering on the sliders"),
        "subset": st.column_config.TextColumn("subset", width=150),
        "answers": number("answers", width=80),
        "length": number("length", format="localized", help="Characters of its answers, on average"),
        "longer": number(
            "better is longer by", format="%+d", help="Characters; below 0 the worse answer is the longer one"
        ),
        "id": st.column_config.TextColumn("id"),
        **{f"own:{name}": st.column_config.Column(name) for name in own},
    }  # fmt: skip
