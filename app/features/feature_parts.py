"""The parts of a feature's page: which feature, how strongly and on what it fires, and what is near it."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.draw.plain_text import cut, plain
from app.features.activation_chart import activation_chart, shape_of
from app.features.evidence_list import PAGE, evidence_list
from app.features.example_view import CONTEXTS
from app.features.view import (
    FEW,
    AnswerHit,
    colour_scale,
    empty_bands,
    marks_of,
    say_harvest,
)
from app.session import session
from app.session.engine import Engine
from app.session.pages import Page
from app.session.who import Me
from feature_db import FeatureView

__all__ = [
    "all_features",
    "answers",
    "bookmark_button",
    "choose_feature",
    "examples",
    "histogram",
    "related",
    "slider_button",
    "tell_the_address",
]

RELATED = 8
# The buttons beside the box step as its own would, and can be seen.
NUMBER_STYLE = """<style>
.st-key-feature :is([data-testid=stNumberInputStepDown], [data-testid=stNumberInputStepUp]) { display: none }
</style>"""
# Links to other features lead to this same page, which Streamlit marks as the one that is open.
RELATED_STYLE = """<style>
[class*="st-key-related_"] a { background: none !important; padding-left: 0 }
[class*="st-key-related_"] a:hover { text-decoration: underline }
[class*="st-key-related_"] a span, [class*="st-key-related_"] a p {
  font-weight: 400 !important; white-space: normal; overflow: visible; line-height: 1.35 }
</style>"""


def choose_feature(place: DeltaGenerator, n_features: int) -> int | None:
    """The number in the box or the address, with the buttons beside it; says what is wrong where there is none."""
    asked = st.query_params.get("feature")
    wrong = _no_whole_number(asked)
    with place:
        st.html(NUMBER_STYLE)
        st.button(
            "Previous", on_click=_step, args=(-1, n_features), icon=":material/chevron_left:", key="before"
        )
        number = st.number_input(
            "Number",
            value=None,
            step=1,
            format="%d",
            key="feature",
            bind=None if wrong else "query-params",
            label_visibility="collapsed",
            placeholder=f"0 to {n_features - 1}",
            width=150,
        )
        st.button(
            "Next",
            on_click=_step,
            args=(1, n_features),
            icon=":material/chevron_right:",
            icon_position="right",
            key="after",
        )
    if number is not None:
        if wrong:
            st.query_params["feature"] = str(number)
        return number
    if asked:
        st.error(f"“{plain(cut(asked, 40))}” is no feature: give a whole number from 0 to {n_features - 1}.")
    else:
        st.info("Type a feature's number above, or choose one from the table.", icon=":material/info:")
    all_features()
    return None


def all_features() -> None:
    """The way back to the table."""
    st.page_link(Page.FEATURES.path, label="All features", icon=Page.FEATURES.icon)


def _no_whole_number(text: str | None) -> bool:
    """Whether an address gives "1.5", which a box that is bound to it takes for 1, or "1e999", on which it fails."""
    try:
        return not float(text or 0).is_integer()
    except ValueError:
        return False


def _step(by: int, n_features: int) -> None:
    """Callback: the feature before or after."""
    now = st.session_state.get("feature")
    now = -1 if now is None and by > 0 else now or 0
    st.session_state["feature"] = (int(now) + by) % n_features


def tell_the_address(feature: int) -> None:
    """A link from this page to itself (a neighbour) changes the feature but, in Streamlit 1.67, not the address bar; an
    empty update sends the address once more."""
    if st.session_state.get("feature_shown") != feature:
        st.session_state["feature_shown"] = feature
        if st.query_params.get("feature") == str(feature):
            st.query_params.update({})


def slider_button(feature: int) -> None:
    """Puts the feature on the sliders, or says that it is there."""
    if feature in session.steering().panel:
        st.button("On the sliders", disabled=True, icon=":material/check:", key="on_sliders")
    else:
        st.button(
            "Add to sliders",
            on_click=_add_to_sliders,
            args=(feature,),
            icon=":material/tune:",
            type="primary",
        )


def _add_to_sliders(feature: int) -> None:
    """Callback."""
    if session.steering().add([feature]):
        session.say("The panel of sliders is full: remove a feature there first.", "warning")


def bookmark_button(engine: Engine, me: str, feature: int) -> None:
    """Keeps the feature on this person's list of bookmarks, or takes it off."""
    with engine.store() as store:
        marked = feature in store.bookmarks(me)
    st.button(
        "Bookmarked" if marked else "Bookmark",
        on_click=_set_bookmark,
        args=(engine, me, feature, not marked),
        icon=":material/bookmark_added:" if marked else ":material/bookmark:",
        help="Take the bookmark off" if marked else "Keep it on your list of bookmarks",
        key="bookmark",
    )


def _set_bookmark(engine: Engine, me: str, feature: int, on: bool) -> None:
    """Callback."""

    def change() -> None:
        with engine.store() as store:
            store.bookmark(feature, me, on)

    session.guarded(change)


