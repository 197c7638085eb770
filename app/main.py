"""SARM Explorer: `streamlit run app/main.py`. The pages are in navigation.py; this starts loading the model at once.

Streamlit runs a script only when a browser asks for it. Importing torch and transformers and reading the weights take
seconds, so they begin, in a thread, when the server starts.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

# Streamlit puts only this file's folder on the path; the rooms are beside it.
ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

import streamlit as st  # noqa: E402


def load_ahead() -> None:
    """Load the model a new session starts with. What cannot be loaded is told to whoever opens the page."""
    from app.engine import default_choice, load_engine
    from feature_db import StoreError
    from sarm_core.errors import SarmError

    try:
        load_engine(default_choice())
    except (SarmError, StoreError, OSError):
        return


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """While the server runs."""
    threading.Thread(target=load_ahead, name="load the model", daemon=True).start()
    yield


app = st.App(str(Path(__file__).with_name("navigation.py")), lifespan=lifespan)
