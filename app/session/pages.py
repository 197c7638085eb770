"""Every page of the app: a file in app_pages/ and one line here. The menu, links and headings read this list."""

from __future__ import annotations

from enum import Enum

__all__ = ["SIDEBAR_PX", "Page"]

SIDEBAR_PX = 230
"""Width of the menu"""


class Page(Enum):
    """A page; the order is the menu's, the first is where the app opens. A value: file, group in the menu, title, icon.

    The file's name is the address, so a link outlives a new title.
    """

    COMPARE = "compare", "Use", "Compare and steer", ":material/compare_arrows:"
    EXPLAIN = "explain", "Use", "Explain one answer", ":material/search_insights:"
    DATASETS = "datasets", "Use", "Data sets", ":material/table_view:"
    RUNS = "runs", "Use", "Runs", ":material/history:"
    FEATURES = "features", "Understand", "Features", ":material/table_rows:"
    FEATURE = "feature", "Understand", "Feature", ":material/ink_highlighter:"
    DICTIONARY = "dictionary", "Understand", "Dictionary", ":material/menu_book:"
    LABEL = "label", "Label", "Label", ":material/edit_note:"
    DISAGREEMENTS = "disagreements", "Label", "Disagreements", ":material/forum:"
    FIND = "find", "Change", "Find features", ":material/manage_search:"
    LEARN = "learn", "Change", "Learn a steering", ":material/school:"
    EVALUATE = "evaluate", "Change", "Evaluate", ":material/checklist:"
    WATCH = "watch", "Change", "Watch a run", ":material/monitoring:"
    BUILD = "build", "Set up", "Build", ":material/construction:"
    PEOPLE = "people", "Set up", "People and data", ":material/group:"
    NAMING = "naming", "Set up", "Names by a model", ":material/smart_toy:"
    MODEL = "model", "Set up", "Model", ":material/memory:"

    def __init__(self, address: str, group: str, title: str, icon: str) -> None:
        self.address, self.group, self.title, self.icon = address, group, title, icon
        self.path = f"app_pages/{address}.py"
        """What `st.Page`, `st.page_link` and `st.switch_page` take."""
