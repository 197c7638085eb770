"""The frame of every page: model, link, person, heading and messages before it, the address after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st
from streamlit import runtime
from streamlit.delta_generator import DeltaGenerator

from app.session import session
from app.session.engine import Engine
from app.session.link import open_link, show_link, update_link
from app.session.pages import Page
from app.session.who import Me, identify
from sarm_core.score.cache import keeping

__all__ = ["Frame", "page", "page_without_model"]


@dataclass
class Frame:
    """What a page begins with."""

    engine: Engine
    me: Me
    title: DeltaGenerator
    """Where the title stands."""
    head: DeltaGenerator
    """The line of the heading, to put buttons into."""
    is_unsettled: bool = False
    """Somebody is typing: each text would be kept under an address of its own, so the address waits."""
    link_box: DeltaGenerator | None = None
    """Where the page wants its address drawn, once it is known."""


@contextmanager
def page(of: Page, caption: str, *, title: bool = True, linked: Sequence[str] = ()) -> Iterator[Frame]:
    """`with page(Page.X, "What does it answer?") as here:` around all that a page draws.

    `linked` names the widgets, besides comparison and steering, that its address keeps (`link.LINKED`). A page that
    finds its title only later writes it into `here.title` itself and says `title=False`.
    """
    engine = session.engine()
    open_link(engine)
    if (feature := st.session_state.pop("open_feature", None)) is not None:
        st.switch_page(Page.FEATURE.path, query_params={"feature": str(feature)})
    me = identify(engine)
    # A title that is a name takes a line of its own; any other shares it with the page's buttons.
    place = None if title else st.container(key="title")
    head, messages = _heading(of.title if title else None, caption)
    here = Frame(engine, me, place or head, head)
    with keeping(not me.looks_only):
        yield here
    with messages:  # what was said while the page was drawn
        session.show_messages()
    if not here.is_unsettled:
        update_link(engine, linked)
    if here.link_box is not None:
        show_link(here.link_box)
    if runtime.exists():
        engine.warm()


@contextmanager
def page_without_model(of: Page, caption: str) -> Iterator[None]:
    """The frame of a page that has to open when no model does; it leaves the address alone."""
    _, messages = _heading(of.title, caption)
    yield
    with messages:
        session.show_messages()


def _heading(title: str | None, caption: str) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Title and caption, and a place for messages that is there without any: none moves what stands below it."""
    head = st.container(horizontal=True, vertical_alignment="bottom", key="head")
    if title is not None:
        head.title(title, anchor=False, width="content")
    st.caption(caption)
    # `empty` clears the place at once: while a long run goes on, what was said before it would stay under what is new.
    messages = st.empty().container(key="messages")
    with messages:
        session.show_messages()
    return head, messages
