"""The report as a page: a sentence, then tables whose rows open their features."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.draw.plain_text import plain
from app.features.view import open_feature
from sarm_core.dictionary.words import Section, Table, headline, sections
from sarm_core.dictionary.written import written

__all__ = ["block_bar", "downloads", "show_headline", "show_sections"]

SOON_DONE = 3
"""Blocks that take no time to speak of"""
_ROW, _HEAD, _TALLEST = 35, 38, 420
_FORMATS = {"count": "localized", "share": "percent", "small": "percent", "signed": "%+.4f", "two": "%.2f"}
_HELP = {
    "of the mass": "Share of the sum of |head weight × activation| over the answers",
    "PMI": "log2 of how much more often both fire than by chance",
    "Jaccard": "Answers in which both fire, of those in which either does",
    "cosine": "Of the two decoder columns",
    "correlation": "Of activations at the same positions",
    "nearest direction": "The feature of the other dictionary with the nearest decoder column",
    "most alike": "The feature of the other dictionary whose activations go with this one's",
}


def block_bar(place: DeltaGenerator, done: int, of: int) -> None:
    """How far the products of decoder columns are, where there are many."""
    if of > SOON_DONE:
        place.progress(done / of, text=f"Comparing directions, once: {done:,} of {of:,} blocks")


def show_headline(report: Mapping[str, Any]) -> None:
    """The report in a sentence."""
    st.markdown(f"**{plain(headline(report))}**")


def show_sections(report: Mapping[str, Any]) -> None:
    """All its parts, one tab each."""
    parts = sections(report)
    for tab, part in zip(st.tabs([part.title for part in parts]), parts, strict=True):
        with tab:
            _section(part)


def _section(part: Section) -> None:
    """Sentences, then tables."""
    for sentence in part.sentences:
        st.write(plain(sentence))
    for table in part.tables:
        st.markdown(f"**{plain(table.caption)}**")
        _show(table)


def _show(table: Table) -> None:
    columns: dict[str, pd.Series] = {}
    config: dict[str, Any] = {}
    for place, column in enumerate(table.columns):
        name = column.name or " "
        while name in columns:
            name += " "
        values = [row[place] for row in table.rows]
        if column.kind in ("feature", "other"):
            columns[name] = pd.Series(["" if value is None else f"#{value}" for value in values], dtype="str")
        else:
            columns[name] = pd.Series(values)
        if column.kind == "feature":
            config[name] = st.column_config.ButtonColumn(
                column.name,
                width=84,
                pinned=place == 0,
                type="tertiary",
                on_click=_opener(f"dictionary_{table.key}_{place}"),
                key=f"dictionary_{table.key}_{place}",
            )
        elif column.kind in _FORMATS:
            config[name] = st.column_config.NumberColumn(
                column.name, format=_FORMATS[column.kind], help=_HELP.get(column.name)
            )
        else:
            config[name] = st.column_config.TextColumn(column.name, help=_HELP.get(column.name))
    st.dataframe(
        pd.DataFrame(columns),
        hide_index=True,
        key=f"dictionary_{table.key}",
        column_config=config,
        height=min(_TALLEST, _HEAD + _ROW * len(table.rows)),
    )


def _opener(key: str) -> Any:
    def opened() -> None:
        open_feature(int(str(st.session_state[key]["label"]).removeprefix("#")))

    return opened


def downloads(report: Mapping[str, Any]) -> None:
    """The report to take away."""
    with st.container(horizontal=True):
        for title, ending, mime in (
            ("Page", "html", "text/html"),
            ("Markdown", "md", "text/markdown"),
            ("JSON", "json", "application/json"),
        ):
            st.download_button(
                title,
                partial(written, report, f".{ending}"),
                file_name=f"dictionary.{ending}",
                mime=mime,
                icon=":material/download:",
                key=f"dictionary_as_{ending}",
            )
