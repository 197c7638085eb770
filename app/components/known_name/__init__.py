"""A typed name that this browser remembers: a cookie of this app alone, so that a reload knows it at once."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import streamlit as st

__all__ = ["known_name", "remember_name"]

_component = st.components.v2.component(
    "sarm_known_name", js=(Path(__file__).parent / "known_name.js").read_text(encoding="utf-8")
)
LONGEST = 100


def known_name() -> str:
    """The name typed last in this browser; "" where there is none or cookies are refused."""
    try:
        port = urlsplit(st.context.url or "").port
    except ValueError:
        return ""
    kept = st.context.cookies.get(f"sarm_name_{port or ''}")
    name = unquote(kept)[:LONGEST] if isinstance(kept, str) else ""
    return name if name.isprintable() else ""


def remember_name(name: str) -> None:
    """Let this browser remember `name`; "" after another name forgets it. Draws nothing."""
    _component(key="known_name", data={"name": name}, height=1)  # type: ignore[arg-type]
