"""The part of the compare page that makes sliders of a wanted order: what is wished for, and the way to a proposal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from app.compare.proposal_run import keep_proposal
from app.compare.proposal_view import conflict_view, proposal_view
from app.compare.question import Limits, Question
from app.draw.plain_text import cut, plain
from app.draw.popovers import popover
from app.session import session
from app.session.comparison import Comparison
from app.session.engine import Engine
from app.session.person import whoever
from app.session.stored_pairs import stored_pairs
from app.session.wishes import Wanted, wishes
from feature_db.features.standing import well_named
from feature_db.label.blindness import hidden_from
from sarm_core.features import FeatureMatrix
from sarm_core.score.scored import Scored

if TYPE_CHECKING:
    from sarm_core.wish.proposal import Proposal

__all__ = ["wishes_section"]

ANSWERED = "wishes_answered"
"""State's key: the last question with its proposal."""


@dataclass(frozen=True)
class Answered:
    """A question with what came of it: a proposal, or one line that says why there is none.

    `model` is the fingerprint of the model whose features they are about.
    """

    model: str
    question: Question
    proposal: Proposal | None
    error: str = ""


def wishes_section(current: Engine, now: Comparison, scored: Scored) -> None:
    """Nothing where nothing is wished for; else the wishes, and the proposal once it was asked for."""
    state = wishes()
    asked_now, state.is_asked = state.is_asked, False
    if not state.standing(now):
        st.session_state.pop(ANSWERED, None)
        return
    with st.container(key="wishes"):
        st.header("Sliders for the order you want", anchor=False)
        here = state.of(now)
        if here is not None and not here.kept:
            _here(now, here)
        _kept(now)
        limits = _ask()
        orders = [wanted for wanted in state.standing(now) if wanted.wishes]
        if not orders:
            return
        found: Answered | None = st.session_state.get(ANSWERED)
        if asked_now:
            found = _answered(current, now, scored, orders, limits)
            if found.proposal is not None:
                keep_proposal(current, found.question, found.proposal)
            st.session_state[ANSWERED] = found
        if found is None or found.model != current.fingerprint:
            return
        if not found.question.same_wishes(orders, limits):
            return
        if found.proposal is None:
            st.error(plain(found.error), icon=":material/error:")
        elif found.proposal.steering is None:
            conflict_view(found.question, found.proposal)
        else:
            proposal_view(current, found.question, found.proposal)


def _here(now: Comparison, here: Wanted) -> None:
    """What is wished for on this page and was not kept."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(here.in_words())}**", width="stretch")
        _rest(here)
        st.button(
            "Keep this wish",
            on_click=wishes().keep,
            args=(now.key,),
            icon=":material/push_pin:",
            key="wish_keep",
            help="It counts while another prompt is on the page: one steering for the wishes of several prompts.",
        )


def _rest(wanted: Wanted) -> None:
    of = wanted.comparison.key
    key = f"wish_whole_{of}"
    st.session_state[key] = wanted.whole
    st.toggle(
        "Keep the rest as it stands",
        key=key,
        on_change=lambda: wishes().set_whole(of, bool(st.session_state[key])),
        help="Every answer stays where the list shows it. Without this, only what you moved is wished for.",
    )


def _kept(now: Comparison) -> None:
    """The wishes that count whatever is on the page."""
    kept = [wanted for wanted in wishes().orders.values() if wanted.kept]
    if not kept:
        return
    st.caption(f"Kept wishes, over {len(kept)} prompt{'s' if len(kept) > 1 else ''}")
    with st.container(border=True, key="wishes_kept"):
        for number, wanted in enumerate(kept):
            comparison = wanted.comparison
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(
                    f"**{plain(wanted.in_words())}**  \n{plain(cut(comparison.question, 90))}",
                    width="stretch",
                )
                if comparison.key == now.key:
                    _rest(wanted)
                else:
                    st.button(
                        "Open",
                        on_click=session.set_comparison,
                        args=(comparison,),
                        key=f"wish_open_{number}",
                        help="Put this prompt and its answers on the page",
                    )
                st.button(
                    "Remove",
                    on_click=wishes().take_back,
                    args=(comparison.key,),
                    key=f"wish_remove_{number}",
                    help="Forget this order",
                )


def _ask() -> Limits:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Propose", on_click=wishes().ask, type="primary", icon=":material/auto_fix_high:", key="propose"
        )
        with popover("limits", "Limits", icon=":material/tune:"):
            most = st.number_input(
                "Move at most so many features",
                1,
                1_000,
                None,
                key="wish_most",
                placeholder="any number",
                persist_state="session",
            )
            margin = st.number_input(
                "Lead of a better answer, at least",
                1e-6,
                1e6,
                None,
                key="wish_margin",
                format="%.4g",
                placeholder="chosen from the stored pairs",
                help="In reward units. Left empty: a twentieth of the median lead among stored answers to one prompt.",
                persist_state="session",
            )
        st.caption("The smallest change of the sliders that keeps every wish, and what else it turns.")
    return Limits(None if most is None else int(most), margin)


def _answered(
    current: Engine, now: Comparison, scored: Scored, orders: list[Wanted], limits: Limits
) -> Answered:
    matrices = [
        (scored if wanted.comparison.key == now.key else session.score(current, wanted.comparison)).matrix
        for wanted in orders
    ]
    asked = {tuple((turn.role, turn.content) for turn in wanted.comparison.prompt) for wanted in orders}
    pairs = stored_pairs(current)
    question = Question(
        tuple(orders),
        tuple(matrices),
        session.steering().current,
        limits,
        None if pairs is None else pairs.elsewhere(asked),
        _named(current, matrices),
    )
    try:
        with st.spinner("Looking for the smallest change …"):
            return Answered(current.fingerprint, question, question.answered())
    except session.Errors as error:
        return Answered(current.fingerprint, question, None, str(error))


def _named(current: Engine, matrices: Sequence[FeatureMatrix]) -> frozenset[int]:
    """Features of these answers whose names hold, as far as this person may know of their labels."""
    active = np.unique(np.concatenate([matrix.csr.indices for matrix in matrices])).tolist()
    with current.store() as store:
        named = well_named(store, active)
        return frozenset(named - hidden_from(store, whoever(), named).keys())
