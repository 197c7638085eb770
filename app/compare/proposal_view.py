"""A proposal on the page: its sliders, the order they give, what turns elsewhere; or which wishes are in conflict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from app.compare.question import Question
from app.compare.stored_pairs import stored_comparison
from app.draw.plain_text import cut, plain
from app.session import session
from app.session.comparison import Comparison, letters
from app.session.engine import Engine, FeatureNote
from app.session.feature_title import marked_name
from app.session.steering_state import MAX_PANEL
from app.session.stored_pairs import stored_pairs
from app.session.wishes import phrases, wishes
from sarm_core.errors import SarmError
from sarm_core.steering import Steering
from sarm_core.wish.wishes import Wish

if TYPE_CHECKING:
    from sarm_core.wish.elsewhere import Elsewhere
    from sarm_core.wish.proposal import Proposal

__all__ = ["conflict_view", "proposal_view", "turned_in_words"]

LEAST = "Least change elsewhere"
MOST_SLIDERS = 8
MOST_EXAMPLES = 5
MOST_LETTERS = 12


def proposal_view(current: Engine, question: Question, proposal: Proposal) -> None:
    """The cheapest steering beside the alternatives to it."""
    from sarm_core.wish.proposal import FEWEST, NAMED

    if not proposal.moved:
        st.success(
            f"{_all_wishes(len(proposal.achieved)).capitalize()} already: nothing has to move.",
            icon=":material/check:",
        )
        return
    said = f"Moving {_sliders(len(proposal.moved))}, {_all_wishes(len(proposal.achieved))}."
    st.markdown(f"{said} {turned_in_words(proposal.collateral)}")
    if not proposal.proved:
        st.caption("The search was ended before it was proved that no cheaper change exists.")
    place = st.empty()
    columns = st.columns(3, gap="medium")
    with columns[0]:
        _card(current, question, LEAST, proposal, 0)
    # The search for the fewest features takes longer than the proposal, which is there to read meanwhile.
    with columns[1], st.spinner("Looking for fewer features …"):
        others = _alternatives(proposal)
    for number, title in enumerate((FEWEST, NAMED), start=1):
        other = others.get(title)
        name = title[0].upper() + title[1:]
        with columns[number]:
            if other is not None and not _beyond(question, other):
                _card(current, question, name, other, number)
                continue
            with st.container(border=True):
                st.markdown(f"**{name}**")
                st.caption(_none_such(question, proposal, other, named=title == NAMED))
    if session.steering().current not in [
        question.start,
        *(_steering(each) for each in (proposal, *others.values())),
    ]:
        place.caption(
            "Made from the sliders as they stood then. *Propose* again to start from where they are now."
        )


def _alternatives(proposal: Proposal) -> dict[str, Proposal]:
    try:
        return proposal.alternatives
    except SarmError:  # one whose leads float32 rewards do not show
        return {}


def _beyond(question: Question, proposal: Proposal) -> bool:
    most = question.limits.max_features
    return most is not None and len(proposal.moved) > most


def _none_such(question: Question, proposal: Proposal, other: Proposal | None, *, named: bool) -> str:
    """Why an alternative is not there."""
    if other is not None:
        return f"It would move {len(other.moved)} features, more than the limit."
    if not named:
        return "No steering of fewer features was found."
    if not question.named:
        return (
            "No feature of these answers has a name that was settled or that its labeller found to hold. Suggested "
            "names do not count."
        )
    if proposal.moved.keys() <= question.named:
        return "The first one moves only features with such names."
    n = len(question.named)
    return f"The {n} feature{'s' if n > 1 else ''} here with such names cannot do it."


def _all_wishes(n: int) -> str:
    return "the wish holds" if n == 1 else "every wish holds"


def _sliders(n: int) -> str:
    return f"{n} slider{'s' if n != 1 else ''}"


def turned_in_words(elsewhere: Elsewhere | None) -> str:
    """How many stored pairs change their order, with the interval where there are prompts enough for one."""
    if elsewhere is None:
        return (
            "What it turns elsewhere is not known: this model's store holds no two answers to one prompt. "
            "Prices are how much the features carry in these answers."
        )
    counted = elsewhere.collateral
    if not counted.n_pairs:
        return "What it turns elsewhere is not known: the store holds no other answers to one prompt."
    said = f"Elsewhere it turns {counted.n_flipped:,} of {counted.n_pairs:,} pairs of stored answers"
    share = f"{counted.share_flipped:.1%}"
    if math.isnan(elsewhere.low):
        return f"{said} ({share}; too few prompts to say how sure that is)."
    return f"{said} ({share}; 95% interval over prompts {elsewhere.low:.1%} to {elsewhere.high:.1%})."


def _card(current: Engine, question: Question, title: str, proposal: Proposal, number: int) -> None:
    steering = _steering(proposal)
    notes = current.notes(list(proposal.moved))
    with st.container(border=True, key=f"proposal_{number}"):
        st.markdown(f"**{title}**")
        counted = proposal.collateral and proposal.collateral.collateral
        turns = f", turns {counted.share_flipped:.1%} elsewhere" if counted and counted.n_pairs else ""
        st.markdown(f"{_sliders(len(proposal.moved))}{turns}")
        st.html(_table(question, proposal, notes))
        for part in range(len(question.orders)):
            _order(question, steering, part)
        _put(steering, number)
        if proposal.collateral is not None and len(proposal.collateral.worst):
            with st.expander("What turns elsewhere"):
                _examples(current, question, proposal.collateral, number)


def _table(question: Question, proposal: Proposal, notes: Mapping[int, FeatureNote]) -> str:
    """Every slider with where it goes; those that cost least are folded away where there are many."""
    rows = []
    for feature, (before, after) in proposal.moved.items():
        note = notes.get(feature)
        name = escape(marked_name(note)) or "<i>unlabelled</i>"
        rows.append(
            f'<tr><td><span data-card="{feature}" role="button" tabindex="0">#{feature} {name}</span></td>'
            f"<td>×{_short(before)}&nbsp;→&nbsp;<b>×{_short(after)}</b></td>"
            f"<td>{proposal.costs[feature]:.2g}</td></tr>"
        )
    answers = "these" if question.elsewhere is None else "stored"
    what = f"mean |w z| over {answers} answers, times how far the slider moves"
    head = f'<thead><tr><th>slider</th><th>from → to</th><th title="{what}">moves others by</th></tr></thead>'
    shown, rest = rows[:MOST_SLIDERS], rows[MOST_SLIDERS:]
    folded = f"<details><summary>and {len(rest)} more</summary>{_rows(rest)}</details>" if rest else ""
    return f'<style>{_CSS}</style><div class="sarm-proposal">{_rows(shown, head)}{folded}</div>'


def _rows(rows: Sequence[str], head: str = "") -> str:
    return f"<table>{head}<tbody>{''.join(rows)}</tbody></table>"


_CSS = """
.sarm-proposal { font-size: 0.8125rem; line-height: 1.35; font-variant-numeric: tabular-nums }
.sarm-proposal table { width: 100%; table-layout: fixed; border-collapse: collapse }
.sarm-proposal th { font-weight: 400; text-align: right; padding: 0 0 0.25rem; opacity: 0.72; vertical-align: bottom }
.sarm-proposal td { padding: 0.25rem 0 0.25rem 0.5rem; text-align: right; vertical-align: top;
  border-top: 1px solid rgb(from currentColor r g b / 0.14) }
