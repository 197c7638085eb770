"""Two ways of working beside the form: which of two names fits these answers, and which answer does not belong."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.draw.plain_text import plain
from app.label.label_check import unmarked
from app.session import session
from app.session.engine import Engine
from app.session.pages import Page
from app.session.who import Me
from feature_db.features.evidence import StoredExample
from feature_db.label.trials import Score, Trial, Trials

__all__ = ["score_sentence", "trials"]

LAST = "trial_last"
"""State's key: what came of the trial before: (model, person, kind, trial, place said)"""
ASKS = {
    "names": "**Which of the two descriptions fits these answers?** One is this feature's, the other another's.",
    "odd one out": "**One of these five answers does not belong:** the feature is strong in four and silent in one.",
}


def score_sentence(score: Score, who: str = "You") -> str:
    """What a score says, in words, with its interval."""
    interval = score.interval
    if interval is None:
        return f"{who}: none answered yet. Guessing is right in {score.chance:.0%}."
    low, high = interval
    if low > score.chance:
        told = "told apart" if score.kind == "names" else "found more often than by guessing"
    else:
        told = "not yet told from guessing"
    return (
        f"{who}: {score.right:,} of {score.of:,} right ({score.right / score.of:.0%}, 95 % interval {low:.0%} to "
        f"{high:.0%}); guessing gets {score.chance:.0%}: {told}."
    )


def trials(engine: Engine, me: Me, kind: str) -> None:
    """One question after another, with the score so far above."""
    with engine.store() as store:
        of_me = Trials(store, me.name)
        own = of_me.own(kind)
    st.markdown(score_sentence(own))
    _last(engine, me, kind)
    with engine.store() as store:
        trial = Trials(store, me.name).next(kind)
    if trial is None:
        st.info(
            "Nothing is left to ask you: each feature that fires in 0.1 to 5 % of positions"
            + (" and has a name" if kind == "names" else " and has a silent text")
            + " comes once.",
            icon=":material/check:",
        )
        return
    st.markdown(ASKS[kind])
    if kind == "names":
        _choices(engine, me, trial, [plain(text) for _, text in trial.names])
        _answers(trial.examples)
        return
    for place, example in enumerate(trial.examples):
        with st.container(border=True, gap="xsmall"):
            st.html(unmarked(example))
            st.button(
                f"Answer {place + 1} does not belong",
                key=f"trial_{trial.feature}_{place}",
                shortcut=str(place + 1),
                on_click=_say,
                args=(engine, me, trial, place),
            )


def _choices(engine: Engine, me: Me, trial: Trial, words: Sequence[str]) -> None:
    for place, text in enumerate(words):
        st.button(
            text,
            key=f"trial_{trial.feature}_{place}",
            shortcut=str(place + 1),
            on_click=_say,
            args=(engine, me, trial, place),
            width="stretch",
        )


def _answers(examples: Sequence[StoredExample]) -> None:
    for example in examples:
        with st.container(border=True):
            st.html(unmarked(example))


def _say(engine: Engine, me: Me, trial: Trial, place: int) -> None:
    def keep() -> bool:
        with engine.store() as store:
            Trials(store, me.name).keep(trial, place)
        return True

    if session.guarded(keep):
        st.session_state[LAST] = (engine.fingerprint, me.name, trial.kind, trial, place)


def _last(engine: Engine, me: Me, kind: str) -> None:
    held = st.session_state.get(LAST)
    if held is None or held[:3] != (engine.fingerprint, me.name, kind):
        return
    trial: Trial = held[3]
    right = held[4] == trial.answer
    was = f"“{plain(trial.names[trial.answer][1])}”" if trial.names else f"answer {trial.answer + 1}"
    with st.container(horizontal=True, vertical_alignment="center", key="trial_last_line"):
        st.markdown(
            f"{':material/check:' if right else ':material/close:'} **{'Right' if right else 'No'}**: it was {was}."
        )
        st.page_link(
            Page.FEATURE.path, label=f"Feature {trial.feature}", query_params={"feature": str(trial.feature)}
        )
