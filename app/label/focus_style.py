"""Where the keyboard is: Streamlit frames focused buttons and boxes, but neither links nor tabs."""

from __future__ import annotations

__all__ = ["FOCUS_STYLE"]

FOCUS_STYLE = """<style>
a:focus-visible, [role=tab]:focus-visible, summary:focus-visible, [role=radio]:focus-visible,
input[type=radio]:focus-visible + div {
  outline: 2px solid #4f7fe6 !important; outline-offset: 2px; border-radius: 0.3rem }
</style>"""
