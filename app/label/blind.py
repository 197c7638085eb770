"""Why labels are not shown, in one sentence, with a link to label the feature."""

from __future__ import annotations

import streamlit as st

from app.session.engine import Engine
from app.session.pages import Page
from app.session.who import Me
from feature_db.label.labels import Labels

__all__ = ["why_hidden", "withheld"]

HIDDEN = {
    "lease": "You are labelling this feature: what others said of it is hidden until your label is in.",
    "draft": "You have begun a label of this feature: what others said of it is hidden until yours is in.",
    "queue": "A queue still asks for labels of this feature: what others said of it is hidden until yours is in, as an "
    "opinion formed after reading theirs is not a second opinion.",
}


def why_hidden(engine: Engine, me: Me, feature: int) -> str | None:
    """The reason why this person must not read the labels of `feature` yet (`feature_db.label.blindness`), or None."""
    with engine.store() as store:
        return Labels(store, me.name).hidden(feature)


def withheld(feature: int, reason: str) -> None:
    """What stands in the place of the labels."""
    st.info(HIDDEN[reason], icon=":material/visibility_off:")
    st.page_link(
        Page.LABEL.path,
        label=f"Label feature {feature}",
        query_params={"take": str(feature)},
        icon=Page.LABEL.icon,
    )
