"""Labels that stand on a feature, with votes, flags and the history: only for whoever may see them."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from app import session
from app.engine import Engine
from app.labelling.who import Me
from app.plain_text import plain
from feature_db.events import Event
from feature_db.labels import Labels

__all__ = ["after_submitting", "facts_of", "history", "standing_labels"]


def facts_of(event: Event) -> str:
    """Author, day, verdict, category, confidence and test of a label as one line of Markdown."""
    facts = [plain(event.annotator), datetime.fromtimestamp(event.time / 1e6, UTC).strftime("%Y-%m-%d")]
    if event.verdict is not None:
        facts.append(f"verdict {event.verdict} of 5")
    if event.category:
        facts.append(plain(event.category))
    if event.confidence is not None:
        facts.append(f"confidence {event.confidence:.0%}")
    check = event.data.get("check")
    if isinstance(check, dict) and isinstance(check.get("texts"), list):
        facts.append(f"test {check.get('correct')} of {len(check['texts'])}")
    return " · ".join(facts)


def after_submitting(engine: Engine, me: Me, feature: int) -> None:
    """What others said of the feature that was labelled just now."""
    with engine.store() as store:
        visible = Labels(store, me.name).visible(feature)
    others = [event for event in visible if event.annotator != me.name]
    if not visible:
        return
    with st.container(border=True, key="label_last_box"):
        st.markdown(
            f"**Feature {feature}: yours is in.** " + ("" if others else "Nobody else labelled it yet.")
        )
        if others:
            standing_labels(engine, me, feature, "last")


def standing_labels(engine: Engine, me: Me, feature: int, place: str) -> None:
    """Every label that stands, each by itself, with its votes; nothing when this person may not see them yet."""
    with engine.store() as store:
        labels = Labels(store, me.name)
        visible = labels.visible(feature)
        votes = {event.uid: labels.votes(event.uid) for event in visible}
    for event in visible:
        st.markdown(f"“{plain(event.text or '')}”  \n:small[{facts_of(event)}]")
        if event.note:
            st.caption(plain(event.note))
        for vote in votes[event.uid]:
            word = "agrees" if vote.verdict == 1 else "disagrees"
            why = f": {plain(vote.note)}" if vote.note else ""
            st.caption(f"{plain(vote.annotator)} {word}{why}")
        if event.annotator != me.name:
            with st.container(horizontal=True, vertical_alignment="bottom"):
                reason = f"vote_reason_{place}_{event.uid}"
                st.text_input("Reason for a vote", key=reason, max_chars=500, width=260)
                for word, agree in (("Agree", True), ("Disagree", False)):
                    st.button(
                        word,
                        key=f"vote_{word}_{place}_{event.uid}",
                        on_click=_vote,
                        args=(engine, me, event.uid, agree, reason),
                    )


def _vote(engine: Engine, me: Me, uid: str, agree: bool, reason: str) -> None:
    def vote() -> None:
        with engine.store() as store:
            Labels(store, me.name).vote(uid, agree, st.session_state.get(reason) or "")

    session.guarded(vote)


def history(engine: Engine, me: Me, feature: int) -> None:
    """Everything that happened to a feature, oldest first."""
    with engine.store() as store:
        found = Labels(store, me.name).history(feature)
    words = {"adjudicate": "adjudication", "undo": "undo", "edit": "edit"}
    st.dataframe(
        {
            "time (UTC)": [datetime.fromtimestamp(e.time / 1e6, UTC) for e in found],
            "who": [e.annotator for e in found],
            "what": [words.get(e.kind, e.kind) for e in found],
            "text": [e.text if e.kind != "draft" else str(e.data.get("text", "")) for e in found],
            "verdict": [e.verdict for e in found],
            "category": [e.category for e in found],
            "reason or note": [e.note for e in found],
        },
        hide_index=True,
    )
