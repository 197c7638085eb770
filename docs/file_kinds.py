"""Kinds of files that people gave tools like this one, small ones of our own, with what is right for each.

`make_before_after.py` gives them to two versions; a test reads them in other orders and containers.
"""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["KINDS", "Kind"]

Turns = tuple[tuple[str, str], ...]
"""(role, content)"""
ASKED, GOOD, BAD = "How long does an egg boil?", "Eight minutes, in boiling water.", "No idea, sorry."
_USER = {"role": "user", "content": ASKED}
_PLAIN: Turns = (("user", ASKED),)
_BRIEF: Turns = (("system", "Answer in one sentence."), *_PLAIN)


def _said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _jsonl(rows: Sequence[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _parquet(rows: Sequence[Any]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), sink)
    return sink.getvalue()


def _csv(rows: Sequence[Any]) -> bytes:
    lines = [",".join(rows[0]), *(",".join(f'"{value}"' for value in row.values()) for row in rows)]
    return "\r\n".join(lines).encode()


def _semicolons(rows: Sequence[Any]) -> bytes:
    """As a spreadsheet writes one where the comma is for decimals."""
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), delimiter=";", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return b"\xef\xbb\xbf" + table.getvalue().encode()


def _with_nan(rows: Sequence[Any]) -> bytes:
    bad = {**rows[0], "prompt": "Is this row skipped?", "score": float("nan")}
    return json.dumps([bad, *rows]).encode()


@dataclass(frozen=True)
class Kind:
    """A file: its `rows` as `pack` writes them, under the name `file`.

    `before` are the turns before the answers, `answers` all of them in order, `pairs` (better, worse) by their number.
    `good` says of answers that are labelled one by one which are good ones: two sets, no pairs. `said` is what is to be
    told of the file. `refused` is what the one line says where the file is rightly not read; `plain` that its rows are
    JSON data, so that other containers hold them as well.
    """

    name: str
    rows: tuple[dict[str, Any], ...]
    answers: tuple[str, ...] = (GOOD,)
    before: Turns = _PLAIN
    pairs: tuple[tuple[int, int], ...] = ()
    refused: str = ""
    good: tuple[bool, ...] = ()
    said: str = ""
    file: str = "in.jsonl"
    pack: Callable[[Sequence[Any]], bytes] = _jsonl
    plain: bool = True
    options: tuple[str, ...] = ()


_ROW = {"prompt": ASKED, "response": GOOD}
_TWO: dict[str, Any] = {"answers": (GOOD, BAD), "pairs": ((0, 1),)}
_CALL = {"id": "c1", "type": "function", "function": {"name": "timer", "arguments": '{"minutes": 8}'}}

