"""The typed name, remembered by the browser: a reload forgets what the server's session held."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

__all__ = ["kept_name"]

_component = st.components.v2.component(
    "sarm_kept_name",
    js=(Path(__file__).parent / "kept_name.js").read_text(encoding="utf-8"),
)


def kept_name(name: str, on_found: Callable[[Any], None], *, key: str) -> None:
    """Let the browser keep `name`; a page that is loaded anew without one gets the kept one through `on_found`.

    `on_found` runs as a callback and checks what it is given: a browser can send anything. An empty name after
    another is forgotten.
    """

    def deliver() -> None:
        found = (st.session_state.get(key) or {}).get("found")
        if found is not None:
            on_found(found)

    _component(key=key, data={"name": name}, on_found_change=deliver, height=1)  # type: ignore[arg-type]
