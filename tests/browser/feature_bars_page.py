"""The bars of features alone on a page that is busy for a while in every run; what they said is in the report."""

from __future__ import annotations

import html
import json
import time

import streamlit as st

from app.components.feature_bars import Bar, feature_bars

state = st.session_state
state.setdefault("panel", [])
state.setdefault("log", [])


def said(what: str, feature: int) -> None:
    state.log.append([what, feature])
    if what == "add":
        state.panel.append(feature)


time.sleep(float(st.query_params.get("busy", 0)))
for key in ("first", "second"):
    feature_bars(
        key=key,
        columns=["w z"],
        bars=[Bar(i, f"name {i}", (1.0 - i / 10,), on_panel=i in state.panel) for i in range(8)],
        click_hint="Open",
        on_click=lambda feature: said("click", feature),
        on_add=lambda feature: said("add", feature),
    )
st.html(f'<div class="report" style="display: none">{html.escape(json.dumps(state.log))}</div>')
