"""Labels that stand on a feature, with votes, and its history. Who calls this has asked whether they may be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from app.components.draft_watch import Box, box_item, draft_watch, whose
from app.draw.plain_text import cut, plain
from app.session import session
from app.session.engine import Engine
from app.session.who import Me
from feature_db.label.events import EVENT_KINDS, Event
from feature_db.label.labels import Labels

__all__ = [
    "after_submitting",
    "check_words",
    "facts_of",
    "history",
    "score_words",
    "settled_label",
    "standing_labels",
    "suggestion_words",
]

LONGEST_REASON = 500
KINDS = {kind: kind for kind in EVENT_KINDS} | {"adjudicate": "adjudication"}
"""What each kind of event is called."""


def facts_of(event: Event) -> str:
    """Author, day, verdict, category, confidence and test of a label as one line of Markdown."""
    facts = [plain(event.annotator), datetime.fromtimestamp(event.time / 1e6, UTC).strftime("%Y-%m-%d")]
    if event.verdict is not None:
        facts.append(f"verdict {event.verdict} of 5")
    if event.category:
        facts.append(plain(event.category))
    if event.confidence is not None:
        facts.append(f"confidence {event.confidence:.0%}")
    if check := check_words(event):
        facts.append(check)
    if began := suggestion_words(event):
        facts.append(began)
    return " · ".join(facts)


def suggestion_words(event: Event) -> str:
    """Whether the label began as a suggestion; "" when it did not."""
    began = event.data.get("from_suggestion")
    if event.kind not in ("label", "edit") or not isinstance(began, dict):
        return ""
    if event.data.get("bulk"):
        return f"accepted with others by {plain(str(began.get('method') or 'a program'))}"
    return "a suggestion, reworded" if began.get("changed") is not False else "a suggestion, taken as it is"


def check_words(event: Event) -> str:
    """`score_words` of a label."""
    return score_words(event.data.get("check"))


def score_words(check: Any) -> str:
    """How the label did on unseen texts, as "test 8 of 10"; "" without a test. Counted anew: files say anything.

    After several tests the first one's score stands in front: trying again until it fits is no proof.
    """
    if not isinstance(check, dict):
        return ""
    said, fires = check.get("said"), check.get("fires")
    if not isinstance(said, list) or not isinstance(fires, list) or not said or len(said) != len(fires):
        return ""
    here = f"{sum(bool(a) == bool(b) for a, b in zip(said, fires, strict=True))} of {len(said)}"
    place, attempts = check.get("attempt"), check.get("attempts")
    if not isinstance(place, int) or not isinstance(attempts, list) or len(attempts) < 2:
        return f"test {here}"
    if place == 1:
        return f"test {here}, the first of {len(attempts)} attempts"
    first = attempts[0] if isinstance(attempts[0], dict) else {}
    correct, of = first.get("correct"), first.get("of")
    if not isinstance(correct, int) or not isinstance(of, int):
        return f"test {here}"
    return f"test {correct} of {of} at first; {here} in this wording, attempt {place} of {len(attempts)}"


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
            standing_labels(engine, me, visible, "last")


def standing_labels(engine: Engine, me: Me, labels: Sequence[Event], place: str) -> None:
    """Each label by itself with its votes, and a way to vote on others'; `place` keeps the keys apart."""
    with engine.store() as store:
        votes = {event.uid: Labels(store, me.name).votes(event.uid) for event in labels}
    boxes: list[Box] = []
    for event in labels:
        with st.container(border=True, gap="xsmall", key=f"standing_{place}_{event.uid}"):
            st.markdown(f"“{plain(event.text or '')}”  \n:small[{facts_of(event)}]")
            if event.note:
                st.caption(plain(event.note))
            for vote in votes[event.uid]:
                word = "agrees" if vote.verdict == 1 else "disagrees"
                why = f": {plain(vote.note)}" if vote.note else ""
                st.caption(f"{plain(vote.annotator)} {word}{why}")
            if event.annotator != me.name and me.may("vote"):
                boxes.append(_vote_row(engine, me, event, votes[event.uid], place))
    if boxes:
        draft_watch(boxes, st.session_state.update, key=f"vote_watch_{place}")


