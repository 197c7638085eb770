"""The frame around every page: the menu and what stands below it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from app.draw.plain_text import plain
from app.session.first_visit import first_visit
from app.session.pages import SIDEBAR_PX, Page
from app.session.words import words_button
from feature_db.errors import StoreError
from sarm_core.errors import SarmError

__all__ = ["draw"]

# A file of our own: browsers would fetch a Material icon for the tab from another server.
ICON = Path(__file__).parents[1] / "icon.svg"


def draw(over_pages: Callable[[], None]) -> None:
    """The menu, and the page that is chosen in it; `over_pages` draws first what every page has, wherever it stops."""
    st.set_page_config(
        page_title="SARM Explorer", page_icon=str(ICON), layout="wide", initial_sidebar_state=SIDEBAR_PX
    )
    menu: dict[str, list[Any]] = defaultdict(list)
    for page in Page:
        first = not menu
        menu[page.group].append(st.Page(page.path, title=page.title, icon=page.icon, default=first))
    chosen = st.navigation(menu, expanded=True)
    words_button()
    first_visit(chosen.url_path)
    over_pages()
    try:
        chosen.run()
    except (SarmError, StoreError) as error:
        # A page says most errors where they arise; what is left (a store that went away, say) is one line here.
        st.error(plain(str(error)), icon=":material/error:")
