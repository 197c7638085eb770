"""SARM Explorer: `streamlit run app/main.py`. Navigation only; each page is a file in app_pages/."""

from __future__ import annotations

import sys
from pathlib import Path

# Streamlit puts only this file's folder on the path; the rooms are beside it.
ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

import streamlit as st  # noqa: E402

st.set_page_config(page_title="SARM Explorer", page_icon=":material/tune:", layout="wide")

PAGES = {
    "Use": [
        st.Page("app_pages/compare.py", title="Compare and steer", icon=":material/compare_arrows:", default=True),
        st.Page("app_pages/explain.py", title="Explain one answer", icon=":material/search_insights:"),
    ],
    "Understand": [
        st.Page("app_pages/features.py", title="Features", icon=":material/table_rows:"),
        st.Page("app_pages/feature.py", title="Feature", icon=":material/ink_highlighter:"),
    ],
    "Change": [
        st.Page("app_pages/find.py", title="Find features", icon=":material/manage_search:"),
        st.Page("app_pages/evaluate.py", title="Evaluate", icon=":material/checklist:"),
    ],
    "Set up": [st.Page("app_pages/model.py", title="Model", icon=":material/memory:")],
}

st.navigation(PAGES).run()
