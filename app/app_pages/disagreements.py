"""Disagreements: how far the labels can be trusted, where they differ, and who settles it."""

from __future__ import annotations

import streamlit as st

from app import session
from app.labelling.adjudication import disputed_feature, may_see
from app.labelling.agreement_view import agreement
from app.labelling.people_section import people_section
from app.labelling.transfer import export_section, import_section
from app.labelling.who import identify
from feature_db.agreement import MEASURES, disagreements

current = session.engine()
me = identify(current)
st.title("Disagreements", anchor=False)
st.caption("How far do people agree on what features mean, where do they differ, and what was settled?")
session.show_messages()
differ, figures, files, people = st.tabs(
    ["Where labels differ", "Agreement", "Export and import", "People and categories"]
)
with differ:
    measure = st.segmented_control(
        "Labels differ in", list(MEASURES), default=MEASURES[0], required=True, key="dispute_measure"
    )
    with current.store() as store:
        found = disagreements(store, measure)
    if not found:
        st.info(
            f"No feature has two labels whose {measure} differs. Two people have to label the same feature: make a "
            "queue with an overlap of 2.",
            icon=":material/info:",
        )
    else:
        by_id = {item.feature: item for item in found}
        visible = {item.feature: may_see(current, me, item.feature) for item in found[:200]}
        open_ones = sum(not item.adjudicated for item in found)
        st.caption(
            f"{len(found):,} feature{'' if len(found) == 1 else 's'}, {open_ones:,} not settled"
            + (", the first 200 listed" if len(found) > 200 else "")
        )
        st.dataframe(
            {
                "feature": list(visible),
                "people": [len(by_id[i].values) for i in visible],
                measure: [
                    " · ".join(f"{who}: {value}" for who, value in by_id[i].values.items())
                    if seen
                    else "hidden until yours is in"
                    for i, seen in visible.items()
                ],
                "settled": [by_id[i].adjudicated for i in visible],
            },
            hide_index=True,
            height=min(320, 38 + 35 * len(visible)),
        )
        if st.session_state.get("dispute_feature") not in visible:
            st.session_state["dispute_feature"] = next(iter(visible))
        chosen = st.selectbox("Feature", list(visible), key="dispute_feature", width=200)
        if visible[chosen]:
            disputed_feature(current, me, chosen)
        else:
            st.info(
                "You have not labelled this feature, so its labels stay hidden: an opinion formed after reading "
                "theirs is not a second opinion.",
                icon=":material/visibility_off:",
            )
            st.page_link(
                "app_pages/label.py",
                label=f"Label feature {chosen}",
                query_params={"feature": str(chosen)},
                icon=":material/edit_note:",
            )
with figures:
    of = st.segmented_control("Of", list(MEASURES), default=MEASURES[0], required=True, key="agreement_of")
    agreement(current, of)
with files:
    st.markdown("##### Take labels out")
    export_section(current)
    st.markdown("##### Bring labels in")
    import_section(current, me)
with people:
    people_section(current, me)
