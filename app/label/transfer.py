"""Labels out and in: histories, standing labels or another store, with a dry run before anything changes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path, PurePath

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app.draw.plain_text import cut, plain
from app.session import session
from app.session.engine import Engine
from app.session.who import Me
from feature_db import StoreError
from feature_db.exchange.event_files import export_events, export_labels
from feature_db.exchange.merge import MergeReport, import_events, merge_store

__all__ = ["export_section", "import_section"]

LARGEST_MB = 200
DRY = "import_dry_run"


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
    """Upload, dry run, import or merge. The store asks for the role again, and trusts nothing of the file."""
    if not me.may("import events"):
        st.caption("To import takes an admin: events come in under their authors' names.")
        return
    file = st.file_uploader(
        "Events or labels (.jsonl, .csv), or another store of this model (.db)",
        type=["jsonl", "csv", "db"],
        max_upload_size=LARGEST_MB,
        key="import_file",
    )
    st.caption(
        "Of a store, what people did is taken over; both histories are kept, and roles, queues and lists stay as they "
        "are here. Copy its file while no program has it open. One larger than "
        f"{LARGEST_MB} MB: `python -m feature_db merge {engine.store_path.name} OTHER.db --as ADMIN`."
    )
    if file is None:
        st.session_state.pop(DRY, None)
        return
    kept = st.session_state.get(DRY)
    if kept is None or kept[0] != (file.file_id, me.name):
        # Once a file: a dry run of a large one takes as long as the merge.
        kept = st.session_state[DRY] = ((file.file_id, me.name), *_dry_run(engine, me, file))
    _, report, refused = kept
    if report is None:
        st.error(plain(refused), icon=":material/error:")
        return
    st.markdown("**Dry run.** " + _words(report, "would be"))
    if report.changed:
        st.dataframe(
            {
                "feature": list(report.changed),
                "stands now": ["; ".join(before) for before, _ in report.changed.values()],
                "stands after": ["; ".join(after) for _, after in report.changed.values()],
            },
            hide_index=True,
        )
    st.button(
        "Merge" if _is_store(file.name) else "Import",
        type="primary",
        key="import_go",
        disabled=not report.new,
        on_click=_really,
        args=(engine, me, file),
    )


def _dry_run(engine: Engine, me: Me, file: UploadedFile) -> tuple[MergeReport | None, str]:
    try:
        return _import(engine, me, file, dry_run=True), ""
    except session.Errors as error:
        return None, " ".join(str(error).split())


def _really(engine: Engine, me: Me, file: UploadedFile) -> None:
    report = session.guarded(lambda: _import(engine, me, file, dry_run=False))
    st.session_state.pop(DRY, None)
    if report is not None:
        session.say(_words(report, "were"), "success")


def _is_store(name: str) -> bool:
    return name.lower().endswith(".db")


def _import(engine: Engine, me: Me, file: UploadedFile, *, dry_run: bool) -> MergeReport:
    # The ending decides how it is read; the rest of a name that came from a browser is not used.
    ending = PurePath(file.name).suffix.lower()
    with tempfile.TemporaryDirectory() as folder, engine.store() as store:
        path = Path(folder) / f"upload{ending if ending in ('.csv', '.db') else '.jsonl'}"
        path.write_bytes(file.getbuffer())
        try:
            take = merge_store if _is_store(file.name) else import_events
            return take(store, path, me.name, dry_run=dry_run)
        except StoreError as error:
            raise StoreError(str(error).replace(str(path), cut(file.name, 80))) from None


def _words(report: MergeReport, verb: str) -> str:
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(report.new.items())) or "nothing"
    people = ", ".join(plain(name) for name in sorted(report.annotators))
    return (
        f"{sum(report.new.values()):,} events {verb} added ({kinds}){f' of {people}' if people else ''}; "
        f"{report.known:,} are here already; labels, or what was settled, of {len(report.changed):,} features change."
    )
