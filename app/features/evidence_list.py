"""The texts of one feature, by how strongly it fires in them: the same on its page and beside the form for a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from app.features.example_view import CONTEXTS, Context, examples_html, fires_inside
from app.features.view import Group, colour_scale, example_groups
from app.session.choices import choose, chosen
from app.session.engine import Engine
from app.session.who import Me
from feature_db import FeatureView
from feature_db.features.evidence import StoredExample
from feature_db.features.same_prompt import quiet_answers

__all__ = ["COLUMN", "PAGE", "Place", "evidence_list"]

CHOICE = "evidence"
"""Under which a person's way of reading is kept"""


@dataclass(frozen=True)
class Place:
    """Where texts are listed."""

    group: str
    """Key of the widget that chooses the strength"""
    context: str
    """Key of the widget that chooses chat or tokens"""
    shown: int
    """Texts at a time"""
    linked: bool
    """Whether the page's address keeps both choices, and further pages of texts are offered"""


PAGE = Place("examples", "context", 5, True)
"""The page of a feature"""
COLUMN = Place("label_group", "label_context", 6, False)
"""Beside the form for a label"""


def evidence_list(
    engine: Engine,
    me: Me,
    view: FeatureView,
    found: Sequence[StoredExample],
    place: Place,
    *,
    missing: str = "",
) -> None:
    """Draw `found`, the texts of a feature that may be shown (at least one), beside quieter answers to their prompts.

    `missing` is a remark on bands without a text. Draws into the container that is open.
    """
    scale = colour_scale(view.record, found)
    groups = example_groups(found, scale)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        group = _group(groups, place)
        context = _context(engine, me, found, place)
    if missing:
        st.caption(f"Without an example here: {missing}.")
    pages = max(1, -(-len(group.examples) // place.shown))
    body, number = st.container(), 1
    if place.linked and pages > 1:
        key = f"example_page_{view.record.id}_{group.key}"
        number = st.pagination(pages, key=key, persist_state="page")
    start = (number - 1) * place.shown
    part = group.examples[start : start + place.shown]
    with engine.store() as store:
        quiet = quiet_answers(store, view.record.id, part) if context == "chat" else {}
    aside = ", others are kept aside for testing labels" if place.linked else ""
    shown = (
        f"{len(group.examples)} here{aside}"
        if place.linked
        else f"{len(part)} of {len(group.examples)} shown"
    )
    body.caption(f"{group.help} · {shown}")
    body.html(examples_html(part, context, scale=scale, quiet=quiet, first=start + 1))


def _group(groups: Sequence[Group], place: Place) -> Group:
    titles = {group.key: group.title for group in groups}
    if st.session_state.get(place.group) not in titles:
        st.session_state.pop(place.group, None)
    key = st.pills(
        "Answers",
        list(titles),
        default=groups[0].key,
        format_func=lambda key: titles.get(key, key),
        required=True,
        wrap=True,
        label_visibility="collapsed",
        key=place.group,
        bind="query-params" if place.linked else None,
    )
    return next((group for group in groups if group.key == key), groups[0])


def _context(engine: Engine, me: Me, found: Sequence[StoredExample], place: Place) -> Context:
    """Chat or tokens: as the address says, else as this person likes it.

    Where a feature fires at the end of answers only there is nothing to see in tokens, and no choice.
    """
    if all(example.text.messages and not fires_inside(example) for example in found):
        return "chat"
    named = place.linked and st.query_params.get(place.context) in CONTEXTS.values()
    liked = chosen(engine, me, CHOICE, CONTEXTS)
    if place.context not in st.session_state:
        if not named:
            st.session_state[place.context] = liked or "chat"
    elif (
        liked is not None and st.session_state.get("evidence_reader") != me.name
    ):  # a name was typed just now
        st.session_state[place.context] = liked
    st.session_state["evidence_reader"] = me.name
    context: Context | None = st.segmented_control(
        "Show as",
        list(CONTEXTS),
        default="chat" if named else None,
        format_func=lambda key: CONTEXTS[key],
        required=True,
        label_visibility="collapsed",
        key=place.context,
        on_change=_choose,
        args=(engine, me, place.context),
        bind="query-params" if place.linked else None,
    )
    return context or "chat"


def _choose(engine: Engine, me: Me, key: str) -> None:
    """Callback."""
    if (context := st.session_state.get(key)) in CONTEXTS:
        choose(engine, me, CHOICE, context)
