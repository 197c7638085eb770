"""Names for the features of a store, from its encoded answers to prompts that several of them answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from sarm_core.errors import SarmError
from sarm_core.harvest.pairwise import AnswerSet, PairwiseName, names_of, with_words
from sarm_core.harvest.store_protocol import ExampleStore
from sarm_core.text.answer_traits import TRAITS, measured
from sarm_core.text.answers import answer_to
from sarm_core.text.row_files import read_rows

__all__ = ["METHOD", "MOST_ANSWERS", "Tags", "answer_set", "suggest_pairs", "tags_in"]

METHOD = "pairs"
"""Name under which these suggestions are stored"""
MOST_BYTES = 64 * 2**20
MOST_ANSWERS = 20_000
"""Of more encoded answers those with the lowest ids are read: some 100 MB of traits."""

Tags = Mapping[tuple[str, str], Mapping[str, str]]
"""(text of the turns before, answer) -> {axis: value}, what people said of the answer"""


def tags_in(paths: Iterable[str | Path], *, strict: bool = False) -> dict[tuple[str, str], dict[str, str]]:
    """What rows of `answers` say of each under `varied`, the project's corpus for one; other rows say nothing.

    For files that were read for their answers already: what cannot be read is left out, and so are folders and files of
    more than MOST_BYTES. `strict`, for files that somebody names for their tags: each is read whole. Raises SarmError
    then, naming file and row.
    """
    found: dict[tuple[str, str], dict[str, str]] = {}
    for path in map(Path, paths):
        try:
            if not strict and (not path.is_file() or path.stat().st_size > MOST_BYTES):
                continue
            for _, row in read_rows(path):
                for answer in row.get("answers") or () if isinstance(row.get("answers"), list) else ():
                    varied = answer.get("varied") if isinstance(answer, dict) else None
                    if isinstance(varied, dict) and isinstance(answer.get("text"), str):
                        messages = answer_to(row.get("prompt"), answer["text"]).as_dicts()
                        found[_key(messages)] = {str(axis): str(value) for axis, value in varied.items()}
        except (SarmError, OSError):
            if strict:
                raise
    return found


def suggest_pairs(store: ExampleStore, tags: Tags | None = None) -> int:
    """Replace this method's suggestions of all features; returns how many there are."""
    found = answer_set(store, tags or {})
    names: list[PairwiseName] = [] if found is None else names_of(found)
    return store.replace_suggestions(METHOD, names)


def answer_set(store: ExampleStore, tags: Tags, *, words: bool = True) -> AnswerSet | None:
    """The store's encoded answers that share a prompt with another of the same source; None where there is none.

    With `words` each word that many answers have is a trait, too. Of one source only: what tells the files apart, such
    as that one has sampled answers, is nothing about an answer.
    """
    ids, indptr, indices, values = store.encodings()
    texts = [store.text(int(text)) for text in ids[:MOST_ANSWERS]]
    keys = [_key(text.messages) for text in texts]
    prompts = [json.dumps(list(text.messages)[:-1], sort_keys=True) for text in texts]
    numbers: dict[tuple[str, str | None], int] = {}
    group = np.array(
        [numbers.setdefault((p, text.source), len(numbers)) for p, text in zip(prompts, texts, strict=True)],
        dtype=np.int64,
    )
    shared = np.bincount(group, minlength=1)[group] > 1 if len(group) else np.zeros(0, dtype=bool)
    rows = [i for i in np.flatnonzero(shared).tolist() if texts[i].messages[:-1]]
    if not rows:
        return None
    kept = [keys[i] for i in rows]
    z = sparse.csr_matrix((values, indices, indptr), shape=(len(ids), store.model.n_features))[rows]
    asked = [prompts[i] for i in rows]
    table = measured(kept, TRAITS, [tags.get(key) for key in kept])
    if words:
        table = with_words(table, kept, asked)
    return AnswerSet(z, table, group[rows], asked)


def _key(messages: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    turns = [str(turn.get("content") or "") for turn in messages]
    return "\n".join(turns[:-1]), turns[-1].strip() if turns else ""
