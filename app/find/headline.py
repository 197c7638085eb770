"""The question of *Find features* answered in sentences, before any table."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.draw.plain_text import plain
from app.features.slider_actions import slider_actions
from app.find.found import Found
from app.session.engine import FeatureNote
from app.session.feature_title import feature_title
from sarm_core.find.preference import Preference

__all__ = ["headline", "sentences"]

SPEAKING = 3


def headline(found: Found, notes: Mapping[int, FeatureNote]) -> None:
    """Which side the reward prefers, what speaks for either, and the features that carry it, ready for the sliders."""
    answer = found.preference
    if answer is None:
        return
    with st.container(border=True, key="find_headline"):
        first, *rest = sentences(answer, found.names, notes)
        st.markdown(f"**{first}**")
        st.markdown("\n".join(f"- {sentence}" for sentence in rest))
        if answer.without:
            slider_actions(list(answer.without), "find_headline", found.title)


def sentences(
    answer: Preference, names: tuple[str, str], notes: Mapping[int, FeatureNote]
) -> tuple[str, ...]:
    """The same as Markdown, in which names and titles are escaped."""
    one, two = (f"“{plain(name)}”" for name in names)
    lost = answer.n - answer.won - answer.tied
    counts = f"{one} scores higher in {answer.won:,} of {answer.n:,} pairs, {two} in {lost:,}"
    if answer.tied:
        counts += f", {answer.tied:,} are ties"
    range_ = f"95 % interval {answer.low:.0%} to {answer.high:.0%} of the pairs, over prompts"
    first = {
        "first": f"The reward prefers {one}.",
        "second": f"The reward prefers {two}.",
        "unclear": f"The reward does not clearly prefer {one} or {two}.",
        "few": "Too few prompts to say which side the reward prefers.",
    }[answer.kind]
    second = counts + (f" ({range_})" if answer.kind != "few" else "")
    ahead = one if answer.lead > 0 else two
    second += (
        f"; the mean lead is {abs(answer.lead):.3g}, for {ahead}." if answer.lead else "; there is no lead."
    )
    found = [first, second]
    for sign, name in ((1, one), (-1, two)):
        speaking = [(i, part) for i, part in answer.parts if part * sign > 0][:SPEAKING]
        if speaking:
            listed = ", ".join(
                f"{plain(feature_title(i, notes.get(i), 60))} ({abs(part):.3g})" for i, part in speaking
            )
            found.append(f"Most for {name}: {listed}.")
    if answer.without:
        *most, last = (f"\\#{i}" for i in answer.without)
        these = f"{', '.join(most)} and {last}" if most else last
        found.append(f"Silencing {these} turns {answer.turned:,} of the {answer.n:,} pairs.")
    return tuple(found)
