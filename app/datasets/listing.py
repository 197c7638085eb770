"""Every data set of the store, and the box that brings another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.datasets.counted import agreed
from app.datasets.kept import is_corpus, keep
from app.datasets.scoring import score_kept
from app.draw.columns import reader_for
from app.draw.files import UPLOADS
from app.draw.plain_text import plain
from app.session import session
from app.session.engine import Engine
from app.session.link import only_here
from app.session.pages import Page
from app.session.who import Me
from feature_db.datasets.datasets import DataSet, DataSets
from sarm_core.errors import SarmError
from sarm_core.text.answers import Reader

__all__ = ["bring", "open_data_set", "show_list"]


def open_data_set(of: DataSet) -> None:
    """Go to its table."""
    st.switch_page(Page.DATASETS.path, query_params={"d": of.address})


@dataclass(frozen=True)
class NamedFile:
    """A file on this machine in the place of an upload."""

    path: Path
    file_id: str

    @property
    def name(self) -> str:
        """Without its folder."""
        return self.path.name

    def getvalue(self) -> bytes:
        """Its content. Raises SarmError."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise SarmError(f"{self.path}: cannot be read ({error.strerror or error})") from None


def _named(me: Me) -> list[NamedFile]:
    """The box for a file on the machine of the app, of any size: for who sits at it, and for an admin who signed in."""
    if not (only_here(st.context.url or "") or (me.proven and me.role == "admin")):
        return []
    given = st.text_input(
        "... or a file on this machine, of any size",
        key="bring_path",
        placeholder="/home/me/preferences.parquet",
    ).strip()
    if not given:
        return []
    path = Path(given).expanduser()
    try:
        facts = path.stat()
    except OSError as error:
        st.error(plain(f"{given}: cannot be read ({error.strerror or error})"), icon=":material/error:")
        return []
    if not path.is_file():
        st.error(plain(f"{given}: is no file; name one of rows"), icon=":material/error:")
        return []
    return [NamedFile(path, f"{path.resolve()}:{facts.st_mtime_ns}:{facts.st_size}")]


def bring(engine: Engine, me: Me, working: DeltaGenerator) -> None:
    """Upload files as one data set; what is there already is opened instead of kept twice."""
    by = me.name
    with engine.store() as store:
        may = DataSets(store).may_keep(by)
    if not may:
        st.caption("As a reader you keep nothing here: to bring data sets, ask an admin for another role.")
        return
    st.caption(
        "JSONL, CSV, Parquet or Arrow: rows of `prompt` + `chosen` + `rejected`, of a prompt with graded answers, or "
        "of a public data set; several files make one. A file is kept once, with how it is read, and every page can "
        "work on it or on a slice."
    )
    files: list[Any] = st.file_uploader(
        "Files",
        type=list(UPLOADS),
        accept_multiple_files=True,
        key=f"bring_{st.session_state.setdefault('brought', 0)}",
        label_visibility="collapsed",
    )
    files = files or _named(me)
    if not files:
        return
    reader = session.guarded(reader_for, "bring", files, _as_item)
    if reader is None:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        name = st.text_input(
            "Name", f"{files[0].name}{more}", max_chars=200, key=f"bring_name_{files[0].file_id}"
        )
        go = st.button("Keep", type="primary", icon=":material/save:", key="bring_go")
    if go:
        with working.container():
            bar = st.progress(0.0, text="Reading the rows …")

        def progress(done: int, of: int) -> None:
            bar.progress(min(1.0, done / max(of, 1)), text=f"Reading: {done:,} of about {of:,} rows")

        made = session.guarded(
            lambda: keep(
                engine,
                name,
                [(file.name, file.getvalue()) for file in files],
                reader,
                by,
                progress,
            )
        )
        working.empty()
        if made is not None:
            _opened(engine, *made)


def _opened(engine: Engine, of: DataSet, new: bool) -> None:
    st.session_state["brought"] += 1
    if not new:
        session.say(f"This file is kept already, as {plain(of.name)}: here it is.", "info")
    elif of.n_labels:
        session.guarded(score_kept, engine, of.address)
    open_data_set(of)


def _as_item(reader: Reader, _source: str, _number: int, row: dict) -> object:
    return reader.answers(row, preferences=True)


def show_list(engine: Engine) -> None:
    """All of them, the latest first; a click on a name opens it."""
    with engine.store() as store:
        every = DataSets(store).all()
    if not every:
        return
    own = sum(not is_corpus(of) for of in every)
    st.markdown(
        f"**{own:,} of your own {'is' if own == 1 else 'are'} kept**, beside the corpus that comes with this tool."
        if own
        else "**None of your own is kept yet.** The corpus that comes with this tool is there to try things on."
    )

    def opened() -> None:
        row = st.session_state["datasets_clicked"]["row"]
        st.session_state["open_data_set"] = every[row].address

    shares = [agreed(engine, of) for of in every]
    table = pd.DataFrame(
        {
            "name": [of.name for of in every],
            "prompts": [of.n_items for of in every],
            "answers": [of.n_answers for of in every],
            "labels": [of.n_labels for of in every],
            "agrees": shares,
            "by": [of.owner or ("comes with this tool" if is_corpus(of) else "") for of in every],
            "kept": [datetime.fromtimestamp(of.added / 1e6) for of in every],
            "read as": [(of.said[0].removeprefix("read as ") if of.said else "") for of in every],
        }
    )
    st.dataframe(
        table,
        hide_index=True,
        key="datasets_table",
        placeholder="",
        height=38 + 35 * min(len(every), 20),
        column_config={
            "name": st.column_config.ButtonColumn(
                "data set", width="medium", pinned=True, type="tertiary", on_click=opened, key="datasets_clicked"
            ),
            "agrees": st.column_config.NumberColumn(
                "model agrees", format="percent", help="With the labels that were scored; empty before any was"
            ),
            "labels": st.column_config.NumberColumn(
                "labels", format="localized", help="Which of two answers is better, as the rows say it"
            ),
            "prompts": st.column_config.NumberColumn(format="localized"),
            "answers": st.column_config.NumberColumn(format="localized"),
            "kept": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
            "by": st.column_config.TextColumn("brought by"),
            "read as": st.column_config.TextColumn(width="medium"),
        },
    )  # fmt: skip
