"""The part of *Model* about encoded answers: where they are kept, how large that is, and getting rid of them."""

from __future__ import annotations

import streamlit as st

from app.draw.plain_text import plain
from app.session import session
from sarm_core.score.cache import CacheSize, cache_size, encoded_folder, prune

__all__ = ["encoded_section"]

DAYS = 30


def encoded_section() -> None:
    """Size and path, and a button each for the old and for all of it."""
    st.header("Encoded answers", anchor=False)
    folder = encoded_folder()
    try:
        size = cache_size(folder)
    except session.Errors as error:
        st.warning(plain(str(error)), icon=":material/warning:")
        return
    st.caption(
        "Every answer that a page or a command has read is kept, so that no later "
        "question runs the model for it again. What is removed is encoded again when it is asked for; "
        "nothing else is lost."
    )
    st.text(f"{size} in {folder}")
    with st.container(horizontal=True):
        st.button(
            f"Remove what was not used for {DAYS} days",
            icon=":material/history:",
            disabled=not size.files,
            on_click=_remove,
            args=(DAYS,),
            key="encoded_old",
        )
        with st.popover("Remove all", icon=":material/delete:", disabled=not size.files):
            st.caption("Of every model: the next question runs the model for each of its answers again.")
            st.button(
                f"Remove {size}",
                type="primary",
                disabled=not size.files,
                on_click=_remove,
                args=(None,),
                key="encoded_clear",
            )


def _remove(days: int | None) -> None:
    removed = session.guarded(_pruned, days)
    if removed is not None:
        session.say(f"Removed: {removed}. {cache_size()} are left.", "success")


def _pruned(days: int | None) -> CacheSize:
    session.check_may_write("removing them")
    return prune(None, days)
