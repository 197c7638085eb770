"""SARM Explorer: `streamlit run app/main.py`. Navigation only; each page is a file in app_pages/."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

# Streamlit puts only this file's folder on the path; the rooms are beside it.
ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

import streamlit as st

from app.draw.plain_text import plain
from app.session.first_visit import first_visit
from app.session.pages import Page
from app.session.words import words_button
from feature_db.errors import StoreError
from sarm_core.errors import SarmError

# A file of our own: browsers would fetch a Material icon for the tab from another server.
ICON = Path(__file__).with_name("icon.svg")
st.set_page_config(page_title="SARM Explorer", page_icon=str(ICON), layout="wide", initial_sidebar_state=230)
# The wide layout's margins are 5rem; tables and bars need the room more. Captions, badges in them too, are at 60 % of
# the text's colour: less than the contrast of 4.5 that reading takes.
st.html(
    """<style>
@media (min-width: 640px) { .stMainBlockContainer { padding-inline: 2.5rem } }
.stApp [data-testid=stCaptionContainer] { opacity: 1; color: color-mix(in srgb, currentcolor 72%, transparent) }
</style>"""
)

menu: dict[str, list[Any]] = defaultdict(list)
for page in Page:
    first = not menu
    menu[page.group].append(st.Page(page.path, title=page.title, icon=page.icon, default=first))
chosen = st.navigation(menu, expanded=True)
words_button()
first_visit(chosen.url_path)
try:
    chosen.run()
except (SarmError, StoreError) as error:
    # A page says most errors where they arise; what is left (a store that went away, say) is one line here.
    st.error(plain(str(error)), icon=":material/error:")
