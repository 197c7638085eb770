"""Plain JSONL that a training loop of one's own appends to: {"step": 3, "prompt": ..., "completion": ...}.

Prompt and completion may be strings or messages, or a row may be of any format of one answer (docs/formats.md). A key
`reward`, or one that ends in `_reward`, is what the trainer gave, `kl` how far its policy is from the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

from sarm_core.errors import RowError
from sarm_core.text.answers import Reader, conversation_of
from sarm_core.text.json_lines import line_runs
from sarm_core.text.rows import keys_there
from sarm_core.text.shapes.prompt_response import ANSWERS
from sarm_core.text.strict_json import MAX_ROW_BYTES, row_of_line
from sarm_core.watch.logs.base import LogFile, LogFormat, Logged, figures_of, step_of

__all__ = ["JsonLines"]

_ENDINGS = (".jsonl", ".ndjson")
_BEGINS = 256
"""Bytes by which a file that grew is told from another one under its name"""


class JsonLines(LogFormat):
    name = "jsonl"
    title = "JSONL of step, prompt, completion"
    needs = "JSONL with a row {step, prompt, completion} for each"

    def files(self, folder: Path) -> Sequence[Path]:
        return sorted(path for path in folder.iterdir() if path.suffix in _ENDINGS and _has_steps(path))

    def knows(self, path: Path) -> bool:
        return path.suffix in _ENDINGS

    def read(self, path: Path, reader: Reader, before: LogFile | None = None) -> LogFile:
        with path.open("rb") as file:
            begins = file.read(_BEGINS)
            size = file.seek(0, 2)
            if before is None or before.read_to > size or not begins.startswith(before.begins):
                before = LogFile(())
            file.seek(before.read_to)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        tail = data[whole:]
        if tail.strip() and not isinstance(row_of_line(tail), RowError):
            whole = len(data)  # a last line without its end that is whole all the same
        answers = list(before.answers)
        for number, rows in line_runs(BytesIO(data[:whole])) if whole else ():
            at = before.lines + number
            if isinstance(rows, RowError):
                raise rows.at(path, at)
            for position, row in enumerate(rows, at):
                try:
                    answers.append(_logged(row, reader, (str(path), position)))
                except RowError as error:
                    raise error.at(path, position) from None
        if len(data) - whole > MAX_ROW_BYTES:
            raise RowError(f"is longer than {MAX_ROW_BYTES / 1e6:.0f} MB").at(
                path, before.lines + data[:whole].count(b"\n") + 1
            )
        waiting = (
            ("its last line is half-written: it is read once its end is there",)
            if data[whole:].strip()
            else ()
        )
        read_to, lines = before.read_to + whole, before.lines + data[:whole].count(b"\n")
        return LogFile(tuple(answers), waiting, read_to, lines, begins[:read_to])


def _has_steps(path: Path) -> bool:
    """Whether the first row has a step: other JSONL may lie in a run's folder."""
    try:
        with path.open("rb") as file:
            for line in islice(file, 20):
                row = row_of_line(line[:MAX_ROW_BYTES])
                if row is not None:
                    return isinstance(row, dict) and "step" in row
    except OSError:
        return False
    return False


def _logged(row: dict[str, Any], reader: Reader, place: tuple[str, int]) -> Logged:
    if "step" not in row:
        raise RowError(f"no 'step' ({keys_there(row)}): a log of completions has it in every row")
    step = step_of(row["step"])
    figures = figures_of(row, frozenset({"step"}))
    figures = {
        key: value for key, value in figures.items() if key in ("reward", "kl") or key.endswith("_reward")
    }
    answer = next((key for key in ANSWERS if key in row), None)
    if answer is not None and (row[answer] is None or not str(row[answer]).strip() or row[answer] == []):
        return Logged(step, None, place, figures)
    beside = {key: value for key, value in row.items() if key != "step" and key not in figures}
    return Logged(step, conversation_of(beside, reader), place, figures)
