"""The Evaluate page as a file: one HTML report to send, or JSON in the format of the command line."""

from __future__ import annotations

import json
from datetime import datetime
from functools import partial
from typing import Protocol

import streamlit as st

from app.draw.plain_text import plain
from app.session.engine import Engine
from feature_db import StoreError
from feature_db.label.blindness import titles_for
from sarm_core.errors import SarmError
from sarm_core.prove.evaluated import Evaluated
from sarm_core.report.html_report import Evidence, html_report, steered_ids
from sarm_core.report.store_notes import notes_of
from sarm_core.steering import Steering

__all__ = ["Contrasted", "report", "report_page", "report_section"]

PREVIEW = 640
"""Height of the preview, CSS pixels"""


class Contrasted(Protocol):
    """A contrast that the report takes as evidence."""

    @property
    def title(self) -> str:
        """What was contrasted."""
        ...

    def evidence(self) -> Evidence:
        """Its features, as the report takes them."""
        ...


def report_section(
    of: Evaluated, steering: Steering, engine: Engine, author: str, contrast: Contrasted | None = None
) -> None:
    """What is on the page as a file, made only when it is asked for; `contrast` says why these features.

    A form, because a download button that makes its file on the click does not know what was typed just before.
    """
    st.header("Report", anchor=False)
    why = (
        f"The contrast “{plain(contrast.title)}” of *Find features* goes in as evidence."
        if contrast is not None
        else "Find the features on *Find features* first, and the contrast goes in as evidence."
    )
    st.caption(f"One file that needs no network, to send or to print. {why if steering else ''}")
    with st.form("eval_report_form", border=False):
        question = st.text_area(
            "The question it answers",
            key="eval_question",
            height=80,
            max_chars=4000,
            placeholder="Does silencing these two features win back harmless requests without answering harmful ones?",
            persist_state="session",
        )
        asked = st.form_submit_button(
            "Make the report", icon=":material/description:", key="eval_report_page"
        )
    about = steering.to_json()
    if asked:
        time = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
        with st.spinner("Writing the report …"):
            try:
                page = report_page(
                    of, steering, engine, contrast, question=question, author=author, time=time
                )
                st.session_state["eval_report_made"] = (of, about, page.encode())
            except (SarmError, StoreError) as error:
                st.error(plain(str(error)), icon=":material/error:")
    made = st.session_state.get("eval_report_made")
    # What was made of other items or under another steering is not offered here.
    text = made[2] if made is not None and made[0] is of and made[1] == about else None
    with st.container(horizontal=True, vertical_alignment="center"):
        if text is not None:
            st.download_button(
                f"Download report.html ({len(text) / 1000:,.0f} kB)",
                text,
                file_name="report.html",
                mime="text/html",
                icon=":material/download:",
                type="primary",
                on_click="ignore",
                key="eval_report_file",
            )
        st.download_button(
            "Report as JSON",
            partial(report, of, steering, engine),
            file_name="evaluation.json",
            mime="application/json",
            icon=":material/download:",
            key="eval_report",
        )
    if text is not None:
        # The report forbids scripts and requests in its own head, so the frame that it is shown in runs none.
        st.iframe(text.decode(), height=PREVIEW, alt="The report")


def report(of: Evaluated, steering: Steering, engine: Engine) -> str:
    """The same as a JSON file, in the format of the command line, with the command that gives these figures again.

    It names uploads and the steering by plain names.
    """
    body = of.report(steering or None)
    named = {"steering": "steering.json" if steering else None}
    body["command"] = of.command(engine.choice.source, body, "evaluation.json", **named)
    return json.dumps(body, indent=1, ensure_ascii=False)


def report_page(
    of: Evaluated,
    steering: Steering,
    engine: Engine,
    contrast: Contrasted | None,
    *,
    question: str,
    author: str,
    time: str,
) -> str:
    """The report to send: one HTML file, with the contrast of the Find page as evidence when there is one.

    Labels that `author` must not read yet (`feature_db.label.blindness`) are left out. Raises SarmError, StoreError.
    """
    body = json.loads(report(of, steering, engine))
    evidence = None if contrast is None or not steering else contrast.evidence()
    with engine.store() as store:
        named = steered_ids(body, evidence)
        notes = notes_of(store, named, titles_for(store, author, named))
    return html_report(body, question=question, author=author, time=time, evidence=evidence, notes=notes)
