"""The two colours of a sign, wherever a chart shows one."""

from __future__ import annotations

__all__ = ["AGAINST", "FOR"]

FOR, AGAINST = "#2f7dd0", "#d0643c"
"""Distinguishable without red and green; the light theme's blue and orange in app/.streamlit/config.toml."""
