"""Columns of a file of rows that no shape knows: shown with what they hold first, and assigned by the person."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import pandas as pd
import streamlit as st

from app.draw.files import uploaded
from app.draw.plain_text import cut, plain
from sarm_core.errors import RowError
from sarm_core.text.answers import Reader
from sarm_core.text.row_files import read_rows
from sarm_core.text.text_files import is_text_file

__all__ = [
    "PARTS",
    "Check",
    "as_answers",
    "assigned",
    "columns_form",
    "first_rows",
    "first_values",
    "reader_for",
    "without_options",
]

PARTS = {
    "prompt": "Prompt",
    "response": "Answer",
    "chosen": "Better answer",
    "rejected": "Worse answer",
    "rating": "Grade of the answer",
    "messages": "Conversation (turns)",
    "system": "System prompt",
}
"""What a person can say that a column is, with its title."""
FIRST = 20
NAMES = frozenset(["id", "domain", "subset"])
"""Columns that name a row or its group, and are read under these names whether or not they are chosen."""
Check = Callable[[Reader, str, int, dict[str, Any]], object]
"""Reads one row of a file as a page will: (reader, file, row number, row). Raises RowError."""
_Numbered = tuple[str, int, dict[str, Any]]
_OPTION = re.compile(r"[;:,] [^;:,]*--(?:map|ignore|format)\b.*", re.DOTALL)


def as_answers(reader: Reader, _source: str, _number: int, row: dict[str, Any]) -> object:
    """Rows of answers, whether or not one of them is better."""
    return reader.answers(row)


def first_rows(files: Sequence[tuple[str, bytes]]) -> list[_Numbered]:
    """(Name, row number, row) of what each file of rows holds first; [] of one that cannot be read, or is a text."""
    found: list[_Numbered] = []
    rows_of = [(name, data) for name, data in files if not is_text_file(name)]
    with uploaded(*rows_of) as paths:
        for (name, _), path in zip(rows_of, paths, strict=True):
            try:
                found += [(name, n, row) for n, row in islice(read_rows(path, lambda _error: None), FIRST)]
            except RowError:
                continue
    return found


def first_values(rows: Sequence[_Numbered]) -> dict[str, str]:
    """The columns of rows with what stands in them first, as text."""
    found: dict[str, str] = {}
    for _, _, row in rows:
        for key, value in row.items():
            if value not in (None, "") and not found.get(key):
                found[key] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return found


def columns_form(key: str, columns: Mapping[str, str], assign: Callable[[], None]) -> None:
    """What the columns of a file hold first, and which of them are prompt and answers (see `assigned`)."""
    with st.form(f"{key}_columns", border=False):
        st.caption("Say what the columns are; those that are not chosen are not used.")
        shown = [{"Column": name, "First value": cut(value, 200)} for name, value in columns.items()]
        st.dataframe(pd.DataFrame(shown), hide_index=True, height=min(38 + 35 * len(shown), 248))
        for part, title in PARTS.items():
            st.selectbox(
                title,
                list(columns),
                index=None,
                format_func=lambda name: f"{name}: {cut(columns[name], 60)}",
                placeholder="none",
                key=f"{key}_as_{part}",
            )
        st.form_submit_button("Read with these columns", on_click=assign)


def assigned(key: str, columns: Mapping[str, str]) -> dict[str, Any]:
    """The `Reader`'s options for what was chosen in the form of `key`."""
    chosen = {part: st.session_state.get(f"{key}_as_{part}") for part in PARTS}
    mapping = {part: column for part, column in chosen.items() if column}
    return {"mapping": mapping, "ignore": set(columns) - set(mapping.values()) - NAMES}


def reader_for(key: str, files: Sequence[Any], check: Check) -> Reader:
    """The reader of uploaded files, which stand above; where their first rows are not what `check` reads, the person is
    asked what the columns are.

    A reader counts what it reads, so every call gives a new one.
    """
    mark = tuple(file.file_id for file in files)
    kept = st.session_state.get(f"{key}_first")
    if kept is None or kept[0] != mark:
        kept = (mark, first_rows([(file.name, file.getvalue()) for file in files]))
        st.session_state[f"{key}_first"] = kept
        st.session_state.pop(f"{key}_assigned", None)
    rows = kept[1]
    if not _refused(rows, Reader(), check):
        return Reader()
    columns = first_values(rows)
    options = st.session_state.get(f"{key}_assigned", {})
    refused = _refused(rows, Reader(**options), check)
    words = plain(without_options(refused[0])) if refused else ""
    if len(refused) == len(rows):
        st.error(words, icon=":material/error:")
    elif options and not refused:
        said = ", ".join(f"{PARTS[part]}: {column}" for part, column in options["mapping"].items())
        st.caption(f"Read with these columns: {plain(said)}")

    def assign() -> None:
        st.session_state[f"{key}_assigned"] = assigned(key, columns)

    # A file of which most rows are read may only have a bad one: the question does not stand in the way.
    with st.container() if not refused or len(refused) == len(rows) else st.expander(words):
        columns_form(key, columns, assign)
    return Reader(**options)


def without_options(error: Exception) -> str:
    """What an error says, without the options of commands that it names as the way to go on: here the form is it."""
    if not isinstance(error, RowError) or error.row is None:
        return str(error)
    return str(RowError(_OPTION.sub("", error.reason), source=error.source, row=error.row))


def _refused(rows: Sequence[_Numbered], reader: Reader, check: Check) -> list[RowError]:
    """Why rows are not what `check` reads."""
    found = []
    for name, number, row in rows:
        try:
            check(reader, name, number, row)
        except RowError as error:
            found.append(error.at(name, number))
    return found