def _vote_row(engine: Engine, me: Me, event: Event, votes: Sequence[Event], place: str) -> Box:
    own = next((vote for vote in votes if vote.annotator == me.name), None)
    reason = f"vote_reason_{place}_{event.uid}_{whose(me.name)}"
    author = cut(event.annotator, 40)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall"):
        st.text_input(
            f"Reason for a vote on the label of {plain(author)}",
            key=reason,
            max_chars=LONGEST_REASON,
            width=260,
            placeholder="reason, if you vote",
            label_visibility="collapsed",
        )
        for word, agree, icon in (("Agree", True, "thumb_up"), ("Disagree", False, "thumb_down")):
            st.button(
                word,
                key=f"vote_{word}_{place}_{event.uid}",
                icon=f":material/{icon}:",
                type="primary" if own is not None and (own.verdict == 1) == agree else "secondary",
                help=f"{word} with the label of {plain(author)}",
                on_click=_vote,
                args=(engine, me, event.uid, agree, reason),
            )
    item = box_item(engine.fingerprint, me.name, f"vote:{event.uid}")
    return Box(reason, item, own.note if own is not None else "", LONGEST_REASON)


def _vote(engine: Engine, me: Me, uid: str, agree: bool, reason: str) -> None:
    def vote() -> None:
        with engine.store() as store:
            Labels(store, me.name).vote(uid, agree, st.session_state.get(reason) or "")

    session.guarded(vote)


def settled_label(settled: Event) -> None:
    """What an adjudicator settled on."""
    why = f"  \n{plain(settled.note)}" if settled.note else ""
    st.success(
        f"Settled: “{plain(settled.text or '')}”{why}  \n:small[{facts_of(settled)}]", icon=":material/gavel:"
    )


def history(engine: Engine, me: Me, feature: int) -> None:
    """Everything that happened to a feature, oldest first, in a box that is closed at first."""
    with engine.store() as store:
        found = Labels(store, me.name).history(feature)
    if not found:
        return
    by_uid = {event.uid: event for event in found}
    kinds = Counter(event.kind for event in found)
    with st.expander(
        "History: " + ", ".join(f"{n} {KINDS[kind]}{'' if n == 1 else 's'}" for kind, n in kinds.items())
    ):
        st.dataframe(
            {
                "time (UTC)": [datetime.fromtimestamp(e.time / 1e6, UTC) for e in found],
                "who": [e.annotator for e in found],
                "what": [_what(e, by_uid) for e in found],
                "text": [_text(e, by_uid) for e in found],
                "verdict": [None if e.kind == "vote" else e.verdict for e in found],
                "category": [e.category for e in found],
                "began as": [suggestion_words(e) for e in found],
                "test": [check_words(e).removeprefix("test ") for e in found],
                "reason or note": [e.note for e in found],
            },
            hide_index=True,
            column_config={
                "time (UTC)": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm:ss", timezone="UTC")
            },
            key=f"history_{feature}",
        )


def _what(event: Event, by_uid: dict[str, Event]) -> str:
    if event.kind == "vote":
        return "vote for" if event.verdict == 1 else "vote against"
    if event.kind == "undo" and event.supersedes in by_uid:
        return f"undo of {KINDS[by_uid[event.supersedes].kind]}"
    return KINDS[event.kind]


def _text(event: Event, by_uid: dict[str, Event]) -> str:
    """What it says, or what it is about."""
    if event.kind == "draft":
        return str(event.data.get("text", ""))
    target = by_uid.get((event.supersedes if event.kind == "undo" else event.about) or "")
    return event.text or (target.text if target is not None else None) or ""
