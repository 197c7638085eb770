"""Keeps a form in reach: its keys work wherever the cursor is, it says that it saves, and it is a sheet on a phone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st

__all__ = ["form_dock"]

_HERE = Path(__file__).parent
_component = st.components.v2.component(
    "sarm_form_dock",
    html='<button type="button" aria-expanded="false"><i></i><span></span></button>'
    '<div role="status" aria-live="polite"></div>',
    css=(_HERE / "form_dock.css").read_text(encoding="utf-8"),
    js=(_HERE / "form_dock.js").read_text(encoding="utf-8"),
)


def form_dock(
    *,
    key: str,
    form: str,
    submit: str,
    acts: Mapping[str, str],
    done: int,
    item: str,
    panes: Mapping[str, str],
    rows: Mapping[str, Sequence[str]],
    title: str,
    open_now: bool,
) -> None:
    """Watch the form in the container `form`; all names are keys of elements on the page.

    Ctrl+Enter presses the button `submit` whatever has the focus. From a press of it or of one of `acts` (a button and
    its key) until `done`, the number of acts the server has finished, has grown, the form takes nothing: it is
    `inert`, and letters do nothing. With another `item` the `panes` (names of the
    parts that scroll by themselves) are at their top again. `rows` are rows of choices
    with the keys that take each, "6" or "Shift+1". On a narrow window the form is a sheet under a bar with the `title`,
    pulled open by the bar or by the keyboard, and now where it is `open_now`.
    """
    _component(
        key=key,
        data={
            "form": form,
            "submit": submit,
            "acts": dict(acts),
            "done": done,
            "item": item,
            "panes": dict(panes),
            "rows": {name: list(keys) for name, keys in rows.items()},
            "title": title,
            "open": open_now,
        },
        height="content",
    )