def histogram(view: FeatureView, hits: list[AnswerHit] | None) -> None:
    """How often it fires how strongly, with marks where the answers at hand lie."""
    shape = shape_of(view.record)
    marks = marks_of(view.record.id, hits)
    st.markdown("## How strongly it fires")
    if shape is None:
        st.caption("This store came without a histogram: harvest a corpus to get one.")
        return
    st.plotly_chart(
        activation_chart(shape, marks),
        key="activations",
        config={"displayModeBar": False, "displaylogo": False},
    )
    words = []
    came = next((mark for mark in marks if mark.strong), None)
    if came is not None:
        where = "the tall line" if came.activation > 0 else "not on this axis"
        words.append(f"You came from {plain(cut(came.title, 60))}, z = {came.activation:.4g} ({where}).")
    if hits:
        words.append("Short lines: the answers on the compare page in which it fires.")
    if shape.negative:
        words.append(f"{shape.negative:,} activations are negative and not drawn.")
    if shape.tiny:
        words.append(f"{shape.tiny:,} are too close to 0 for this axis.")
    if words:
        st.caption(" ".join(words))


def examples(engine: Engine, me: Me, view: FeatureView) -> None:
    """What it fires on: answers by strength, each beside one to the same prompt without the feature."""
    st.markdown("## What it fires on")
    with engine.store() as store:
        everything = store.examples(view.record.id, purpose=None)
    found = [example for example in everything if example.purpose == "label"]
    if not found:
        say_harvest(
            engine,
            "The store keeps no examples of this feature: it holds numbers only, or was filled from a file without "
            "texts. Harvest a corpus to see what it fires on:",
        )
        return
    firing = {example.text.id for example in found if example.kind != "silent"}
    if len(firing) < FEW:
        st.warning(
            f"Only {len(firing)} texts show it firing: too few to tell what it means. Harvest a larger corpus before "
            "labelling it.",
            icon=":material/warning:",
        )
    missing = empty_bands(everything, colour_scale(view.record, found))
    evidence_list(engine, me, view, found, PAGE, missing=missing)


def answers(hits: list[AnswerHit] | None) -> None:
    """Where it fires among the answers at hand."""
    st.markdown("## Answers on the compare page where it fires")
    if hits is None:
        st.caption("No answers are being compared.")
    elif not hits:
        st.caption(
            "It is silent at the scored token of every answer being compared: it decides nothing there."
        )
    else:
        steered = any(abs(hit.steered - hit.contribution) > 1e-9 for hit in hits)
        st.dataframe(
            {
                "answer": [hit.title for hit in hits],
                "z": [hit.activation for hit in hits],
                "w z": [hit.contribution for hit in hits],
                **({"steered": [hit.steered for hit in hits]} if steered else {}),
            },
            hide_index=True,
            key="hits",
            column_config={
                "z": st.column_config.NumberColumn("activation z", format="%.4f"),
                "w z": st.column_config.NumberColumn("contribution w z", format="%+.4f"),
                "steered": st.column_config.NumberColumn("w z steered", format="%+.4f"),
            },
        )
    st.page_link(Page.COMPARE.path, label=Page.COMPARE.title, icon=Page.COMPARE.icon)


def related(view: FeatureView, names: Mapping[int, str]) -> None:
    """Neighbours by decoder cosine and by firing together, as links; `names`, cut, of those that have one."""
    record = view.record
    # The whole address is replaced by a link's: what else the page shows has to be in it.
    kept = {name: st.query_params[name] for name in ("a", "s") if name in st.query_params}
    context = st.session_state.get("context")
    if context in CONTEXTS and context != "chat":
        kept["context"] = CONTEXTS[context]
    sampled = record.cofiring_of is not None
    fired = (record.cofiring_of if sampled else record.firing_count) or 0
    lists = [
        (
            "Points the same way",
            "cosine of the decoder directions",
            [(i, f"{cosine:+.3f}") for i, cosine in record.neighbours],
            "The harvest lists no decoder neighbours.",
        ),
        (
            "Fires together with",
            f"share of {fired:,} positions where this one fires, a sample of {record.firing_count or 0:,}"
            if sampled
            else "share of the positions where this one fires",
            [(i, f"{count / fired:.1%}" if fired else f"{count:,}") for i, count in record.cofiring],
            "It fires at none of the positions that were sampled to count this."
            if sampled
            else "No feature was counted as firing at the same positions.",
        ),
    ]
    st.html(RELATED_STYLE)
    for place, (title, words, items, empty) in enumerate(lists):
        st.markdown(f"## {title}")
        st.caption(words if items else empty)
        with st.container(gap="xxsmall", key=f"related_{place}"):
            for i, value in items[:RELATED]:
                name = plain(names.get(i, "unlabelled"))
                st.page_link(
                    Page.FEATURE.path,
                    label=f"{plain(value)}\u2002\\#{i} {name}",
                    query_params={**kept, "feature": str(i)},
                    width="stretch",
                )
