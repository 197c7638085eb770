"""Other people's text inside Markdown and charts: labels and prompts may hold anything."""

from __future__ import annotations

__all__ = ["chart_text", "cut", "plain"]

_SPECIAL = frozenset(r"\`*_{}[]()#+-.!|<>~$:&@/=")


def plain(text: str) -> str:
    """`text` with Markdown's special characters escaped and line breaks as spaces, so it shows as typed."""
    return "".join(f"\\{c}" if c in _SPECIAL else " " if c in "\r\n" else c for c in text)


def cut(text: str, width: int) -> str:
    """At most `width` characters of `text`, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def chart_text(text: str) -> str:
    """`text` for Plotly, whose texts and hover boxes read a few tags and `%{...}`."""
    return text.replace("<", "‹").replace(">", "›").replace("%{", "% {")
