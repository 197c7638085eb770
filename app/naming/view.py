"""A naming while it runs and after, and the names that models gave the features of this store."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import streamlit as st

from app.draw.plain_text import cut, plain
from app.features.view import open_feature
from app.naming.job import Job, begin
from app.session import session
from app.session.engine import Engine
from feature_db.records import LLM_PREFIX

__all__ = ["show_job", "show_names"]

FAILED_SHOWN = 100


def show_job(job: Job) -> None:
    """What there is to see and to do, by its state."""
    state = job.state
    st.markdown(f"**{plain(cut(job.asked.name, 80))}** · {state}")
    if state == "running":
        _running(job)
        return
    words = job.last_words()
    if state == "stopped":
        st.error(
            plain(words or "It ended without a word. What was answered is kept."), icon=":material/error:"
        )
    elif state == "ended early" and words:
        st.warning(plain(words), icon=":material/warning:")
    said = next((line for line in reversed(job.log()) if " features named by " in line), None)
    if said is not None:
        st.write(plain(said.partition(": ")[2]))
    if failed := job.failed():
        with st.expander(f"{len(failed):,} features failed"):
            st.dataframe(
                pd.DataFrame(
                    {"feature": [f"#{i}" for i, _ in failed], "why": [why for _, why in failed]}
                ).head(FAILED_SHOWN),
                hide_index=True,
            )
    if state != "done" and st.button(
        "Go on", key=f"again_{job.folder.name}", help="Asks what has no answer yet"
    ):
        try:
            begin(job.asked)
        except (*session.Errors, OSError) as refused:
            st.error(plain(str(refused)), icon=":material/error:")
        else:
            st.rerun()


@st.fragment(run_every=2)
def _running(job: Job) -> None:
    if job.state != "running":
        st.rerun()
    found = job.progress()
    if (estimate := job.estimate()) is not None:
        st.caption(plain(estimate))
    if found is None:
        st.progress(0.0, "Asking about the first features.")
    else:
        done, of, used = found
        st.progress(done / max(of, 1), plain(f"{done:,} of {of:,} features; {used} used"))
    if failed := job.failed():
        st.caption(plain(f"{len(failed):,} failed, the last one: #{failed[-1][0]} {failed[-1][1]}"))
    if st.button(
        "Stop", key=f"stop_{job.folder.name}", help="What was answered is kept; Go on asks the rest."
    ):
        job.stop()
        st.rerun()


def show_names(engine: Engine) -> None:
    """The names of one model and prompt, with how they held; a row opens its feature."""
    with engine.store() as store:
        methods = [
            row[0]
            for row in store.rows(
                "SELECT method FROM suggestions WHERE substr(method, 1, ?) = ? GROUP BY method ORDER BY max(id) DESC",
                (len(LLM_PREFIX), LLM_PREFIX),
            )
        ]
        if not methods:
            return
        st.header("Names that models gave", anchor=False)
        method = st.selectbox(
            "Model and prompts", methods, format_func=lambda name: cut(name.removeprefix(LLM_PREFIX), 120),
            key="naming_method",
        )  # fmt: skip
        names = store.suggestions(method)
    table = pd.DataFrame([_row(each.feature, each.text, each.evidence) for each in names])
    hold = int((table["holds"] == "yes").sum())
    st.markdown(
        f"**{hold:,} of {len(table):,} names hold**: they tell which of two answers to one prompt has more of the "
        "feature "
        "more often than by chance, among all that were tried."
    )
    share = st.column_config.NumberColumn
    st.dataframe(
        table.sort_values(["low", "pairs right"], ascending=False),
        hide_index=True,
        key="naming_names",
        column_config={
            "feature": st.column_config.ButtonColumn(
                "feature",
                width=84,
                pinned=True,
                type="tertiary",
                on_click=_open_clicked,
                key="naming_clicked",
            ),
            "name": st.column_config.TextColumn("suggested name", width="medium"),
            "holds": st.column_config.TextColumn("holds", width=64),
            "pairs right": share("pairs right", format="percent", help="Ties count as half; 50 % is chance"),
            "low": share("from", format="percent", help="95 % interval"),
            "high": share("to", format="percent"),
            "pairs": share("pairs", width=64),
            "detected": share(
                "detected", format="percent", help="Balanced accuracy on answers; 50 % is chance"
            ),
            "answers": share("answers", width=72),
            "score": share("of 5", width=64, help="How clear the model says the pattern is"),
            "explanation": st.column_config.TextColumn("explanation", width="large"),
        },
    )


def _row(feature: int, text: str, evidence: Any) -> dict[str, Any]:
    held = json.loads(evidence) if isinstance(evidence, str) else dict(evidence)
    found = held.get("detection")
    detection = found if isinstance(found, dict) else {}
    return {
        "feature": f"#{feature}",
        "name": text,
        "holds": "yes" if held.get("holds") is True else "no",
        "pairs right": _share(held.get("auc")),
        "low": _share(held.get("low")),
        "high": _share(held.get("high")),
        "pairs": held.get("pairs") if type(held.get("pairs")) is int else None,
        "detected": _share(detection.get("value")),
        "answers": detection.get("n") if type(detection.get("n")) is int else None,
        "score": held.get("score") if type(held.get("score")) is int else None,
        "explanation": str(held.get("description") or ""),
    }


def _share(value: Any) -> float | None:
    return float(value) if isinstance(value, float | int) and 0 <= value <= 1 else None


def _open_clicked() -> None:
    open_feature(int(str(st.session_state["naming_clicked"]["label"]).removeprefix("#")))
