"""What is kept of a learned steering, and how it is shown again."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.draw.plain_text import plain
from app.prove.learning import LearnedHere
from app.runs.kept import Recipe, numbers
from app.runs.moved import moved_features
from app.session.engine import Engine
from feature_db.runs import Run, RunRecord

__all__ = ["record", "show_kept"]


def record(here: LearnedHere, recipe: Recipe) -> RunRecord:
    """What is kept of what was learned; its steering is "{}" where none is proposed."""
    found = here.found
    gain = found.gain
    figures = numbers(
        before=found.before.accuracy,
        after=found.after.accuracy,
        change=gain.difference,
        low=gain.low,
        high=gain.high,
        won=gain.won,
        lost=gain.lost,
        features=len(found.moved),
        pairs=found.n_pairs,
        prompts=found.n_prompts,
    )
    if found.collateral is not None and found.collateral.collateral.n_pairs:
        figures |= numbers(turned=found.collateral.collateral.share_flipped)
    return RunRecord(
        kind="learned",
        title=f"Learned from {here.title}",
        data=str(recipe.get("called") or here.title),
        recipe=recipe,
        figures=figures,
        result={
            "why": found.why,
            "measured": found.measured_in_words if found.steering is not None else "",
            "said": list(here.said),
            "moved": [[int(i), float(before), float(after)] for i, (before, after) in found.moved.items()],
        },
        steering="{}" if found.steering is None else found.steering.to_json(),
    )


def show_kept(run: Run, engine: Engine) -> None:
    """What was kept of it, with the names that the reader may see now."""
    held: Mapping = run.result
    if held["why"]:
        st.warning(f"No steering is proposed: {plain(held['why'])}.", icon=":material/balance:")
    else:
        st.markdown(
            f"{run.figures['pairs']:,} pairs of {run.figures['prompts']:,} prompts teach **{len(held['moved'])} "
            f"multipliers**. They hold on prompts that took no part: {plain(held['measured'])}."
        )
    if held["said"]:
        st.caption(plain(". ".join(line[0].upper() + line[1:] for line in held["said"]) + "."))
    moved_features(run, engine, held["moved"])
