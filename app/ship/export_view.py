"""The part of the Model page that hands out the steered model."""

from __future__ import annotations

from typing import BinaryIO

import pandas as pd
import streamlit as st

from app.draw.plain_text import plain
from app.session import session
from app.session.engine import Engine
from app.session.pages import Page
from app.ship.exported import LARGEST_DOWNLOAD, Exported, command_line, in_bytes, make_export
from app.steer.saved import summary
from sarm_core.errors import SteeringError
from sarm_core.ship.check import exported_bytes
from sarm_core.ship.layouts import AnyLayout, layouts_for
from sarm_core.ship.ship import trial_rows
from sarm_core.text.rows import Conversation

__all__ = ["export_section"]

MADE = "export_made"
READ_BY = {
    "own": "this project: `load_sarm(folder)`, the command line and this app",
    "reference": "the reference code's loader, and this project",
    "auto": "Transformers 5 (`AutoModelForSequenceClassification`, by the small class in the folder), and this project",
}


def export_section(engine: Engine) -> None:
    """Choose a layout, see the size, make and check the file, take it away."""
    st.header("Export the steered model", anchor=False)
    st.caption(
        "The multipliers are folded into the head weights: the exported model gives the steered rewards by itself, "
        "without a steering file."
    )
    held = session.steering().current
    st.markdown(f"In force: {summary(held)}.")
    try:
        held.fold(engine.scorer.head)
        size = exported_bytes(engine.scorer.checkpoint)
    except SteeringError as error:
        st.error(f"This steering cannot be folded: {plain(str(error))}.", icon=":material/block:")
        _steering_file()
        st.page_link(Page.COMPARE.path, label="Change it on Compare and steer", icon=":material/tune:")
        return
    except session.Errors as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    if not held:
        st.caption("No steering is in force: the export will score exactly as the model does now.")
    layout: AnyLayout = (
        st.segmented_control(
            "Layout",
            layouts_for(engine.scorer.checkpoint.shape),
            default="own",
            required=True,
            key="export_layout",
        )
        or "own"
    )
    st.caption(f"Read by {READ_BY[layout]}.")
    key = (engine.fingerprint, held.to_json(), layout)
    if size > LARGEST_DOWNLOAD:
        st.info(
            f"About {in_bytes(size)}: too large to be made and sent by this server (up to "
            f"{in_bytes(LARGEST_DOWNLOAD)}). Run this where the model is: it writes a new folder and loads it "
            "once more to check it (`--no-check` where it does not fit).",
            icon=":material/terminal:",
        )
        _command(engine, layout)
        return
    if st.button(
        f"Make the .zip (about {in_bytes(size)})", type="primary", icon=":material/archive:", key="export_go"
    ):
        _make(engine, layout, key, size)
    made = st.session_state.get(MADE)
    if isinstance(made, Exported) and made.key == key:
        _offer(made, layout)
    else:
        _forget()
    with st.expander("The same from the command line"):
        _command(engine, layout)


def _make(engine: Engine, layout: AnyLayout, key: tuple[str, ...], size: int) -> None:
    _forget()
    rows = _answers(engine)
    try:
        with st.status("Making the file …") as status:
            st.session_state[MADE] = make_export(
                engine,
                session.steering().current,
                layout,
                rows,
                key=key,
                size=size,
                say=lambda text: status.update(label=text),
            )
            status.update(label="Made and checked", state="complete")
    except session.Errors as error:
        st.error(plain(str(error)), icon=":material/error:")


def _forget() -> None:
    """Give the disk back at once; a session that just ends leaves it to the collector."""
    made = st.session_state.pop(MADE, None)
    if isinstance(made, Exported):
        made.folder.cleanup()


def _answers(engine: Engine) -> list[Conversation]:
    """The answers on the page; for a model that reads no text, a few rows of token ids."""
    if engine.scorer.format is not None:
        return session.current_comparison().conversations()
    return trial_rows(engine.scorer)


def _offer(made: Exported, layout: AnyLayout) -> None:
    check = made.check
    n = len(check.wanted)
    of = f"{n} answer{'s' if n != 1 else ''} on the page"
    # Had it not held, it would not have been kept.
    st.success(
        f"Loaded again ({check.dtype}), it gives the steered rewards of the {of}: largest difference "
        f"{f'{check.error:.1e}' if check.error else 'none'}, allowed {check.allowed:.0e}. {check.n_fired} of the "
        f"{check.n_steered} steered features fire in them; all weights of the head are the folded ones.",
        icon=":material/verified:",
    )

    def opened() -> BinaryIO:
        return made.path.open("rb")

    st.download_button(
        f"Download {made.path.name} ({in_bytes(made.size)})",
        opened,
        file_name=made.path.name,
        mime="application/zip",
        icon=":material/download:",
        type="primary",
        on_click="ignore",
        key="export_download",
    )
    with st.expander("The rewards"):
        st.dataframe(
            pd.DataFrame(
                {
                    "steered here": check.wanted.astype(float),
                    "exported, loaded again": check.reloaded.astype(float),
                    "difference": check.reloaded.astype(float) - check.wanted.astype(float),
                }
            ),
            column_config={
                "steered here": st.column_config.NumberColumn(format="%+.6f"),
                "exported, loaded again": st.column_config.NumberColumn(format="%+.6f"),
                "difference": st.column_config.NumberColumn(format="%.1e"),
            },
            hide_index=True,
            key="export_rewards",
        )


def _command(engine: Engine, layout: AnyLayout) -> None:
    st.code(command_line(engine.scorer.checkpoint, layout), language="bash", wrap_lines=True)
    _steering_file()


def _steering_file() -> None:
    st.download_button(
        "steering.json",
        session.steering().current.to_json(),
        file_name="steering.json",
        mime="application/json",
        icon=":material/download:",
        on_click="ignore",
        key="export_steering",
    )
