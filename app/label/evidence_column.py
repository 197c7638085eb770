"""What a feature fires on, beside the form: figures, suggestion, texts by kind and band."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from app.features.evidence_list import COLUMN, evidence_list
from app.features.suggested import described, how_far
from app.features.view import FEW, figures_html, without_labels
from app.session.engine import Engine
from app.session.who import Me
from feature_db import FeatureView
from feature_db.features.evidence import StoredExample
from sarm_core.figures import percent, signed

__all__ = ["SHOWN", "evidence", "read_evidence", "suggestion_html"]

SHOWN = COLUMN.shown


def read_evidence(engine: Engine, feature: int) -> tuple[FeatureView, list[StoredExample]]:
    """A feature without its labels, and its texts, those kept for testing excepted. Raises StoreError."""
    with engine.store() as store:
        return without_labels(store.feature(feature)), store.examples(feature)


def suggestion_html(item: Mapping[str, Any]) -> str:
    """One suggestion and how far it holds. Never a label: others' stay unseen until one's own is in."""
    return (
        f'<style>{_CSS}</style><div class="sarm-suggested"><div><i>suggested</i>{html.escape(described(item))} '
        f"<small>{html.escape(' · '.join(how_far(item)))}</small></div></div>"
    )


def _figures(feature: int, head: npt.NDArray[np.floating], view: FeatureView) -> str:
    """In one line, and all of them in a fold: the answers are what is read here."""
    often = view.record.density
    line = f"weight {signed(float(head[feature]))}" + (
        "" if often is None else f" · fires in {percent(often, 2)}"
    )
    fold = f"<summary>{html.escape(line)}</summary>{figures_html(feature, head, view)}"
    return f'<style>{_CSS}</style><details class="sarm-more">{fold}</details>'


def _suggestions(view: FeatureView, use: Callable[[str, str], None]) -> None:
    for place, item in enumerate(view.suggestions):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", wrap=False):
            st.html(suggestion_html(item), width="stretch")
            st.button(
                "Use it",
                key=f"label_use_{place}",
                shortcut=None if place else "A",
                help="Puts it into the box as the beginning of your label. That it came from here is kept with it.",
                on_click=use,
                args=(str(item["method"]), described(item)),
            )


def evidence(
    engine: Engine, me: Me, view: FeatureView, found: list[StoredExample], use: Callable[[str, str], None]
) -> None:
    """The left column; `use` gets method and text of a suggestion that is taken into the form."""
    feature = view.record.id
    st.html(_figures(feature, engine.scorer.head, view))
    _suggestions(view, use)
    if not found:
        st.warning("The store keeps no texts of this feature: skip it, or harvest a corpus.")
        return
    firing = {example.text.id for example in found if example.kind != "silent"}
    if len(firing) < FEW:
        st.warning(f"Only {len(firing)} texts show it firing: too few to tell what it means. Better skip it.")
    evidence_list(engine, me, view, found, COLUMN)


_CSS = """
.sarm-suggested > div { overflow-wrap: anywhere; line-height: 1.5 }
.sarm-suggested i { font-style: normal; font-size: 0.75rem; padding: 0.05rem 0.45rem; border-radius: 1rem;
  border: 1px solid rgba(128, 140, 155, 0.5); margin-right: 0.5rem; white-space: nowrap }
.sarm-suggested small { opacity: 0.7; margin-left: 0.4rem }
.st-key-label_evidence .sarm-figures { gap: 0.4rem 1rem }
.st-key-label_evidence .sarm-more > summary { cursor: pointer; font-size: 0.85rem;
  color: rgb(from currentColor r g b / 0.75); font-variant-numeric: tabular-nums }
"""
