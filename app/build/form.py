"""What a model is built of: pairs, backbone, dictionary; and what these are, before anything runs."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.build.job import Asked, Job, begin
from app.draw.files import UPLOADS
from app.draw.plain_text import cut, plain
from app.session import session
from sarm_core.errors import SarmError
from sarm_core.model.inspection import inspect_path

__all__ = ["build_form"]

TIES = {"out": "are left out", "half": "are half a win for each"}


def build_form() -> Job | None:
    """The form; the job it began, when it did."""
    with st.form("build"):
        files = st.file_uploader(
            "Preference pairs", type=list(UPLOADS), accept_multiple_files=True, key="build_pairs"
        )
        named = st.text_input(
            "... or files of pairs on this machine",
            key="build_paths",
            help="Several with commas between them.",
        )
        left, right = st.columns(2)
        backbone = left.text_input(
            "Backbone",
            "demo",
            key="build_backbone",
            help='"demo", a folder or a Hub id: a language or reward model',
        )
        sae = right.text_input(
            "Dictionary", key="build_sae", help="A public sparse autoencoder: a file, a folder or a Hub id"
        )
        out = left.text_input("Folder of the new model", str(Path("my-sarm").resolve()), key="build_out")
        layer = right.number_input(
            "Block", 1, 1000, None, key="build_layer", placeholder="as the dictionary says",
            help="L, the number of blocks before the place that the dictionary reads",
        )  # fmt: skip
        features = right.number_input(
            "Features the head uses",
            1,
            10**6,
            None,
            key="build_features",
            placeholder="held-out pairs decide",
        )
        ties = left.selectbox(
            "Two answers called equally good",
            list(TIES),
            format_func=TIES.__getitem__,
            key="build_ties",
            help="Ties are counted either way, and never part of held-out accuracy.",
        )
        with st.container(horizontal=True):
            looked = st.form_submit_button("What are these?")
            asked = st.form_submit_button("Build", type="primary")
    if not (looked or asked):
        return None
    missing = [
        name
        for name, given in (("a backbone", backbone), ("a dictionary", sae), ("a folder", out))
        if not given.strip()
    ]
    paths = tuple(path.strip() for path in named.split(",") if path.strip())
    if asked and not (files or paths):
        missing.insert(0, "preference pairs")
    if missing:
        st.error(f"Name {', '.join(missing)}.", icon=":material/error:")
        return None
    if looked:
        for name, source in (("Backbone", backbone), ("Dictionary", sae)):
            _what(name, source.strip())
        return None
    try:
        return begin(
            Asked(paths, backbone.strip(), sae.strip(), out.strip(), layer, features, ties),
            [(file.name, file.getvalue()) for file in files or []],
        )
    except (*session.Errors, OSError, ValueError) as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def _what(name: str, source: str) -> None:
    try:
        found = inspect_path(source)
    except (SarmError, OSError, ValueError) as error:
        st.error(f"{name}: {plain(str(error))}", icon=":material/error:")
        return
    facts = ", ".join(
        f"{key.replace('_', ' ')} {plain(cut(str(value), 60))}" for key, value in found.facts.items()
    )
    st.info(f"{name}: {plain(found.kind)}, {plain(found.what)}" + (f" ({facts})" if facts else ""))
    if found.problem:
        st.warning(plain(found.problem), icon=":material/warning:")
