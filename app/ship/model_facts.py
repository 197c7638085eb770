"""What is known of the model that runs."""

from __future__ import annotations

import streamlit as st

from app.draw.plain_text import cut, plain
from app.session.engine import Engine
from app.ship.model_card import card_text
from feature_db.features.catalogue import FeatureFilter

__all__ = ["about", "figures"]


_WIDE_TABLES = "<style>.st-key-model_card table { display: block; overflow-x: auto }</style>"
"""In a narrow window a table scrolls in its own box, not the page."""


def figures(engine: Engine) -> None:
    """Shape, speed and how much is named as figures, and the fingerprint to copy."""
    checkpoint = engine.scorer.checkpoint
    shape = checkpoint.shape
    st.header(plain(cut(checkpoint.name or checkpoint.source, 80)), anchor=False)
    with st.container(horizontal=True, gap="large"):
        st.metric("Blocks used", f"{shape.layer}", width="content")
        st.metric("Features", f"{shape.n_features:,}", width="content")
        st.metric("Active per answer", shape.sae.words, width="content")
        speed = (
            f"{engine.tokens_per_second:,.0f} tokens/s" if engine.tokens_per_second else "not yet measured"
        )
        st.metric("Last scoring", speed, width="content")
        for title, kind in (
            ("Labelled", FeatureFilter(labelled=True)),
            ("Suggested", FeatureFilter(suggested=True)),
        ):
            with engine.store() as store:
                n = store.features_page(filters=kind, limit=0).total
            st.metric(
                title, f"{n / shape.n_features:.1%}" if n else "none", width="content", help=f"{n:,} features"
            )
    st.caption("Fingerprint: features, labels and steerings go by it")
    st.code(engine.fingerprint, language=None)


def about(engine: Engine) -> None:
    """The checkpoint's own card, and how it runs here as a table."""
    scorer, checkpoint = engine.scorer, engine.scorer.checkpoint
    rows = {
        "Source": checkpoint.source,
        "Folder": str(checkpoint.folder),
        "Layout": "this project's own" if checkpoint.layout == "own" else checkpoint.layout,
        "Device": str(scorer.device),
        "Backbone computes in": str(scorer.dtype).removeprefix("torch."),
        "SAE and head compute in": "float32",
        "Longest input": f"{scorer.max_length:,} tokens, cut on the left",
        "Scored token": checkpoint.rule,
        "Answers to one prompt": "share the work on it"
        if scorer.encoder.why_not_shared is None
        else f"each read it anew: {scorer.encoder.why_not_shared}",
        "Reads text": "yes"
        if scorer.format
        else "no: the checkpoint ships no tokenizer, only token ids score",
        "Loaded in": f"{engine.seconds_to_load or 0:.1f} s",
        "Feature store": str(engine.store_path),
    }
    card = checkpoint.folder / "README.md"
    if card.is_file():
        with st.expander(
            "How good it is, and how it was made: the model's own card", expanded=True, key="model_card"
        ):
            st.html(_WIDE_TABLES)
            st.markdown(card_text(card.read_text(encoding="utf-8", errors="replace")))
    with st.expander("How it runs here", expanded=not card.is_file()):
        st.table(
            {"": list(rows), " ": [plain(str(value)) for value in rows.values()]},
            hide_index=True,
            hide_header=True,
        )
