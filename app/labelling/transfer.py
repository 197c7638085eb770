"""Labels out and in: whole histories or standing labels, with a dry run before anything changes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from app import session
from app.engine import Engine
from app.labelling.who import Me
from app.plain_text import plain
from feature_db import StoreError
from feature_db.event_files import export_events, export_labels
from feature_db.merge import MergeReport, import_events

__all__ = ["export_section", "import_section"]


def export_section(engine: Engine) -> None:
    """Download buttons; the files are written when asked for."""
    kinds = (
        ("events", "All events (the whole history)", export_events),
        ("labels", "Standing labels", export_labels),
    )
    for name, words, write in kinds:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(words)
            for ending in ("jsonl", "csv"):
                file = f"sarm-{name}-{engine.fingerprint[:8]}.{ending}"
                st.download_button(
                    ending.upper(),
                    data=_writer(engine, write, file),
                    file_name=file,
                    key=f"export_{name}_{ending}",
                    on_click="ignore",
                )
    st.caption(
        "Events hold everybody's drafts too. Either file imports again; labels of another model are refused."
    )


def _writer(engine: Engine, write: Callable[..., object], file: str) -> Callable[[], bytes]:
    def written() -> bytes:
        with tempfile.TemporaryDirectory() as folder, engine.store() as store:
            path = Path(folder) / file
            write(store, path)
            return path.read_bytes()

    return written


def import_section(engine: Engine, me: Me) -> None:
    """Upload, dry run, import. The store asks for the role again."""
    if not me.may("import events"):
        st.caption("To import takes an admin: events come in under their authors' names.")
        return
    file = st.file_uploader("Events or labels (.jsonl, .csv)", type=["jsonl", "csv"], key="import_file")
    if file is None:
        return
    report = session.guarded(lambda: _import(engine, me, file.name, file.getvalue(), dry_run=True))
    session.show_messages()
    if report is None:
        return
    st.markdown("**Dry run.** " + _words(report, "would be"))
    if report.changed:
        st.dataframe(
            {
                "feature": list(report.changed),
                "labels now": ["; ".join(before) for before, _ in report.changed.values()],
                "labels after": ["; ".join(after) for _, after in report.changed.values()],
            },
            hide_index=True,
        )
    st.button(
        "Import",
        type="primary",
        key="import_go",
        disabled=not report.new,
        on_click=_really,
        args=(engine, me, file.name, file.getvalue()),
    )


def _really(engine: Engine, me: Me, name: str, data: bytes) -> None:
    report = session.guarded(lambda: _import(engine, me, name, data, dry_run=False))
    if report is not None:
        session.say(_words(report, "were"), "success")


def _import(engine: Engine, me: Me, name: str, data: bytes, *, dry_run: bool) -> MergeReport:
    with tempfile.TemporaryDirectory() as folder, engine.store() as store:
        path = Path(folder) / ("events.csv" if name.lower().endswith(".csv") else "events.jsonl")
        path.write_bytes(data)
        try:
            return import_events(store, path, me.name, dry_run=dry_run)
        except StoreError as error:
            raise StoreError(str(error).replace(str(path), name)) from None


def _words(report: MergeReport, verb: str) -> str:
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(report.new.items())) or "nothing"
    people = ", ".join(plain(name) for name in sorted(report.annotators))
    return (
        f"{sum(report.new.values()):,} events {verb} added ({kinds}){f' of {people}' if people else ''}; "
        f"{report.known:,} are here already; labels of {len(report.changed):,} features change."
    )
