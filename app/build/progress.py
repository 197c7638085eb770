"""A build while it runs, when it ended without a model, and when there is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import streamlit as st

from app.build.curve_chart import curve_chart, points_of
from app.build.job import Job, begin
from app.draw.plain_text import cut, plain
from app.session import session
from app.session.engine import Choice
from app.session.pages import Page
from app.ship.switch_model import OF_ONE_MODEL
from sarm_core.errors import SarmError
from sarm_core.train.build_card import BASELINES

__all__ = ["show_job"]


def show_job(job: Job) -> None:
    """What there is to see and to do, by its state."""
    st.subheader(plain(cut(Path(job.asked.out).name, 60)), anchor=False)
    st.caption(
        plain(f"{cut(job.asked.sae, 80)} on {cut(job.asked.backbone, 80)}, into {cut(job.asked.out, 120)}")
    )
    if job.state == "running":
        _running(job)
    elif job.state == "built":
        try:
            _built(job)
        except (SarmError, KeyError) as error:
            st.error(plain(str(error)), icon=":material/error:")
    else:
        _ended(job)


@st.fragment(run_every=3)
def _running(job: Job) -> None:
    if job.state != "running":
        st.rerun()
    found = job.progress()
    if found is None:
        st.progress(0.0, "Reading the model and the first answers; how long it takes is measured on these.")
    else:
        share, rate, left = found
        st.progress(
            min(share, 1.0), f"{rate:,.1f} answers a second, {left // 60} min {left % 60} s left to read"
        )
    st.code("\n".join(job.log()[-8:]), language=None)
    if st.button(
        "Stop",
        key=f"stop_{job.folder.name}",
        help="What was read is kept: the same build goes on from there.",
    ):
        job.stop()
        st.rerun()


def _ended(job: Job) -> None:
    error = job.error()
    if error:
        st.error(plain(error), icon=":material/error:")
    else:
        st.warning(
            "It was stopped before a model was written. What was read is kept.", icon=":material/warning:"
        )
    if st.button("Go on", key=f"again_{job.folder.name}"):
        try:
            begin(job.asked)
        except (*session.Errors, OSError) as refused:
            st.error(plain(str(refused)), icon=":material/error:")
        else:
            st.rerun()


def _built(job: Job) -> None:
    report = job.report()
    head, built = report["head"], report["built"]
    st.write(
        f"**{head['n_features']:,}** of {built['n_features']:,} features put **{_figure(head['test']['all'])}** of "
        f"{head['test']['all']['n']:,} held-out pairs in order."
    )
    beside = [
        (text, report["baselines"][name]) for name, text in BASELINES.items() if name in report["baselines"]
    ]
    st.write(
        ". ".join(f"{plain(text.capitalize())}: {_figure(found['test']['all'])}" for text, found in beside)
        + "."
    )
    counts = report["pairs"]
    st.write(
        f"{counts['contradicting']:,} pairs contradict another one, {counts['against']:,} look mislabelled: "
        "`doubtful_pairs.jsonl` in its folder lists them."
    )
    if counts.get("ties"):
        st.write(
            f"{counts['ties']:,} more pairs are ties: {counts['ties_half']:,} of them counted as half a win for each "
            "answer, the others were left out."
        )
    if report.get("unexplained", 0) > 1:
        st.warning(
            f"The dictionary misses the answers' activations by {report['unexplained']:,.1f} times their variance; "
            "their mean alone would miss by 1. Was it trained on this model and block?",
            icon=":material/warning:",
        )
    if "explained" in report:
        found = report["explained"]
        st.write(
            f"It agrees with the reward model's own head on {_figure(found['agreement'])} of the held-out pairs; "
            f"features explain {found['features']['r2']:.0%} of the variance of its margins."
        )
    st.plotly_chart(curve_chart(report), key=f"curve_{job.folder.name}", config={"displayModeBar": False})
    left, right = st.columns(2, vertical_alignment="bottom")
    if left.button("Open it on Compare", type="primary", key=f"open_{job.folder.name}"):
        st.session_state["choice"] = Choice(job.asked.out)
        for name in OF_ONE_MODEL:
            st.session_state.pop(name, None)
        st.switch_page(Page.COMPARE.path)
    n = right.selectbox(
        "Another point of the curve",
        [point["n_features"] for point in points_of(report)],
        key=f"point_{job.folder.name}",
    )
    if right.button(f"Build one that uses {n:,}", key=f"pick_{job.folder.name}"):
        try:
            begin(replace(job.asked, features=n, out=f"{job.asked.out}-{n}"))
        except (*session.Errors, OSError) as error:
            st.error(plain(str(error)), icon=":material/error:")
        else:
            st.rerun()


def _figure(found: dict) -> str:
    if found["low"] is None:
        return f"{found['accuracy']:.3f}"
    return f"{found['accuracy']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
