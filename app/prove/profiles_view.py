"""One steering a person or a group, side by side: whose hold, where they differ, and whose fits whom."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from app.draw.plain_text import cut, plain
from app.session import session
from app.session.engine import Engine
from app.session.feature_title import feature_title
from sarm_core.wish.profiles import Profiles

__all__ = ["ProfilesHere", "crossed_table", "multipliers_table", "show_profiles"]

NAME_WIDTH = 40
MOST_DIFFERENCES = 20


@dataclass(frozen=True)
class ProfilesHere:
    """Profiles by the column `by`, learned by the model of `fingerprint`; `said` is how the rows were read."""

    title: str
    by: str
    found: Profiles
    said: tuple[str, ...]
    fingerprint: str


def multipliers_table(found: Profiles, titles: dict[int, str]) -> pd.DataFrame:
    """A row a feature that anybody's preferences move, a column a person: the multiplier with its interval."""
    features = sorted({feature for own in found.multipliers.values() for feature in own})
    return pd.DataFrame(
        {
            "feature": [titles[feature] for feature in features],
            **{
                cut(name, NAME_WIDTH): [
                    f"×{own[i].value:.2f} [{own[i].low:.2f}, {own[i].high:.2f}]" if i in own else ""
                    for i in features
                ]
                for name, own in found.multipliers.items()
            },
        }
    )


def crossed_table(found: Profiles) -> pd.DataFrame:
    """Held-out accuracy: a row a steering, a column whose pairs it is measured on."""
    rows: dict[str, dict[str, str]] = {}
    for cell in found.crossed:
        rows.setdefault(cell.of, {})[cut(cell.on, NAME_WIDTH)] = (
            f"{cell.accuracy:.1%} ({100 * cell.gain.difference:+.1f})"
        )
    return pd.DataFrame([{"steering of": cut(name, NAME_WIDTH), **row} for name, row in rows.items()])


def show_profiles(here: ProfilesHere, engine: Engine) -> None:
    """A sentence for each, then the multipliers, the differences told apart, and everybody's steering on everybody."""
    found = here.found
    st.header(f"Learned from {plain(here.title)}, one for each {plain(here.by)}", anchor=False)
    for name, each in found.learned.items():
        said = (
            f"no steering is proposed: {each.why}"
            if each.steering is None
            else f"{len(each.moved)} multipliers; {each.measured_in_words}"
        )
        st.markdown(f"**{plain(cut(name, NAME_WIDTH))}** ({each.n_pairs:,} pairs): {plain(said)}")
    for name, n in found.left_out.items():
        st.markdown(f"**{plain(cut(name, NAME_WIDTH))}**: left out, {n} prompts are too few")
    if here.said:
        st.caption(plain(". ".join(line[0].upper() + line[1:] for line in here.said) + "."))
    _apply(found)
    features = sorted({feature for own in found.multipliers.values() for feature in own})
    notes = engine.notes(features)
    titles = {feature: feature_title(feature, notes.get(feature)) for feature in features}
    if features:
        st.subheader("What each multiplies", anchor=False)
        st.dataframe(multipliers_table(found, titles), hide_index=True, key="learn_multipliers")
    _differences(found, titles)
    if len(found.learned) > 1:
        st.subheader("Whose steering fits whom", anchor=False)
        st.dataframe(crossed_table(found), hide_index=True, key="learn_crossed")
        st.caption(
            "Accuracy on pairs held out, and in brackets the points it gains there over what was on the sliders. "
            "Nobody's steering has learned from a prompt on which anybody's is measured."
        )


def _differences(found: Profiles, titles: dict[int, str]) -> None:
    if len(found.learned) < 2:
        return
    apart = [each for each in found.differences if each.told_apart]
    st.subheader("Where they differ", anchor=False)
    if not apart:
        st.write(f"None of {len(found.differences):,} differences between multipliers is told apart from 0.")
        return
    st.write(
        f"{len(apart):,} of {len(found.differences):,} differences between multipliers are told apart; of twenty that "
        "do not differ, one may be."
    )
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "feature": titles.get(each.feature, f"#{each.feature}"),
                    "wants more": cut(each.one if each.difference > 0 else each.other, NAME_WIDTH),
                    "than": cut(each.other if each.difference > 0 else each.one, NAME_WIDTH),
                    "by": f"{abs(each.difference):.2f} [{min(abs(each.low), abs(each.high)):.2f}, "
                    f"{max(abs(each.low), abs(each.high)):.2f}]",
                }
                for each in apart[:MOST_DIFFERENCES]
            ]
        ),
        hide_index=True,
        key="learn_differences",
    )


def _apply(found: Profiles) -> None:
    proposed = [name for name, each in found.learned.items() if each.steering is not None]
    if not proposed:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Whose", proposed, format_func=lambda name: cut(name, NAME_WIDTH), key="learn_whose", width=240
        )

        def put() -> None:
            steering = found.learned[name].steering
            if steering is not None:
                session.guarded(session.steering().load, steering)

        st.button("Put it on the sliders", on_click=put, icon=":material/tune:", key="learn_apply_one")
