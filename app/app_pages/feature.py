"""Feature: what one feature fires on, how often and how strongly, what it is called, and what it does here."""

from __future__ import annotations

import streamlit as st

from app.compare.stored_pairs import silenced_line
from app.draw.plain_text import plain
from app.features import feature_parts as parts
from app.features.try_text import try_text
from app.features.view import (
    answers_where_it_fires,
    figures_html,
    read_feature,
    say_harvest,
    wanted_feature,
)
from app.label.feature_labels import (
    feature_heading,
    label_button,
    names_for,
    read_said,
    what_it_is_called,
    what_people_said,
)
from app.session import session
from app.session.page import Frame, page
from app.session.pages import Page

CAPTION = (
    "What does this feature respond to, how far can its name be trusted, and what does it do to the reward?"
)


def show(here: Frame, number: int) -> None:
    """All that is known of the feature with that number."""
    engine, me, scorer = here.engine, here.me, here.engine.scorer
    try:
        feature = wanted_feature(number, scorer.n_features)
        view = read_feature(engine, feature)
        said = read_said(engine, me, feature)
    except session.Errors as error:
        here.title.title(Page.FEATURE.title, anchor=False)
        st.error(plain(str(error)), icon=":material/error:")
        parts.all_features()
        return
    here.title.title(plain(feature_heading(engine, me, feature)), anchor=False)
    with here.head:
        parts.slider_button(feature)
        if view is not None:
            label_button(me, feature)
            parts.bookmark_button(engine, me.name, feature)
    if view is not None:
        what_it_is_called(engine, view, said)
    st.html(figures_html(feature, scorer.head, view))
    silenced_line(engine, feature)
    hits = answers_where_it_fires(engine, feature)
    if view is None:
        say_harvest(
            engine,
            f"Feature {feature} was not harvested into this model's store, so its density, examples and neighbours are "
            "unknown. Run this with a file of conversations, then reload the page:",
        )
        parts.answers(hits)
    elif view.record.firing_count == 0:
        st.warning(
            f"Dead: feature {feature} did not fire once at {view.record.denominator or 0:,} harvested positions, so "
            "there is nothing to read. Harvest a larger or different corpus; if it stays silent, it carries no reward.",
            icon=":material/do_not_disturb_on:",
        )
        what_people_said(engine, me, feature, said)
        parts.answers(hits)
        parts.related(view, names_for(engine, me, list(view.neighbour_names)))
    else:
        main, side = st.columns([5, 3], gap="large")
        with main:
            parts.examples(engine, me, view)
            try_text(engine, feature)
            what_people_said(engine, me, feature, said)
        with side:
            parts.histogram(view, hits)
            parts.answers(hits)
            parts.related(view, names_for(engine, me, list(view.neighbour_names)))
    parts.tell_the_address(feature)


with page(Page.FEATURE, CAPTION, title=False) as here:
    number = parts.choose_feature(here.head, here.engine.scorer.n_features)
    if number is None:
        here.title.title(Page.FEATURE.title, anchor=False)
    else:
        show(here, number)
