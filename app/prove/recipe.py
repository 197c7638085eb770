"""How an evaluation was made, so that it can be made again, and what is kept of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from app.datasets.kept import data_set_named
from app.draw.plain_text import plain
from app.prove.evaluation import CORPUS, FOUND_HERE, evaluate_corpus, evaluate_upload, score_names, score_rows
from app.runs.kept import Recipe, numbers, plain_values
from app.session.engine import Engine
from feature_db.runs import Decided, Run, RunRecord
from sarm_core.prove.evaluated import Evaluated
from sarm_core.prove.evaluation_report import scores_record
from sarm_core.prove.outcome import Outcome
from sarm_core.report.verdict import verdict
from sarm_core.score.encoded import Progress, conversation_hash
from sarm_core.steering import Steering
from sarm_core.text.answers import Reader

__all__ = ["decided", "evaluated_by", "record", "show_kept"]

KEPT_FLIPS = 100
FLIPS = ["direction", "prompt", "subset", "margin_before", "margin_after", "id"]


def evaluated_by(
    engine: Engine, recipe: Recipe, files: Sequence[tuple[str, bytes]], progress: Progress | None
) -> Evaluated:
    """What a recipe asks to evaluate. `source` of it: "corpus" with the name of a set, "data set" with its address and
    slice, or "files" with their kind; the last of `files` is the complement where that is one of them.

    Raises RowError, SarmError, StoreError.
    """
    if recipe["source"] == "corpus":
        return evaluate_corpus(engine, recipe["name"], progress)
    if recipe["source"] == "data set":
        chosen = data_set_named(engine, recipe["d"], recipe["slice"])
        return evaluate_upload(
            engine,
            [chosen.file(engine)],
            "pairs",
            complement=CORPUS if recipe["complement"] else None,
            reader=chosen.reader,
            progress=progress,
        )
    given, beside = list(files), CORPUS if recipe["complement"] == "corpus" else None
    if recipe["complement"] == "file":
        *given, beside = given
    return evaluate_upload(
        engine,
        given,
        recipe["kind"],
        skip_bad=recipe["skip_bad"],
        complement=beside,
        reader=Reader.of(recipe["reader"]),
        complement_reader=Reader.of(recipe["complement_reader"]),
        progress=progress,
    )


def record(
    of: Evaluated,
    found: Outcome,
    steering: Steering,
    recipe: Recipe,
    files: Sequence[tuple[str, bytes]],
    *,
    found_here: bool = False,
) -> RunRecord:
    """What is kept of an evaluation under a steering; `found_here`: its features were found on these same items."""
    compared = found.comparison
    total = compared.scores[compared.scores["score"] == "total"].iloc[0]
    directions = compared.flips["direction"]
    kind, words, sentences = verdict(scores_record(compared, steering or None), steering)
    figures = numbers(
        before=float(total["before"]),
        after=float(total["after"]),
        change=float(total["change"]),
        low=float(total["low"]),
        high=float(total["high"]),
        won=int((directions == "won").sum()),
        lost=int((directions == "lost").sum()),
        decisions=len(compared.before.decisions),
        prompts=int(total["prompts"]),
    )
    scores = score_rows(found, score_names(of)).to_dict("records")
    names = [name for name in FLIPS if name in compared.flips.columns]
    flips = compared.flips.head(KEPT_FLIPS)[names].to_dict("records")
    return RunRecord(
        kind="evaluation",
        title=of.title,
        data=str(
            recipe.get("called") or ("the project's corpus" if recipe["source"] == "corpus" else of.title)
        ),
        recipe=recipe,
        figures=figures,
        result={
            "found_here": found_here and bool(steering),
            "verdict": [kind, words, *sentences],
            "scores": [plain_values(row) for row in scores],
            "flips": [plain_values(row) for row in flips],
        },
        steering=steering.to_json() if steering else "{}",
        decided=decided(of, found),
        files=files,
    )


def decided(of: Evaluated, found: Outcome) -> Decided:
    """Every decision of an evaluation under a name that is the same wherever the same two answers are compared."""
    before, after = found.comparison.before.decisions, found.comparison.after.decisions
    hashes = [conversation_hash(conversation) for conversation in of.benchmark.conversations]
    keys = [
        int.from_bytes(
            hashlib.blake2b(
                hashes[right] + hashes[wrong] + str(case).encode("utf-8", "replace"), digest_size=8
            ).digest(),
            "little",
            signed=True,
        )
        for right, wrong, case in zip(before.right.tolist(), before.wrong.tolist(), before.case, strict=True)
    ]
    return Decided(
        np.array(keys, dtype=np.int64),
        of.benchmark.prompts[before.item].astype(np.int32),
        before.credit.astype(np.float32),
        after.credit.astype(np.float32),
    )


def show_kept(run: Run) -> None:
    """What was kept of an evaluation."""
    _, words, *sentences = run.result["verdict"]
    st.markdown(f"**{plain(words)}.** {plain(' '.join(sentences))}")
    if run.result.get("found_here"):
        st.warning(FOUND_HERE, icon=":material/warning:")
    scores = pd.DataFrame(run.result["scores"])
    for name in ("change", "low", "high"):
        scores[name] = pd.to_numeric(scores[name]) * 100
    points = "%+.1f"
    st.dataframe(
        scores,
        hide_index=True,
        key=f"run_scores_{run.uid}",
        height=min(360, 38 + 35 * len(scores)),
        column_config={
            "before": st.column_config.NumberColumn("plain", format="percent"),
            "after": st.column_config.NumberColumn("steered", format="percent"),
            "change": st.column_config.NumberColumn("change, points", format=points),
            "low": st.column_config.NumberColumn("from", format=points, help="95 % interval of the change"),
            "high": st.column_config.NumberColumn("to", format=points),
        },
    )
    flips = pd.DataFrame(run.result["flips"])
    if flips.empty:
        st.caption("No decision changed.")
        return
    won, lost = run.figures["won"], run.figures["lost"]
    st.caption(f"{won:,} decisions won and {lost:,} lost; the {len(flips):,} that changed most:")
    st.dataframe(
        flips,
        hide_index=True,
        key=f"run_flips_{run.uid}",
        height=min(360, 38 + 35 * len(flips)),
        column_config={
            "prompt": st.column_config.TextColumn(width=300),
            "margin_before": st.column_config.NumberColumn("margin before", format="%+.3f"),
            "margin_after": st.column_config.NumberColumn("margin after", format="%+.3f"),
        },
    )
