"""Writes the part of docs/formats.md on rows: `python docs/make_formats.py`. A test compares the two."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from sarm_core.text.shapes import SHAPES

HEAD = """## Rows of answers, pairs and benchmarks

This section is written by `docs/make_formats.py` from `sarm_core/text/shapes/`; tests execute its examples.

**Containers.** A file is recognised by its first bytes: JSON lines, one JSON array, CSV and TSV with a
header, Parquet, Arrow and Feather, and a folder that `datasets` saved; each file also as `.gz`, `.zst`,
`.bz2` or `.xz`. Text is UTF-8 or UTF-16, with a byte order mark or without. Columns that JSON has no word for
are kept as text (times as ISO text, decimals, durations) or as null (NaN); bytes are left out, which is said.
Columns of the Arrow type `arrow.json`, which `datasets` writes, are parsed. Memory is bounded by one row of
10 MB, for a table by its largest row group.

**What is read.** The shape of a row is recognised by its keys; every command says as what it read a file and
which columns were not used (`score` keeps them in its output). `--format NAME` asks for one shape, `--map
prompt=question,chosen=good,rejected=bad` names columns, `--ignore KEY` leaves one (or a key of turns) out.

**What stands beside the prompt.** `system`, `system_prompt` and `system_message` come before the turns,
`history` before a prompt that is a text, alpaca's `input` under its instruction, and `tools` go to the chat
template. Any other key that may belong to the conversation (`context`, `images`, `documents`, ...) refuses
the row in one line that names it. Inside a turn, tool calls, reasoning and names go to the chat template,
which has to read them; content in text parts is joined. An answer, a prompt or a list of messages may be JSON
text, and a text that writes Human and Assistant before its turns, as hh-rlhf does, is read as turns.

**Several answers.** Graded or ranked answers give every pair of different grade; the pairs of one prompt
weigh one together in training, `evaluate`, `contrast` and the rates of `perturb`, which say so. Ties are
in no pair and are counted, and so are pairs that contradict an earlier one.
`train-reward`, `study` and `build` take a pair's `margin`, and ties and strengths where
[that is asked for](moving-blocks.md).
"""
BEGIN, END = "<!-- rows: made -->\n", "<!-- rows: end -->\n"


def section() -> str:
    """The section on rows."""
    parts = [HEAD]
    for shape in SHAPES:
        rows = [shape.example] if isinstance(shape.example, Mapping) else list(shape.example)
        needs = " or ".join(f"`{'` + `'.join(sorted(keys))}`" for keys in shape.needs[:4])
        more = f" (and {len(shape.needs) - 4} more spellings)" if len(shape.needs) > 4 else ""
        lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        parts.append(
            f"### `{shape.name}`\n\n{shape.title[0].upper()}{shape.title[1:]}. From: {shape.source}. "
            f"Keys: {needs}{more}.\n\n"
            f"```jsonl\n{lines}\n```\n"
        )
    return "\n".join(parts)


def whole(page: str) -> str:
    """The page with the section in its place. Raises ValueError for a page without the two marks."""
    start, stop = page.index(BEGIN) + len(BEGIN), page.index(END)
    return page[:start] + section() + page[stop:]


if __name__ == "__main__":
    path = Path(__file__).with_name("formats.md")
    path.write_text(whole(path.read_text(encoding="utf-8")), encoding="utf-8")
