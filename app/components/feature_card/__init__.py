"""The pop-up in which a feature's card is shown, over any page: by pointer, by keyboard and by a press.

What shows a feature says so, nothing more: `data-card` with its number on an element, in this page or inside another
component; a link to the page of a feature; a row of a table with a column "feature"; a point of a chart whose custom
data is the number. The card itself comes from Python when it is asked for, and is kept until the page runs again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from app.components.inbox import Letters
from app.components.one_module import OUTBOX, one_module

__all__ = ["ACTS", "KEY", "Command", "feature_card"]

_HERE = Path(__file__).parent
KEY = "feature_card"
ACTS = ("open", "add", "silence", "unsilence", "label")
Command = tuple[str, int]
"""(one of ACTS, feature)"""

_component = st.components.v2.component(
    "sarm_feature_card",
    css=(_HERE / "feature_card.css").read_text(encoding="utf-8"),
    js=one_module((OUTBOX, _HERE / "places.js", _HERE / "feature_card.js")),
)


def feature_card(
    *,
    epoch: int,
    card: tuple[int, str] | None,
    on_want: Callable[[int], None],
    on_act: Callable[[Command], None],
) -> None:
    """Mount it, once on a page, in a fragment: `on_want` and `on_act` are callbacks that run before it.

    `card` is a feature and its HTML, made so that no text in it is markup. Another `epoch` forgets what was kept.
    """

    def want() -> None:
        feature = _feature(st.session_state[KEY].get("want"))
        if feature is not None:
            on_want(feature)

    def act() -> None:
        letters = Letters(KEY)
        letters.take(st.session_state[KEY].get("command"), _command, on_act)
        letters.deliver()

    data = {"epoch": epoch, "card": None if card is None else {"feature": card[0], "html": str(card[1])}}
    _component(key=KEY, data=data, on_want_change=want, on_command_change=act)


def _feature(raw: Any) -> int | None:
    """The number of a feature; None for what is no whole number. Whether there is such a feature the store says."""
    feature = raw.get("feature") if isinstance(raw, Mapping) else None
    return feature if type(feature) is int and 0 <= feature < 2**31 else None


def _command(raw: Any) -> Command | None:
    feature = _feature(raw)
    if feature is None or raw.get("act") not in ACTS:
        return None
    return str(raw["act"]), feature
