"""Score a file of rows, as the command line does: streaming, whole or not at all."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from sarm_core.errors import RowError
from sarm_core.files import whole_file
from sarm_core.score.encoded import Encoded, encode_once
from sarm_core.score.scorer import Scorer
from sarm_core.steering import Steering
from sarm_core.text.answers import Reader
from sarm_core.text.conversation import TokenSequence
from sarm_core.text.rows import Conversation

__all__ = ["WRITTEN", "score_file"]

CHUNK = 512  # rows held in memory at once
_LINE_BREAKS = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}  # many readers split lines there
WRITTEN = ("reward", "reward_steered", "n_active", "n_cut", "features")  # never left over from an earlier run


def score_file(
    scorer: Scorer,
    source: Path,
    target: Path,
    *,
    steering: Steering | None = None,
    top: int = 20,
    skip_bad: bool = False,
    reader: Reader | None = None,
    folder: Path | None = None,
    use_cache: bool = True,
) -> tuple[int, list[RowError]]:
    """Write every row of `source` with its reward and features to `target`; (rows written, bad rows).

    A row of several answers is written once for each, with `scored_answer` saying which.

    The first bad row raises RowError and leaves no output, unless `skip_bad`: then bad rows are returned.
    Memory is bounded by 512 rows, whatever the file's length. `folder` and `use_cache` are those of `encode_once`.
    """
    if steering is not None:
        steering.check(scorer.n_features)
    bad: list[RowError] = []
    n_cut = written = 0
    notes: dict[str, None] = {}
    with whole_file(target) as out, _bar() as bar:
        rows = _good_rows(scorer, source, bad if skip_bad else None, reader or Reader())
        for chunk in _chunks(rows):
            at = bar.n

            def progress(done: int, total: int, at: int = at) -> None:
                bar.total = at + total
                bar.update(at + done - bar.n)

            scored = encode_once(
                scorer,
                [good.conversation for good in chunk],
                sequences=[good.sequence for good in chunk],
                folder=folder,
                use_cache=use_cache,
                progress=progress,
            )
            notes |= dict.fromkeys(scored.notes)
            n_cut += int((scored.n_cut > 0).sum())
            for line in _lines([good.row for good in chunk], scored, steering, top):
                out.write(line)
            written += len(chunk)
        if not written:
            raise RowError(
                f"none of its {len(bad)} rows can be scored; the first is bad because {bad[0].reason}"
                if bad
                else "the file has no rows",
                source=source,
            )
    for note in notes:
        print(note, file=sys.stderr)
    if n_cut:
        print(
            f"{n_cut} of {written} rows were longer than {scorer.max_length} tokens and were cut on the left "
            "(see n_cut in the output)",
            file=sys.stderr,
        )
    return written, bad


def _bar() -> Any:
    return tqdm(unit=" tokens", unit_scale=True, desc="scoring", disable=not sys.stderr.isatty(), leave=False)


class _Good(NamedTuple):
    row: dict[str, Any]
    conversation: Conversation
    sequence: TokenSequence


def _good_rows(scorer: Scorer, source: Path, bad: list[RowError] | None, reader: Reader) -> Iterator[_Good]:
    """Answers that can be tokenised, each with its row; the others raise, or are collected in `bad`."""
    for number, row in reader.rows(source, None if bad is None else bad.append):
        try:
            answers = reader.answers(row).answers
            sequences = scorer.tokens([answer.conversation for answer in answers])
        except RowError as error:
            placed = error.at(source, number)
            if bad is None:
                raise placed from None
            bad.append(placed)
            continue
        for i, (answer, sequence) in enumerate(zip(answers, sequences, strict=True), 1):
            which = {} if len(answers) == 1 else {"scored_answer": answer.name or f"answer {i}"}
            yield _Good({**row, **which}, answer.conversation, sequence)


def _chunks(rows: Iterator[_Good]) -> Iterator[list[_Good]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _lines(
    chunk: list[dict[str, Any]], scored: Encoded, steering: Steering | None, top: int
) -> Iterator[str]:
    rewards = scored.matrix.rewards
    steered = None if steering is None else steering.rewards(scored.matrix)
    n_active = scored.matrix.n_active
    for i, row in enumerate(chunk):
        result: dict[str, Any] = {key: value for key, value in row.items() if key not in WRITTEN}
        result["reward"] = float(rewards[i])
        if steered is not None:
            result["reward_steered"] = float(steered[i])
        result["n_active"] = int(n_active[i])
        if scored.n_cut[i]:
            result["n_cut"] = int(scored.n_cut[i])
        result["features"] = list(scored.matrix.table(i).rows(top))
        yield json.dumps(result, ensure_ascii=False, allow_nan=False).translate(_LINE_BREAKS) + "\n"
