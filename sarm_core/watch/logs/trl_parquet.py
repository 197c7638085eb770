"""The files that TRL's trainers write with `log_completions=True`: `completions/completions_00012.parquet`.

GRPOTrainer (from TRL 0.28) and DistillationTrainer write one at every logging step, with `DataFrame.to_parquet`
straight into its place, so a reader may meet half of one. Columns: `step`, `prompt`, `completion`, then for GRPO one of
float64 a reward function, those that reward functions log (`log_extra`), and `advantage`. RLOOTrainer only prints.

`step` is the trainer's count when it logged, after the update: the answers of step 1 are the untrained policy's. A file
holds the last generation batch alone, however many steps lie between two files. Where completions are used for several
updates (`num_iterations`, `steps_per_generation`), the same stand in several files. An evaluation is logged under the
step it follows and replaces that step's file, which no column tells (`findings/trl_completions_log.sh`): the trainer's
state does, once it is saved.

Before TRL 1.15 a conversation was logged as the chat template renders it, without its special tokens. Such prompts are
read back as turns where that can be done in one way only, and refused where it cannot.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sarm_core.errors import RowError
from sarm_core.text.answers import Reader
from sarm_core.text.completions import completed
from sarm_core.text.containers import opened, seekable
from sarm_core.text.row_files import read_rows
from sarm_core.text.rows import keys_there, quoted
from sarm_core.text.tables import parquet_count
from sarm_core.watch.logs.base import HalfWritten, LogFile, LogFormat, Logged, figures_of, step_of

__all__ = ["TRLParquet", "unrendered"]

_NAME = re.compile(r"completions_\d+\.parquet")
_OWN = frozenset({"step", "prompt", "completion", "advantage"})
_RENDERED = "prompts are rendered templates, as TRL logged them before 1.15: they were read back as turns"


class TRLParquet(LogFormat):
    name = "trl-parquet"
    title = "completions of a TRL trainer"
    needs = "completions/completions_00001.parquet, ... of a TRL trainer (log_completions=True)"
    replaced_by_evaluation = True

    def files(self, folder: Path) -> Sequence[Path]:
        places = [folder, folder / "completions"]
        return sorted(
            path for place in places for path in place.glob("completions_*.parquet") if self.knows(path)
        )

    def knows(self, path: Path) -> bool:
        return _NAME.fullmatch(path.name) is not None

    def read(self, path: Path, reader: Reader, before: LogFile | None = None) -> LogFile:
        try:
            with opened(path) as (stream, kind):
                if kind != "parquet":
                    raise RowError("not readable as Parquet, as its name says")
                with seekable(stream) as file:
                    if not parquet_count(file, path):
                        return LogFile(())  # a trainer that resumed and logged before it generated
        except (RowError, OSError, EOFError) as error:
            reason = error.reason if isinstance(error, RowError) else str(error)
            raise HalfWritten(reason, source=path) from None
        answers: list[Logged] = []
        notes: dict[str, None] = {}
        for number, row in read_rows(path):
            try:
                answer, rendered = _logged(row, reader, (str(path), number))
            except RowError as error:
                raise error.at(path, number) from None
            answers.append(answer)
            if rendered:
                notes[_RENDERED] = None
        return LogFile(tuple(answers), tuple(notes))


def _logged(row: dict[str, Any], reader: Reader, place: tuple[str, int]) -> tuple[Logged, bool]:
    absent = [key for key in ("step", "prompt", "completion") if key not in row]
    if absent:
        raise RowError(f"no {quoted(absent)} ({keys_there(row)}): a log of completions needs all three")
    prompt = row["prompt"]
    turns = unrendered(prompt) if isinstance(prompt, str) else None
    conversation = completed(reader, turns or prompt, row["completion"])
    return Logged(step_of(row["step"]), conversation, place, figures_of(row, _OWN)), turns is not None


# -- prompts before TRL 1.15 ------------------------------------------------------------------------------

_ROLE_LINES = re.compile(r"^(system|user|assistant|model)\n", re.MULTILINE)
_LLAMA = re.compile(r"(?:system\n\n(?P<system>.*?))?user\n\n(?P<user>.*)assistant\n\n", re.DOTALL)
_BEGINS, _ASKS = re.compile(r"(?:system|user)\n"), re.compile(r"(?:assistant|\nmodel)\n")


def unrendered(text: str) -> list[dict[str, str]] | None:
    r"""The turns of a prompt that a chat template rendered and a tokenizer decoded without special tokens.

    Known are templates that write roles on lines of their own (ChatML: "user\nHello\nassistant\n", Gemma) and Llama 3's
    ("user\n\nHelloassistant\n\n") with one question. None for a text that does not look rendered. Raises RowError for
    one that does and can be read in more ways than one, or in none.
    """
    if not (_BEGINS.match(text) and _ASKS.search(text)):
        return None
    turns = _llama(text) if text.startswith(("user\n\n", "system\n\n")) else _lines(text)
    if turns is None:
        raise RowError(
            "'prompt' looks like a rendered template without its special tokens, as TRL logged it before 1.15, and "
            "its turns cannot be told apart: log with TRL 1.15 or later, or write JSONL of step, prompt, completion"
        )
    return turns


def _lines(text: str) -> list[dict[str, str]] | None:
    parts = _ROLE_LINES.split(text)
    if parts[0] or len(parts) < 5:
        return None
    roles = ["assistant" if role == "model" else role for role in parts[1::2]]
    said = parts[2::2]
    asked = roles[1:] if roles[0] == "system" else roles
    if asked != ["user", "assistant"] * (len(asked) // 2) or said[-1]:
        return None
    pairs = zip(roles[:-1], said[:-1], strict=True)
    return [{"role": role, "content": text.removesuffix("\n")} for role, text in pairs]


def _llama(text: str) -> list[dict[str, str]] | None:
    found = _LLAMA.fullmatch(text)
    if found is None or any(text.count(f"{role}\n\n") > 1 for role in ("system", "user", "assistant")):
        return None
    return [{"role": role, "content": said} for role, said in found.groupdict().items() if said is not None]
