"""Files out and in, of every format the store knows, and other stores: with a dry run before anything changes."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, TypeVar

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app.draw.plain_text import cut, plain
from app.session import session
from app.session.engine import Engine
from app.session.who import Me
from feature_db import StoreError
from feature_db.exchange import formats
from feature_db.exchange.format import Format, Option, Report
from feature_db.exchange.merge import merge_store
from feature_db.exchange.take_back import take_back
from feature_db.harvest.undo import last_undoable
from feature_db.records import ImportRecord

__all__ = ["export_section", "import_section"]

LARGEST_MB = 200
DRY = "import_dry_run"
STORE = "db"
T = TypeVar("T")


def export_section(engine: Engine) -> None:
    """Download buttons, one a format and ending; the files are written when asked for."""
    for format in formats.FORMATS:
        if not format.writable:
            continue
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(plain(format.title))
            options = _chosen(engine, format.write_options, f"export_{format.name}")
            for ending in format.endings:
                file = f"sarm-{format.name}-{engine.fingerprint[:8]}.{ending}"
                st.download_button(
                    ending.upper(),
                    data=_writer(engine, format, file, options or {}),
                    file_name=file,
                    key=f"export_{format.name}_{ending}",
                    disabled=options is None,
                    help="This store has nothing for it." if options is None else None,
                    on_click="ignore",
                )
    st.caption(
        "Events hold everybody's drafts too. Each file imports again, as far as its format goes; labels of another "
        "model are refused."
    )


def _chosen(engine: Engine, options: Sequence[Option], key: str) -> dict[str, Any] | None:
    """What was chosen of a format's options; None where one has nothing to choose from."""
    chosen: dict[str, Any] = {}
    for option in options:
        where, label = f"{key}_{option.argument}", option.name.replace("-", " ").capitalize()
        if option.choices is not None:
            with engine.store() as store:
                found = list(option.choices(store))
            if not found:
                return None
            chosen[option.argument] = (
                found[0] if len(found) == 1 else st.selectbox(label, found, key=where, help=option.help)
            )
        elif option.flag:
            if st.checkbox(label, key=where, help=option.help):
                chosen[option.argument] = True
        elif said := st.text_input(label, key=where, help=option.help).strip():
            chosen[option.argument] = said
    return chosen


def _writer(engine: Engine, format: Format, file: str, options: dict[str, Any]) -> Callable[[], bytes]:
    def written() -> bytes:
        with tempfile.TemporaryDirectory() as folder, engine.store() as store:
            path = Path(folder) / file
            format.write(store, path, **options)
            if format.folder:
                path = _zipped(path)
            return path.read_bytes()

    return written


def _zipped(folder: Path) -> Path:
    """A .zip of what is in a folder; its files are compressed already."""
    path = folder.with_name(f"{folder.name}.packed")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for found in sorted(folder.rglob("*")):
            if found.is_file():
                archive.write(found, found.relative_to(folder))
    return path


def import_section(engine: Engine, me: Me) -> None:
    """Upload, dry run, import or merge. The store asks for the role again, and trusts nothing of the file."""
    if not me.may("import events"):
        st.caption("To import takes an admin: labels come in under their authors' names.")
        return
    endings = dict.fromkeys(ending for format in formats.FORMATS for ending in format.endings)
    file = st.file_uploader(
        "A file of one of these formats, or another store of this model (.db)",
        type=[*endings, STORE],
        max_upload_size=LARGEST_MB,
        key="import_file",
    )
    st.caption(
        "Of a store, what people did is taken over; both histories are kept, and roles, queues and lists stay as they "
        "are here. Copy its file while no program has it open. One larger than "
        f"{LARGEST_MB} MB: `python -m feature_db merge {engine.store_path.name} OTHER.db --as ADMIN`."
    )
    _undo(engine, me)
    if file is None:
        st.session_state.pop(DRY, None)
        return
    titles = {"": "by its contents"} | {format.name: format.title for format in formats.FORMATS}
    name = ""
    if not _is_store(file.name):
        name = st.selectbox("Read as", titles, format_func=lambda n: titles[n], key="import_format")
    options = _read_options(engine, file, name)
    asked = (file.file_id, me.name, name, tuple(options.items()))
    kept = st.session_state.get(DRY)
    if kept is None or kept[0] != asked:
        # Once a file: a dry run of a large one takes as long as the import.
        kept = st.session_state[DRY] = (asked, *_dry_run(engine, me, file, name, options))
    _, report, refused = kept
    if report is None:
        st.error(plain(refused), icon=":material/error:")
        return
    st.markdown("**Dry run.** " + plain(report.words("taken in", "would be taken in")) + ".")
    for note in report.notes:
        st.caption(plain(note))
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
        disabled=not any(report.counts.values()),
        on_click=_really,
        args=(engine, me, file, name, options),
    )


