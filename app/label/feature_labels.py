"""What a feature is called and what people said of it, on its page: names, votes, what was settled, the history."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.draw.plain_text import plain
from app.features.view import labels_html, without_labels
from app.label.blind import withheld
from app.label.standing_labels import check_words, history, settled_label, standing_labels
from app.label.trials_view import score_sentence
from app.session.engine import Engine, FeatureNote
from app.session.feature_title import marked_name
from app.session.pages import Page
from app.session.who import Me
from feature_db import FeatureView
from feature_db.label.blindness import titles_for, with_opinions
from feature_db.label.events import Event
from feature_db.label.labels import Labels
from feature_db.label.trials import KINDS, Trials
from feature_db.saved_work import BOOKMARKS

__all__ = [
    "Said",
    "feature_heading",
    "label_button",
    "names_for",
    "read_said",
    "what_it_is_called",
    "what_people_said",
]

LONGEST_HEADING, LINK_WIDTH = 80, 40


@dataclass(frozen=True)
class Said:
    """What the store has on a feature for one person; nothing but the reason while it is hidden from them."""

    hidden: str | None
    """Why (`feature_db.label.blindness`), where there is something to hide."""
    labels: tuple[Event, ...] = ()
    settled: Event | None = None
    any_event: bool = False
    """Whether there is a history to show"""

    def tests(self) -> dict[str, str]:
        """Words about each label's test, by uid."""
        return {event.uid: check_words(event) for event in self.labels}


def read_said(engine: Engine, me: Me, feature: int) -> Said:
    """Ask once a run, before anything of the feature is drawn."""
    with engine.store() as store:
        labels = Labels(store, me.name)
        past = labels.history(feature)
        if (reason := labels.hidden(feature)) is not None:
            others = [event for event in past if event.annotator != me.name]
            return Said(reason if others or with_opinions(store, [feature]) else None)
        return Said(None, tuple(labels.current(feature)), labels.adjudication(feature), bool(past))


def names_for(engine: Engine, me: Me, features: list[int]) -> dict[int, str]:
    """Names of neighbouring features as this person may read them, cut to a link's width, each with its mark."""
    return {i: marked_name(note, LINK_WIDTH) for i, note in _notes(engine, me, features).items()}


def _notes(engine: Engine, me: Me, features: list[int]) -> dict[int, FeatureNote]:
    with engine.store() as store:
        titles = titles_for(store, me.name, features)
    return {i: FeatureNote(title.text, title.mark) for i, title in titles.items()}


def feature_heading(engine: Engine, me: Me, feature: int) -> str:
    """Number and name as this person may read it, for the page's title."""
    name = marked_name(_notes(engine, me, [feature]).get(feature), LONGEST_HEADING)
    return f"#{feature} {name}" if name else f"Feature #{feature}"


def label_button(me: Me, feature: int) -> None:
    """To the form, with the feature lent from the queue that waits for it; not for readers."""
    if me.name and not me.may("label"):
        return
    if st.button("Label it", icon=":material/edit_note:", key="label_it", help="Say what it means"):
        st.switch_page(Page.LABEL.path, query_params={"take": str(feature)})


def what_it_is_called(engine: Engine, view: FeatureView, said: Said) -> None:
    """Labels and suggestions, each with its author; where they must not be read yet, why."""
    feature = view.record.id
    shown = without_labels(view) if said.hidden else view
    if shown.labels or shown.suggestions:
        st.html(labels_html(shown, said.tests()))
    if said.hidden:
        withheld(feature, said.hidden)
    elif not view.labels and said.settled is None and view.record.firing_count != 0:
        origin = "The suggestions above were made by a program from its texts. " if view.suggestions else ""
        st.caption(
            f"Unlabelled: nobody has said yet what it means. {origin}"
            "Read its examples below, the weaker bands too, before you trust a name."
        )
    with engine.store() as store:
        on_lists = [item for item in store.lists() if feature in dict(store.list_items(item.id))]
    others = [f"{item.name} ({item.owner or 'no name'})" for item in on_lists if item.name != BOOKMARKS]
    if others:
        st.caption("On the lists: " + plain(", ".join(others)))


def what_people_said(engine: Engine, me: Me, feature: int, said: Said) -> None:
    """The section of the page; nothing where nobody ever said anything, or where it is hidden yet."""
    if said.hidden is not None or not said.any_event:
        return
    st.markdown("## What people said of it")
    if said.settled is not None:
        settled_label(said.settled)
    standing_labels(engine, me, said.labels, "page")
    with engine.store() as store:
        scores = [Trials(store, me.name).of_feature(feature, kind) for kind in KINDS]
    for score in scores:
        if score.of:
            kind = "Told by its name" if score.kind == "names" else "Its silent answer found"
            st.caption(score_sentence(score, f"{kind}, by everybody asked"))
    history(engine, me, feature)
