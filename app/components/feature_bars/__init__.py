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

from sarm_core.errors import SarmError

__all__ = ["Bar", "feature_bars"]

_HERE = Path(__file__).parent
_ELEMENTS = _HERE.parent / "rerank" / "elements.js"
_IMPORT = 'import { icon, make } from "../rerank/elements.js";\n'


def module_source() -> str:
    """The component's module with the element builders in it: Streamlit loads one module, without imports."""
    own = (_HERE / "feature_bars.js").read_text(encoding="utf-8")
    return _ELEMENTS.read_text(encoding="utf-8") + own.replace(_IMPORT, "")


_component = st.components.v2.component(
    "sarm_feature_bars",
    css=(_HERE / "feature_bars.css").read_text(encoding="utf-8"),
    js=module_source(),
)


@dataclass(frozen=True)
class Bar:
    """One row: a feature with a value per column. `facts` is a short line about it, `on_panel` hides its plus."""

    feature: int
    name: str
    values: tuple[float, ...]
    facts: str = ""
    suggested: bool = False
    on_panel: bool = False


def feature_bars(
    *,
    key: str,
    columns: Sequence[str],
    bars: Sequence[Bar],
    click_hint: str,
    chosen: int | None = None,
    on_click: Callable[[int], None] | None = None,
    on_add: Callable[[int], None] | None = None,
) -> None:
    """Mount the component; call it on every rerun with the same `key`.

    `on_click(feature)` hears a click on a row's name, `on_add(feature)` one on its plus; both run as Streamlit
    callbacks. Raises SarmError for values that are not finite or do not fit the columns.
    """
    for bar in bars:
        if len(bar.values) != len(columns):
            raise SarmError(f"feature {bar.feature}: {len(bar.values)} values for {len(columns)} columns")
        if not all(math.isfinite(value) for value in bar.values):
            raise SarmError(f"feature {bar.feature}: a value is not a finite number")
    known = {bar.feature for bar in bars}
    handlers: dict[str, Callable[[int], None] | None] = {"click": on_click, "add": on_add}

    def deliver() -> None:
        command = st.session_state[key].get("command")
        read = _command(command, known)
        if read is not None:
            name, feature = read
            handler = handlers[name]
            if handler is not None:
                handler(feature)

    data = {
        "columns": [str(column) for column in columns],
        "bars": [
            {
                "feature": int(bar.feature),
                "name": str(bar.name),
                "suggested": bool(bar.suggested),
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
