"""Label: read what a feature fires on, say what it means, and go on to the next."""

from __future__ import annotations

import streamlit as st

from app.draw.plain_text import plain
from app.features.view import colour_scale
from app.label.evidence_column import SHOWN, evidence, read_evidence
from app.label.guidelines import FOCUS_STYLE, guidelines
from app.label.label_check import check_running, draw_check
from app.label.label_fields import Fields
from app.label.label_form import label_form
from app.label.my_work import my_work, offered_back
from app.label.queue_bar import choose_queue, make_queue, progress
from app.label.standing_labels import after_submitting, history, standing_labels
from app.label.work import Work, take_asked
from app.session import session
from app.session.person import ask_who
from app.session.who import identify
from feature_db.label.labels import Labels

current = session.engine()
me = identify(current)
st.html(FOCUS_STYLE)
take_asked(current, me)
with st.container(horizontal=True, vertical_alignment="bottom"):
    st.title("Label", anchor=False, width="content")
    queue = choose_queue(current, me)
    make_queue(current, me)
    if st.button("Guidelines", shortcut="G", icon=":material/menu_book:", key="label_guidelines"):
        guidelines()
    if me.may("label"):
        my_work(current, me)
st.caption(
    "What does this feature mean, and how far does that hold? Your label is blind: others' appear after it."
)
session.show_messages()
if not me.name:
    ask_who()
    st.stop()
if not me.may("label"):
    st.info(f"{plain(me.name)} is a reader here: labels can be read, not written. Ask an admin.")
    st.stop()
work = Work(current, me, queue)
bar = st.container()
try:
    item = work.item()
    view, found = read_evidence(current, item.feature) if item is not None else (None, [])
except session.Errors as error:
    st.error(plain(str(error)), icon=":material/error:")
    st.button("To the queue", on_click=work.forward, key="label_forward")
    st.stop()
session.show_messages()
st.session_state["label_shown"] = item
if queue is not None:
    with bar:  # after the claim, so that it counts
        progress(current, me, queue)
offered_back(current, me, item.feature if item is not None else None)

with st.container(horizontal=True, vertical_alignment="center"):
    nothing = "No queue yet" if queue is None else "Nothing left"
    st.subheader(f"Feature {item.feature}" if item else nothing, anchor=False, width="content")
    if queue is not None:
        st.button("Back", key="label_back", shortcut="B", on_click=work.back, args=(item,))
    st.button("Undo", key="label_undo", shortcut="U", on_click=work.undo, args=(item,))
    if item is not None and item.assignment is None and queue is not None:
        st.button("To the queue", on_click=work.forward, key="label_forward", shortcut="N")
    if item is not None:
        st.page_link(
            "app_pages/feature.py",
            label="Open its page",
            query_params={"feature": str(item.feature)},
        )
last = work.last()
if item is None or view is None:
    if queue is None:
        st.info(
            "There is no queue yet: make one with “New queue” above."
            + ("" if me.admins else " That takes an admin; this store's first one is made there too."),
            icon=":material/playlist_add:",
        )
    else:
        st.success(
            "Nothing is left for you in this queue: every feature is labelled, skipped by you, or with somebody else "
            "now. Choose another queue, or look at the disagreements.",
            icon=":material/check:",
        )
    if last is not None:
        after_submitting(current, me, last)
    st.stop()

fields = Fields(current, me.name, item.feature, item.assignment)
left, right = st.columns([5, 3], gap="large")
with right:
    top = [example for example in found if example.kind == "top"][:SHOWN]
    label_form(current, me, work, item, fields, top)
    if last is not None and last != item.feature:
        after_submitting(current, me, last)
with left:
    if check_running(current, item.feature, me.name):
        draw_check(current, colour_scale(view.record, found))
    else:
        with st.container(key="label_evidence"):
            evidence(current, view, found, fields.use)
    with current.store() as store:
        visible = Labels(store, me.name).visible(item.feature)
    if visible:
        st.markdown("##### All labels of this feature")
        standing_labels(current, me, visible, "here")
        history(current, me, item.feature)
