"""Cards of features on every page: made when pointer, key or press asks for one; and what their buttons do."""

from __future__ import annotations

import streamlit as st

from app.components.feature_card import Command, feature_card
from app.session import session
from app.session.engine import Engine
from app.session.pages import Page
from app.session.person import whoever
from feature_db.roles import ACTIONS, ROLES, People

__all__ = ["feature_cards"]


def feature_cards() -> None:
    """Draw what listens; once a run, before the page, which may stop early. Costs nothing until a card is wanted."""
    epoch = st.session_state.get("card_epoch", 0) + 1
    st.session_state["card_epoch"] = epoch
    with st.container(key="feature_cards_place"):
        _cards(epoch)


@st.fragment
def _cards(epoch: int) -> None:
    """Only this runs when a card is asked for; a press on one of its buttons runs the page."""
    go = st.session_state.pop("card_go", None)
    if go is not None:
        act, feature = go
        if act == "open":
            st.session_state["open_feature"], st.session_state["from_answer"] = feature, None
        if act == "label":
            st.switch_page(Page.LABEL.path, query_params={"take": str(feature)})
        st.rerun()
    wanted = st.session_state.pop("card_wanted", None)
    feature_card(
        epoch=epoch, card=None if wanted is None else (wanted, _html(wanted)), on_want=_want, on_act=_act
    )


def _html(feature: int) -> str:
    """The card, or in one line why there is none."""
    from app.features.card import card_html, read_card, refused_html  # not before a page's first picture

    try:
        engine = session.loaded_engine()
        held, name = session.steering(), whoever()
        return card_html(
            read_card(
                engine,
                name,
                feature,
                on_panel=feature in held.panel,
                silenced=held.current.scale.get(feature) == 0.0,
                may_label=_may_label(engine, name),
            )
        )
    except session.Errors as error:
        return refused_html(str(error))


def _may_label(engine: Engine, name: str) -> bool:
    with engine.store() as store:
        role = People(store).role(name)
        return not store.looks_only and ROLES.index(role) >= ROLES.index(ACTIONS["label"])


def _want(feature: int) -> None:
    """Callback."""
    st.session_state["card_wanted"] = feature


def _act(command: Command) -> None:
    """Callback."""
    act, feature = command
    if act == "add":
        session.add_features([feature])
    elif act in ("silence", "unsilence"):
        held = session.steering()
        new = held.current.with_scale(feature, 0.0 if act == "silence" else 1.0)
        session.guarded(lambda: held.change(new, by_server=True))
    st.session_state["card_go"] = command