def _undo(engine: Engine, me: Me) -> None:
    """A button for the last import, as long as it can be undone."""
    with engine.store() as store:
        last = last_undoable(store)
    if last is None:
        return
    when = f"{datetime.fromtimestamp(last.time / 1e6, UTC):%Y-%m-%d %H:%M} UTC"
    named = f"{plain(cut(PurePath(last.source).name, 60))} ({last.format}), {when}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"Last import: {named}")
        st.button(
            "Undo",
            key="import_undo",
            on_click=_take_back,
            args=(engine, me),
            help="Labels and lists made since stay; of an import of events each is taken back by an undo event.",
        )


def _take_back(engine: Engine, me: Me) -> None:
    def undo() -> ImportRecord:
        with engine.store() as store:
            return take_back(store, me.name)[0]

    undone = session.guarded(undo)
    st.session_state.pop(DRY, None)
    if undone is not None:
        session.say(f"The import of {plain(cut(PurePath(undone.source).name, 60))} was undone.", "success")


def _read_options(engine: Engine, file: UploadedFile, name: str) -> dict[str, Any]:
    """What is said of the options that reading this file has; none where its format is not known yet."""
    if _is_store(file.name):
        return {}
    try:
        format = _on_disk(file, lambda path: formats.named(name) if name else formats.recognised(path))
    except session.Errors:
        return {}  # the dry run says why
    return _chosen(engine, format.read_options, f"import_{format.name}") or {}


def _dry_run(
    engine: Engine, me: Me, file: UploadedFile, name: str, options: dict[str, Any]
) -> tuple[Report | None, str]:
    try:
        return _import(engine, me, file, name, options, dry_run=True), ""
    except session.Errors as error:
        return None, " ".join(str(error).split())


def _really(engine: Engine, me: Me, file: UploadedFile, name: str, options: dict[str, Any]) -> None:
    report = session.guarded(lambda: _import(engine, me, file, name, options, dry_run=False))
    st.session_state.pop(DRY, None)
    if report is not None:
        session.say(plain(report.words("taken in", "would be taken in")) + ".", "success")


def _is_store(name: str) -> bool:
    return name.lower().endswith(f".{STORE}")


def _import(
    engine: Engine, me: Me, file: UploadedFile, name: str, options: dict[str, Any], *, dry_run: bool
) -> Report:
    def taken(path: Path) -> Report:
        with engine.store() as store:
            if _is_store(file.name):
                return merge_store(store, path, me.name, dry_run=dry_run)
            format = formats.named(name) if name else formats.recognised(path)
            return format.read(store, path, by=me.name, dry_run=dry_run, **options)

    return _on_disk(file, taken)


def _on_disk(file: UploadedFile, use: Callable[[Path], T]) -> T:
    """`use` with the upload as a file. Of a name from a browser the ending and letters that harm nowhere are used."""
    ending = PurePath(file.name).suffix.lower()
    allowed = {f".{ending}" for format in formats.FORMATS for ending in format.endings} | {f".{STORE}"}
    with tempfile.TemporaryDirectory() as folder:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", PurePath(file.name).stem)[:60]
        path = Path(folder) / f"{stem or 'upload'}{ending if ending in allowed else ''}"
        path.write_bytes(file.getbuffer())
        try:
            return use(path)
        except StoreError as error:
            raise StoreError(str(error).replace(str(path), cut(file.name, 80))) from None