.sarm-proposal th:first-child, .sarm-proposal td:first-child { text-align: left; padding-left: 0;
  overflow-wrap: anywhere }
.sarm-proposal :is(th, td):nth-child(2) { width: 6.5rem }
.sarm-proposal :is(th, td):nth-child(3) { width: 4rem }
.sarm-proposal i { opacity: 0.72 }
.sarm-proposal summary { cursor: pointer; padding: 0.25rem 0; opacity: 0.72;
  border-top: 1px solid rgb(from currentColor r g b / 0.14) }
"""


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".").replace("-", "−")


def _order(question: Question, steering: Steering, part: int) -> None:
    """The answers as the proposal ranks them, those that were moved in bold."""
    wanted = question.orders[part]
    moved = {phrase.answer for phrase in phrases(wanted.asked, wanted.order)}
    order = question.order_under(steering, part)
    named = [f"**{letters(i)}**" if i in moved else letters(i) for i in order[:MOST_LETTERS]]
    more = f" … {len(order) - MOST_LETTERS} more" if len(order) > MOST_LETTERS else ""
    of = f" for “{plain(cut(wanted.comparison.question, 30))}”" if len(question.orders) > 1 else ""
    st.markdown(f"Order{of}: {' › '.join(named)}{more}")


def _put(steering: Steering, number: int) -> None:
    """One click on, one off."""
    held = session.steering()
    if held.current == steering:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Undo",
                on_click=held.undo,
                disabled=not held.can_undo,
                icon=":material/undo:",
                key=f"unput_{number}",
            )
            st.markdown(":green[On the sliders]")
        return
    n = len(steering.features())
    st.button(
        "Put on the sliders",
        on_click=session.guarded,
        args=(held.load, steering),
        type="primary" if number == 0 else "secondary",
        disabled=n > MAX_PANEL,
        help=f"It steers {n} features; the panel holds {MAX_PANEL}. Set a limit." if n > MAX_PANEL else None,
        key=f"put_{number}",
    )


def _examples(current: Engine, question: Question, elsewhere: Elsewhere, number: int) -> None:
    """The turned pairs that were told apart most clearly before, one a prompt."""
    stored = stored_pairs(current)
    pairs = None if question.elsewhere is None else question.elsewhere.pairs
    if stored is None or pairs is None:
        return
    firsts: dict[str, int] = {}
    for place, pair in enumerate(elsewhere.worst.tolist()):
        firsts.setdefault(stored.question_of(int(pairs[pair, 0])), place)
    st.caption(
        f"{len(elsewhere.worst):,} pairs of {len(firsts):,} prompts"
        f"{', the clearest before' if len(firsts) > MOST_EXAMPLES else ''}:"
    )
    for prompt, place in list(firsts.items())[:MOST_EXAMPLES]:
        one, two = pairs[elsewhere.worst[place]].tolist()
        before, after = float(elsewhere.before[place]), float(elsewhere.after[place])
        if before < 0:
            one, two, before, after = two, one, -before, -after
        now = f"behind by {-after:.2g}" if after < 0 else "level"
        with st.container(gap="xxsmall"):
            st.button(
                plain(cut(prompt, 32)),
                on_click=session.guarded,
                args=(_open, current, int(stored.texts[one]), int(stored.texts[two])),
                key=f"turned_{number}_{place}",
                type="tertiary",
                icon=":material/compare_arrows:",
                help=f"{plain(cut(prompt, 300))}  \nCompare its two answers on this page; your wishes here are kept",
            )
            st.caption(f"ahead by {before:.2g}, would be {now}")


def _open(current: Engine, one: int, two: int) -> None:
    """The pair in place of what is on the page, whose wishes are kept. Raises StoreError for texts that are gone."""
    made = stored_comparison(current, (one, two))
    now = session.comparison()
    if now is not None:
        wishes().keep(now.key)
    session.set_comparison(made)
    st.session_state["left"], st.session_state["right"] = 0, 1


def conflict_view(question: Question, proposal: Proposal) -> None:
    """The smallest set of wishes that cannot be kept together, each with a button that gives it up."""
    wanted = proposal.conflict
    margin = question.limits.margin
    within = "between silenced and twice as heavy" + (
        f", with a lead of {margin:g}," if margin is not None else ""
    )
    if len(wanted) == 1:
        st.warning(f"**No setting of the sliders {within} keeps this wish.** {_alone(question, wanted[0])}")
    else:
        smallest = (
            "no fewer of them clash" if proposal.proved else "without any one of them the others can be kept"
        )
        st.warning(
            f"**No setting of the sliders {within} keeps these {len(wanted)} wishes together** ({smallest}). "
            "Drop one of them."
        )
    for number, wish in enumerate(wanted):
        comparison, local = question.place_of(wish)
        with st.container(horizontal=True, vertical_alignment="center"):
            of = f"  \n{plain(cut(comparison.question, 90))}" if len(question.orders) > 1 else ""
            st.markdown(
                f"{_answer(comparison, local.better)} before {_answer(comparison, local.worse)}{of}",
                width="stretch",
            )
            st.button(
                "Drop this wish",
                on_click=_drop,
                args=(comparison.key, local),
                key=f"wish_drop_{number}",
            )


def _alone(question: Question, wish: Wish) -> str:
    features, _ = question.matrix.difference(wish.better, wish.worse)
    if not len(features):
        return "The two answers have the same activations, so no steering tells them apart."
    return "The features in which the two differ do not reach so far."


def _answer(comparison: Comparison, answer: int) -> str:
    return f"**{letters(answer)}** “{plain(cut(comparison.answers[answer].text, 50))}”"


def _drop(key: str, wish: Wish) -> None:
    """Callback: without the wish, and a new proposal for what is left."""
    wishes().drop(key, wish)
    wishes().ask()


def _steering(proposal: Proposal) -> Steering:
    assert proposal.steering is not None  # the wishes are not in conflict
    return proposal.steering
