"""What is kept of a proposal, and how it is shown again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app.compare.proposal_view import turned_in_words
from app.compare.question import Question
from app.draw.plain_text import cut, plain
from app.runs.kept import keep_run, numbers
from app.runs.moved import moved_features
from app.session import session
from app.session.comparison import from_json
from app.session.engine import Engine
from app.session.pages import Page
from app.session.wishes import wishes
from feature_db.runs import Run, RunRecord
from sarm_core.figures import plural

if TYPE_CHECKING:
    from sarm_core.wish.proposal import Proposal

__all__ = ["keep_proposal", "show_kept"]


def keep_proposal(engine: Engine, question: Question, proposal: Proposal) -> None:
    """Keep a proposal that moves something as a run, with the answers it is about."""
    if proposal.steering is None or not proposal.moved:
        return

    def act() -> RunRecord:
        with engine.store() as store:
            places = [store.save_session(wanted.comparison.to_json()) for wanted in question.orders]
        return _record(question, proposal, places)

    made = session.guarded(act)
    if made is not None:
        keep_run(engine, made, in_address=False)


def _record(question: Question, proposal: Proposal, places: list[str]) -> RunRecord:
    assert proposal.steering is not None
    counted = proposal.collateral.collateral if proposal.collateral is not None else None
    orders = [(wanted.comparison, wanted.in_words(), wanted.to_link()) for wanted in question.orders]
    first = orders[0][1] + (f" and {len(orders) - 1} more" if len(orders) > 1 else "")
    figures = numbers(features=len(proposal.moved), wishes=len(proposal.achieved), cost=proposal.cost)
    if counted is not None and counted.n_pairs:
        figures |= numbers(
            turned=counted.share_flipped, turned_pairs=counted.n_flipped, pairs=counted.n_pairs
        )
    return RunRecord(
        kind="proposal",
        title=f"Sliders for {first}",
        data=cut(orders[0][0].origin or orders[0][0].question, 80),
        recipe={
            "orders": [[comparison.key, link] for comparison, _, link in orders],
            "start": question.start.to_json(),
            "most": question.limits.max_features,
            "margin": question.limits.margin,
        },
        figures=figures,
        result={
            "turned": turned_in_words(proposal.collateral),
            "moved": [[int(i), float(before), float(after)] for i, (before, after) in proposal.moved.items()],
            "orders": [
                {"a": place, "w": link, "words": words, "question": cut(comparison.question, 120)}
                for place, (comparison, words, link) in zip(places, orders, strict=True)
            ],
        },
        steering=proposal.steering.to_json(),
    )


def show_kept(run: Run, engine: Engine) -> None:
    """What was kept of it, with a way to the answers."""
    held = run.result
    moved = plural(run.figures["features"], "slider")
    hold = plural(run.figures["wishes"], "wish holds", "wishes hold")
    st.markdown(f"{moved} moved, and {hold}. {plain(held['turned'])}")
    for number, order in enumerate(held["orders"]):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{plain(order['words'])}**  \n{plain(order['question'])}", width="stretch")
            go = st.button("Open on Compare", key=f"run_order_{number}", icon=":material/compare_arrows:")
            if go and session.guarded(_open, engine, order["a"], order["w"]):
                st.switch_page(Page.COMPARE.path)
    moved_features(run, engine, held["moved"])


def _open(engine: Engine, place: str, link: str) -> bool:
    with engine.store() as store:
        comparison = from_json(store.open_session(place))
    session.set_comparison(comparison)
    wishes().open(comparison, link)
    return True
