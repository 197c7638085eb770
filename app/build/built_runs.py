"""Builds in the table of runs: they keep themselves, in folders of their own."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pandas as pd
import streamlit as st

from app.build.job import Job, jobs
from app.session.pages import Page
from sarm_core.errors import SarmError

__all__ = ["built_runs"]

SHOWN = 50


def built_runs() -> None:
    """The builds that were asked for here; nothing where none was."""
    found = jobs()[:SHOWN]
    if not found:
        return
    st.subheader("Builds", anchor=False)
    st.dataframe(
        pd.DataFrame([_row(job) for job in found]),
        hide_index=True,
        key="runs_builds",
        column_config={
            "accuracy": st.column_config.NumberColumn("held-out accuracy", format="percent"),
            "when": st.column_config.DatetimeColumn("when", format="YYYY-MM-DD HH:mm"),
        },
    )
    st.page_link(Page.BUILD.path, label="Open on Build", icon=Page.BUILD.icon)


def _row(job: Job) -> dict[str, object]:
    row: dict[str, object] = {
        "model": Path(job.asked.out).name,
        "state": job.state,
        "pairs": ", ".join(Path(path).name for path in job.asked.pairs),
        "accuracy": None,
        "features": None,
        "when": datetime.fromtimestamp(job.began),
    }
    try:
        if job.state == "built":
            head = job.report()["head"]
            row |= {"accuracy": head["test"]["all"]["accuracy"], "features": head["n_features"]}
    except (SarmError, KeyError, TypeError):
        row["state"] = "built, but its report cannot be read"
    return row
