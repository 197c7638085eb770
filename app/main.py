"""SARM Explorer: `streamlit run app/main.py`. The server and the menu; each page is a file in app_pages/."""

from __future__ import annotations

import sys
from pathlib import Path

# Streamlit puts only this file's folder on the path; the rooms are beside it.
ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

# Streamlit imports this file for `app`, the server, and then runs it for every page that is asked for.
if get_script_run_ctx(suppress_warning=True) is None:
    from app.serve.first_paint import first_paint
    from app.serve.start import ready

    app = st.App(Path(__file__), lifespan=ready, middleware=[first_paint()])
else:
    from app.features.cards import feature_cards
    from app.session.menu import draw

    draw(feature_cards)