KINDS: tuple[Kind, ...] = (
    Kind(
        "a system prompt as a message",
        (
            {
                "messages": [
                    dict(zip(("role", "content"), t, strict=True)) for t in (*_BRIEF, ("assistant", GOOD))
                ]
            },
        ),
        before=_BRIEF,
    ),
    Kind("a system prompt in a column, beside a prompt", ({"system": _BRIEF[0][1], **_ROW},), before=_BRIEF),
    Kind(
        "a system prompt in a column, beside messages",
        ({"system_prompt": _BRIEF[0][1], "messages": [_USER, _said(GOOD)]},),
        before=_BRIEF,
    ),
    Kind(
        "a system prompt in a column, beside a pair",
        ({"system": _BRIEF[0][1], "question": ASKED, "chosen": GOOD, "rejected": BAD},),
        before=_BRIEF,
        **_TWO,
    ),
    Kind(
        "a history in a column",
        ({"history": [["Hi?", "Hello."]], **_ROW},),
        before=(("user", "Hi?"), ("assistant", "Hello."), *_PLAIN),
    ),
    Kind(
        "context in a column",
        ({"context": "An ostrich laid it.", "question": ASKED, "answer": GOOD},),
        refused="'context' may belong to the conversation",
    ),
    Kind(
        "alpaca's input",
        ({"instruction": "Translate to German.", "input": "egg", "output": "Ei"},),
        answers=("Ei",),
        before=(("user", "Translate to German.\negg"),),
    ),
    Kind(
        "alpaca's input, beside a pair",
        ({"instruction": "Translate to German.", "input": "egg", "chosen": "Ei", "rejected": "egg"},),
        answers=("Ei", "egg"),
        before=(("user", "Translate to German.\negg"),),
        pairs=((0, 1),),
    ),
    Kind(
        "Parquet with times",
        ({**_ROW, "at": datetime.datetime(2026, 1, 2, 3, 4)},),
        file="in.parquet",
        pack=_parquet,
        plain=False,
    ),
    Kind(
        "Parquet with bytes", ({**_ROW, "raw": b"\x00\x01"},), file="in.parquet", pack=_parquet, plain=False
    ),
    Kind(
        "Parquet with Infinity",
        ({**_ROW, "score": float("inf")},),
        file="in.parquet",
        pack=_parquet,
        plain=False,
    ),
    Kind("Parquet without an ending", (_ROW,), file="in", pack=_parquet),
    Kind("CSV", (_ROW,), file="in.csv", pack=_csv),
    Kind("CSV with semicolons", (_ROW,), file="in.csv", pack=_semicolons),
    Kind("gzip", (_ROW,), file="in.jsonl.gz", pack=lambda rows: gzip.compress(_jsonl(rows), mtime=0)),
    Kind("a byte order mark", (_ROW,), pack=lambda rows: b"\xef\xbb\xbf" + _jsonl(rows)),
    Kind(
        "NaN in an array, with --skip-bad", (_ROW,), file="in.json", pack=_with_nan, options=("--skip-bad",)
    ),
    Kind(
        "hh-rlhf's strings",
        (
            {
                "chosen": f"\n\nHuman: {ASKED}\n\nAssistant: {GOOD}",
                "rejected": f"\n\nHuman: {ASKED}\n\nAssistant: {BAD}",
            },
        ),
        **_TWO,
    ),
    Kind(
        "ShareGPT", ({"conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": GOOD}]},)
    ),
    Kind(
        "ShareGPT pairs",
        (
            {
                "conversations": [{"from": "human", "value": ASKED}],
                "chosen": {"from": "gpt", "value": GOOD},
                "rejected": {"from": "gpt", "value": BAD},
            },
        ),
        **_TWO,
    ),
    Kind(
        "answers as one message", ({"prompt": ASKED, "chosen": _said(GOOD), "rejected": _said(BAD)},), **_TWO
    ),
    Kind("the response as turns", ({"prompt": [_USER], "response": [_said(GOOD)]},)),
    Kind("TRL's completion", ({"prompt": ASKED, "completion": GOOD},)),
    Kind(
        "content in parts",
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ASKED}]}, _said(GOOD)]},),
    ),
    Kind(
        "an image part",
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": ASKED}]},
                    _said(GOOD),
                ]
            },
        ),
        refused="part of type 'image'",
    ),
    Kind(
        "a tool call as the answer",
        ({"messages": [_USER, {"role": "assistant", "content": None, "tool_calls": [_CALL]}]},),
        refused="tool_calls",
    ),
    Kind(
        "reasoning beside the content",
        ({"messages": [_USER, {**_said(GOOD), "reasoning_content": "It is a hen's."}]},),
        refused="reasoning_content",
    ),
    Kind(
        "conversations as JSON text",
        (
            {
                "prompt": ASKED,
                "chosen": json.dumps([_USER, _said(GOOD)]),
                "rejected": json.dumps([_USER, _said(BAD)]),
            },
        ),
        **_TWO,
    ),
    Kind(
        "UltraFeedback's completions",
        (
            {
                "instruction": ASKED,
                "completions": [
                    {"model": "a", "response": GOOD, "overall_score": 9.0},
                    {"model": "b", "response": BAD, "overall_score": 2.0},
                ],
            },
        ),
        **_TWO,
    ),
    Kind(
        "KTO rows",
        (
            {"prompt": ASKED, "completion": GOOD, "label": True},
            {"prompt": ASKED, "completion": BAD, "label": False},
        ),
        answers=(GOOD, BAD),
        good=(True, False),
    ),
    Kind(
        "a pair and its opposite",
        (
            {"prompt": ASKED, "chosen": GOOD, "rejected": BAD},
            {"prompt": ASKED, "chosen": BAD, "rejected": GOOD},
        ),
        answers=(GOOD, BAD, BAD, GOOD),
        pairs=((0, 1),),
        said="1 pairs contradict an earlier one",
    ),
    Kind(
        "HelpSteer3",
        ({"context": [_USER], "response1": BAD, "response2": GOOD, "overall_preference": 2},),
        answers=(BAD, GOOD),
        pairs=((1, 0),),
    ),
    Kind(
        "PKU-SafeRLHF",
        (
            {
                "prompt": ASKED,
                "response_0": BAD,
                "response_1": GOOD,
                "better_response_id": 1,
                "safer_response_id": 0,
            },
        ),
        answers=(BAD, GOOD),
        pairs=((1, 0),),
    ),
    Kind(
        "LLMBar",
        ({"input": ASKED, "output_1": BAD, "output_2": GOOD, "label": 2},),
        answers=(BAD, GOOD),
        pairs=((1, 0),),
    ),
)
