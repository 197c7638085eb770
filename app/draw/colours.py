"""The two colours of a sign, wherever a chart shows one, and that of what has none."""

from __future__ import annotations

__all__ = ["AGAINST", "FOR", "UNCLEAR"]

FOR, AGAINST = "#2f7dd0", "#d0643c"
"""Distinguishable without red and green; the light theme's blue and orange in app/.streamlit/config.toml."""
UNCLEAR = "#8a8f98"
"""What is not told apart from no change."""
