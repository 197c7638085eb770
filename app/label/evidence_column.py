"""What a feature fires on, beside the form: figures, suggestion, texts by kind and band."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from app.features.example_view import CONTEXTS, Context, colour_legend, example_html
from app.features.suggested import described, how_far
from app.features.view import FEW, Group, colour_scale, example_groups, figures_html, without_labels
from app.session.engine import Engine
from feature_db import FeatureView
from feature_db.features.evidence import StoredExample

__all__ = ["evidence", "read_evidence", "suggestion_html"]

SHOWN = 6


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
    engine: Engine, view: FeatureView, found: list[StoredExample], use: Callable[[str, str], None]
) -> None:
    """The left column; `use` gets method and text of a suggestion that is taken into the form."""
    feature = view.record.id
    st.html(figures_html(feature, engine.scorer.head, view))
    _suggestions(view, use)
    groups = example_groups(found)
    if not groups:
        st.warning("The store keeps no texts of this feature: skip it, or harvest a corpus.")
        return
    firing = {example.text.id for example in found if example.kind != "silent"}
    if len(firing) < FEW:
        st.warning(f"Only {len(firing)} texts show it firing: too few to tell what it means. Better skip it.")
    titles = {group.key: group.title for group in groups}
    if st.session_state.get("label_group") not in titles:
        st.session_state["label_group"] = groups[0].key
    with st.container(gap="xsmall"):
        chosen = st.pills(
            "Texts",
            list(titles),
            format_func=lambda key: titles.get(key, key),
            required=True,
            wrap=True,
            key="label_group",
        )
        context: Context = st.segmented_control(
            "Context",
            list(CONTEXTS),
            default="short",
            format_func=lambda key: CONTEXTS[key],
            required=True,
            key="label_context",
        )
    group: Group = next((group for group in groups if group.key == chosen), groups[0])
    scale = colour_scale(view.record, found)
    st.caption(f"{group.help} · {min(SHOWN, len(group.examples))} of {len(group.examples)} shown")
    st.html(
        colour_legend(scale)
        + "".join(
            example_html(example, context, scale=scale, place=place)
            for place, example in enumerate(group.examples[:SHOWN], start=1)
        )
    )


_CSS = """
.sarm-suggested > div { overflow-wrap: anywhere; line-height: 1.5 }
.sarm-suggested i { font-style: normal; font-size: 0.75rem; padding: 0.05rem 0.45rem; border-radius: 1rem;
  border: 1px solid rgba(128, 140, 155, 0.5); margin-right: 0.5rem; white-space: nowrap }
.sarm-suggested small { opacity: 0.7; margin-left: 0.4rem }
.st-key-label_evidence .sarm-figures { gap: 0.4rem 1rem }
"""
