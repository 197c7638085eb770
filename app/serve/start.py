"""What the server does when it starts: what the first page needs is read before anybody asks for it."""

from __future__ import annotations

import importlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

__all__ = ["ready"]

IMPORTED = ("pandas", "plotly.graph_objects", "app.compare.why_view", "app.steer.panel")
"""What takes longest to import of what the first page imports"""


@asynccontextmanager
async def ready(_: Any) -> AsyncIterator[None]:
    """Streamlit's `lifespan`: reading begins with the server, in a thread, and nobody waits for it."""
    threading.Thread(target=_read, name="first-page", daemon=True).start()
    yield


def _read() -> None:
    """What fails here fails again where a page needs it, and is said there."""
    from app.session.engine import default_choice, load_engine

    with suppress(Exception):
        load_engine(default_choice())
        for name in IMPORTED:
            importlib.import_module(name)
