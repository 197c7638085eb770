"""Features as bars on one shared scale, in one or several columns: what speaks for an answer, or between two.

A Streamlit component rather than a chart: colours are the theme's own, a narrow window keeps the last column only,
names are written as text whatever they hold, and a click on a row reaches Python as a command.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from app.components.inbox import Letters
from app.components.one_module import ELEMENTS, OUTBOX, one_module
from sarm_core.errors import SarmError

__all__ = ["Bar", "feature_bars"]

_HERE = Path(__file__).parent

_component = st.components.v2.component(
    "sarm_feature_bars",
    css=(_HERE / "feature_bars.css").read_text(encoding="utf-8"),
    js=one_module((OUTBOX, ELEMENTS, _HERE / "feature_bars.js")),
)


@dataclass(frozen=True)
class Bar:
    """One row: a feature with a value per column. `facts` is a short line about it, `mark` stands beside its
    name ("suggested"), `on_panel` hides its plus."""

    feature: int
    name: str
    values: tuple[float, ...]
    facts: str = ""
    mark: str = ""
    mark_help: str = ""
    on_panel: bool = False


def feature_bars(
    *,
    key: str,
    columns: Sequence[str],
    bars: Sequence[Bar],
    click_hint: str = "",
    chosen: int | None = None,
    on_click: Callable[[int], None] | None = None,
    on_add: Callable[[int], None] | None = None,
) -> None:
    """Mount the component; call it on every rerun with the same `key`.

    A press on a name shows the feature's card, on pages that have cards. `on_click(feature)` hears a press on a row, or
    on the button that the card has for it with the words `click_hint`; on a page without cards, one on a name.
    `on_add(feature)` hears one on a row's plus. Both run as Streamlit callbacks, every press once, also those that came
    while the script was running. Raises SarmError for values that are not finite or do not fit the columns.
    """
    for bar in bars:
        if len(bar.values) != len(columns):
            raise SarmError(f"feature {bar.feature}: {len(bar.values)} values for {len(columns)} columns")
        if not all(math.isfinite(value) for value in bar.values):
            raise SarmError(f"feature {bar.feature}: a value is not a finite number")
    known = {bar.feature for bar in bars}
    handlers: dict[str, Callable[[int], None] | None] = {"click": on_click, "add": on_add}

    def handle(command: tuple[str, int]) -> None:
        handler = handlers[command[0]]
        if handler is not None:
            handler(command[1])

    def deliver() -> None:
        letters = Letters(key)
        letters.take(st.session_state[key].get("command"), lambda raw: _command(raw, known), handle)
        letters.deliver()

    data = {
        "columns": [str(column) for column in columns],
        "bars": [
            {
                "feature": int(bar.feature),
                "name": str(bar.name),
                "mark": str(bar.mark),
                "mark_help": str(bar.mark_help),
                "facts": str(bar.facts),
                "values": [float(value) for value in bar.values],
                "on_panel": bool(bar.on_panel),
            }
            for bar in bars
        ],
        "click_hint": click_hint,
        "chosen": chosen,
        "can_add": on_add is not None,
    }
    _component(key=key, data=data, on_command_change=deliver)


def _command(raw: Any, known: set[int]) -> tuple[str, int] | None:
    """What the browser asked for, limited to features that are shown; None when it makes no sense."""
    if not isinstance(raw, Mapping) or raw.get("name") not in ("click", "add"):
        return None
    feature = raw.get("feature")
    if not isinstance(feature, int) or isinstance(feature, bool) or feature not in known:
        return None
    return str(raw["name"]), feature
