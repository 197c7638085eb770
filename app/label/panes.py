"""The Label page on one screen: texts on the left, the form on the right or as a sheet, each scrolling by itself."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.components.form_dock import form_dock
from app.label.label_fields import ACTS, Fields
from app.label.work import Item

__all__ = ["CATEGORY_KEYS", "CONFIDENCE_KEYS", "VERDICT_KEYS", "Panes", "panes"]

VERDICT_KEYS = ("1", "2", "3", "4", "5")
CATEGORY_KEYS = tuple(f"Shift+{number}" for number in range(1, 10))
CONFIDENCE_KEYS = ("6", "7", "8", "9")
_ACTS = {"label_undo": "U", "label_back": "B", "label_forward": "N", "label_use_0": "A", "label_use_1": ""}
"""Buttons after which the form holds something else, and their keys"""


@dataclass(frozen=True)
class Panes:
    """Where things go."""

    left: DeltaGenerator
    body: DeltaGenerator
    """The fields; scrolls where they do not fit"""
    foot: DeltaGenerator
    """Submit; always in sight"""
    dock: DeltaGenerator

    def watch(self, fields: Fields, item: Item, refused: bool) -> None:
        """Let the browser keep the form in reach; after the form is drawn."""
        with self.dock:
            form_dock(
                key="label_form_dock",
                form="label_form",
                submit="label_submit",
                acts=_ACTS,
                done=st.session_state.get(ACTS, 0),
                item=f"{fields.form}:{item.feature}",
                panes={"label_left": "What it fires on", "label_body": "Your label"},
                rows={
                    fields.key("verdict"): VERDICT_KEYS,
                    fields.key("category"): CATEGORY_KEYS,
                    fields.key("confidence"): CONFIDENCE_KEYS,
                },
                title="Write the label",
                open_now=refused,
            )


def panes() -> Panes:
    """Draw the empty panes."""
    st.html(_STYLE)
    with st.container(key="label_panes"):
        left = st.container(key="label_left")
        right = st.container(key="label_right", gap=None)
    with right:
        dock = st.container(key="label_dock")
        with st.container(key="label_form", gap=None):
            body = st.container(key="label_body", gap="xsmall")
            foot = st.container(key="label_foot", gap="xsmall")
    return Panes(left, body, foot, dock)


_WRAP = "[data-testid=stLayoutWrapper]"
_STYLE = """<style>
.st-key-label_form { transition: opacity 0.1s }
html[data-form-saving] .st-key-label_form { opacity: 0.55 }
html[data-form-saving=submit] .st-key-label_submit button > * { display: none }
html[data-form-saving=submit] .st-key-label_submit button::after { content: "Saving …" }
[class*=st-key-label_][class*=_verdict] button[role=radio] { padding-inline: 0.5rem }
.st-key-label_body { padding: 0.15rem 0.3rem 0.3rem }
.st-key-label_foot { padding: 0.4rem 0.3rem 0.2rem; border-top: 1px solid rgba(128, 140, 155, 0.3) }
@media (min-width: 901px) {
  .stMainBlockContainer:has(.st-key-label_panes) { height: 100dvh; padding-block: 1.1rem 0.3rem; overflow: hidden }
  .stApp:has([data-testid=stExpandSidebarButton]) .stMainBlockContainer:has(.st-key-label_panes) { padding-top: 3rem }
  .stApp:has(.st-key-label_panes) [data-testid=stHeader] { background: none }
  .stApp:has(.st-key-label_panes) :is([data-testid=stHeader], [data-testid=stHeader] *) { pointer-events: none }
  .stApp:has(.st-key-label_panes) [data-testid=stHeader] :is(button, button *, a) { pointer-events: auto }
  .stMainBlockContainer:has(.st-key-label_panes) > .stVerticalBlock { height: 100%; flex-wrap: nowrap; gap: 0.45rem }
  .stMainBlockContainer:has(.st-key-label_panes) > .stVerticalBlock > * { flex-shrink: 0 }
  WRAP:has(> .st-key-label_panes) { flex: 1 1 0 !important; min-height: 0 }
  .st-key-label_panes { flex-direction: row; flex-wrap: nowrap; height: 100%; gap: 1.6rem }
  WRAP:has(> .st-key-label_left) { flex: 3 1 0 !important; min-width: 0; height: 100% }
  WRAP:has(> .st-key-label_right) { flex: 2 1 0 !important; min-width: 0; max-width: 30rem; height: 100% }
  .st-key-label_left, .st-key-label_body { overflow-y: auto; overscroll-behavior: contain }
  .st-key-label_left { height: 100%; flex-wrap: nowrap; padding-right: 0.6rem }
  .st-key-label_left > *, .st-key-label_body > * { flex-shrink: 0 }
  .st-key-label_right, .st-key-label_form { height: 100%; flex-wrap: nowrap }
  WRAP:has(> .st-key-label_form) { flex: 1 1 0 !important; min-height: 0 }
  WRAP:has(> .st-key-label_body) { flex: 1 1 0 !important; min-height: 0 }
  WRAP:has(> .st-key-label_dock), WRAP:has(> .st-key-label_foot) { flex: none !important }
  .st-key-label_body { height: 100%; flex-wrap: nowrap }
}
@media (max-width: 900px) {
  .st-key-label_form kbd { display: none }
  .stMainBlockContainer:has(.st-key-label_panes) { padding-bottom: 9rem }
  .st-key-label_right { position: fixed; inset: auto 0 0 0; z-index: 99; padding: 0 0.7rem 0.5rem;
    width: auto !important;
    background: Canvas; background: var(--st-background-color, Canvas); border-radius: 0.9rem 0.9rem 0 0;
    box-shadow: 0 -0.2rem 1rem rgba(0, 0, 0, 0.28) }
  .st-key-label_body { overflow-y: auto; overscroll-behavior: contain; flex-wrap: nowrap; max-height: 0;
    padding-block: 0; visibility: hidden }
  .st-key-label_body > * { flex-shrink: 0 }
  html[data-form-sheet=open] .st-key-label_body { max-height: min(62dvh, 34rem); padding-block: 0.15rem 0.4rem;
    visibility: visible }
}
</style>""".replace("WRAP", _WRAP)
