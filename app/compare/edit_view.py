"""What stands with an edited answer in the ranking: its versions, what its new words changed, what it hangs on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from app.compare.why import signed
from app.draw.plain_text import cut, plain
from app.session import edits, session
from app.session.comparison import Comparison
from app.session.engine import Engine, FeatureNote
from app.session.feature_title import feature_title
from sarm_core.features import FeatureMatrix
from sarm_core.score.scored import Scored

if TYPE_CHECKING:
    from sarm_core.explain.occlusion import Occlusion

__all__ = ["change_in_words", "changed_words", "edited_rows", "shades_of"]

MOST_NAMED = 3
MOST_PIECES = 2
MOST_OCCLUSIONS = 8
_WORDS = re.compile(r"\s+|\w+|[^\w\s]+")


def edited_rows(current: Engine, now: Comparison, steered: Scored) -> dict[int, dict[str, Any]]:
    """By the index of each edited answer: what the component shows with it, under the steering in force."""
    rows: dict[int, dict[str, Any]] = {}
    for index, answer in enumerate(now.answers):
        if answer.of is None:
            continue
        ids, _ = steered.matrix.difference(index, answer.of)
        notes = current.notes(ids.tolist())
        version = answer.version
        rows[index] = {
            "original": now.answers[answer.of].text,
            "said": change_in_words(
                now.answers[answer.of].text, answer.text, steered.matrix, (index, answer.of), notes
            ),
            "versions": len(answer.versions),
            "version": -1 if version is None else version,
            "rules": list(edits.RULES),
            "shaded": edits.shaded() == index,
            "shades": shades_of(current, now, index) if edits.shaded() == index else [],
            "focus": edits.open_edit() == index,
            "revision": edits.revision(),
        }
    return rows


def change_in_words(
    before: str,
    after: str,
    matrix: FeatureMatrix,
    rows: tuple[int, int],
    notes: Mapping[int, FeatureNote],
) -> str:
    """`Without “I'm sorry”: +0.41, mostly #1008 (+0.38)`; `rows` are the edited answer and its original."""
    if before == after:
        return "The same words as the original. Change them here: the score follows."
    table = matrix.difference_table(*rows)
    said = f"{changed_words(before, after)}: {signed(table.margin)}"
    parts = [
        f"{feature_title(int(feature), notes.get(int(feature)), mark=False)} "
        f"({_mark(notes.get(int(feature)))}{signed(float(value))})"
        for feature, value in zip(table.features[:MOST_NAMED], table.differences[:MOST_NAMED], strict=False)
        if value
    ]
    return f"{said}, mostly {', '.join(parts)}" if parts else said


def _mark(note: FeatureNote | None) -> str:
    return f"{note.mark}, " if note and note.mark else ""


def changed_words(before: str, after: str) -> str:
    """Which words went, came or were replaced, in a few of them."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    gone: list[str] = []
    come: list[str] = []
    replaced: list[tuple[str, str]] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        was, now = "".join(old[a:b]).strip(), "".join(new[c:d]).strip()
        if kind == "equal" or was == now:
            continue
        if was and now:
            replaced.append((was, now))
        elif was:
            gone.append(was)
        else:
            come.append(now)
    if len(gone) + len(come) + len(replaced) > 2 * MOST_PIECES:
        return f"With {len(gone) + len(come) + len(replaced)} changes"
    said = []
    if gone:
        said.append(f"without {_quoted(gone)}")
    if come:
        said.append(f"with {_quoted(come)}")
    said += [f"“{cut(now, 30)}” for “{cut(was, 30)}”" for was, now in replaced]
    text = ", ".join(said) or "other spaces"
    return text[0].upper() + text[1:]


def _quoted(pieces: Sequence[str]) -> str:
    more = f" and {len(pieces) - MOST_PIECES} more" if len(pieces) > MOST_PIECES else ""
    return " and ".join(f"“{cut(piece, 40)}”" for piece in pieces[:MOST_PIECES]) + more


def shades_of(current: Engine, now: Comparison, index: int) -> list[list[Any]]:
    """(start, stop, share, words) of each sentence of an answer: share 1 where the reward falls most without it, -1
    where it rises as much. Runs the model once for a text. [] for one that cannot be cut up, which is said."""
    conversation = now.conversations()[index]
    key = (current.fingerprint, current.scorer.facts.dtype, conversation, "sentences", 5)
    kept: dict[Any, tuple[Occlusion, float]] = st.session_state.setdefault("occlusions", {})
    if key not in kept:
        from sarm_core.explain.occlusion import occlude

        try:
            with st.spinner("Scoring it without each of its sentences …"):
                kept[key] = occlude(current.scorer, conversation), 0.0
            while len(kept) > MOST_OCCLUSIONS:
                del kept[next(iter(kept))]
        except session.Errors as error:
            session.say(plain(str(error)))
            return []
    found = kept[key][0].steered(session.steering().current)
    change = found.reward_change
    largest = float(np.nanmax(np.abs(change))) if np.isfinite(change).any() else 0.0
    if not largest:
        return []
    return [
        [span.start, span.stop, -float(value) / largest, f"without it: {signed(float(value))}"]
        for span, value in zip(found.spans, change, strict=True)
        if np.isfinite(value)
    ]
