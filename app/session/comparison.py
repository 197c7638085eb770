"""One prompt with its answers: from the corpus, from pasted text, from an uploaded file, as JSON for a link."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from sarm_core.demo import CORPUS
from sarm_core.errors import RowError, SarmError
from sarm_core.share.shared import letters
from sarm_core.text.answers import Reader
from sarm_core.text.row_files import ending_of, read_rows
from sarm_core.text.rows import ROLES, Conversation, Message

__all__ = [
    "MAX_ANSWERS",
    "Answer",
    "Comparison",
    "corpus",
    "from_corpus",
    "from_json",
    "from_paste",
    "from_texts",
    "from_upload",
    "letters",
]

MAX_ANSWERS = 50
MAX_VERSIONS = 50
EDITED = ", edited"
"""Ends the origin of a comparison in which an answer was edited"""


@dataclass(frozen=True)
class Answer:
    """One answer; `note` says where it comes from or what was varied in it, `extra` what its turn holds beside the
    text (see `Message`).

    One that is edited here stands beside its original: `of` is the original's index, `versions` are the texts it had
    when it was left alone for a moment, in their order.
    """

    text: str
    note: str = ""
    extra: str = ""
    of: int | None = None
    versions: tuple[str, ...] = field(default=(), compare=False)

    @property
    def version(self) -> int | None:
        """Which of the versions stands there, from 0; None for a text that is being typed."""
        return next((i for i in reversed(range(len(self.versions))) if self.versions[i] == self.text), None)


@dataclass(frozen=True)
class Comparison:
    """Turns up to the question, and 1 to 50 answers to it; `origin` names where they come from."""

    prompt: tuple[Message, ...]
    answers: tuple[Answer, ...]
    origin: str = ""
    left_out: tuple[int, int] = field(default=(0, 0), compare=False)
    """How many empty and how many repeated answers were given besides: without them the letters move up."""
    tools: str = ""
    """What the chat template is given as tools (see `Conversation`)."""

    @property
    def question(self) -> str:
        """The last user turn, or whatever turn comes last."""
        users = [turn.content for turn in self.prompt if turn.role == "user"]
        return users[-1] if users else (self.prompt[-1].content if self.prompt else "")

    def titles(self) -> list[str]:
        """A, B, ... Z, AA, AB, ..., with the note."""
        return [
            f"{letters(i)} · {answer.note}" if answer.note else letters(i)
            for i, answer in enumerate(self.answers)
        ]

    @property
    def left_out_words(self) -> str:
        """What to tell who gave the answers; "" where all of them are here."""
        empty, repeated = self.left_out
        if not empty and not repeated:
            return ""
        parts = [f"{n} {kind}" for n, kind in ((empty, "empty"), (repeated, "repeated")) if n]
        one = empty + repeated == 1
        return (
            f"{' and '.join(parts)} {'answer was' if one else 'answers were'} left out; A, B, C … name those that are "
            "on the page."
        )

    def with_answer(self, text: str, note: str = "") -> tuple[Comparison, int]:
        """This comparison with one more answer, and that answer's index; one that is there already is not doubled.

        Raises SarmError when the text is empty or there is no room.
        """
        text = text.strip()
        if not text:
            raise SarmError("the answer is empty: paste the text to explain")
        for i, answer in enumerate(self.answers):
            if answer.text == text:
                return self, i
        if len(self.answers) >= MAX_ANSWERS:
            raise SarmError(
                f"there are {MAX_ANSWERS} answers already, which is as many as this page compares"
            )
        answers = (*self.answers, Answer(text, note))
        origin = f"{self.origin} and one pasted".strip()
        return Comparison(self.prompt, answers, origin, tools=self.tools), len(self.answers)

    def edit_of(self, index: int) -> int | None:
        """Where the edited version of an answer stands; None while it has none."""
        return next((i for i, answer in enumerate(self.answers) if answer.of == index), None)

    def with_edit(self, index: int) -> tuple[Comparison, int]:
        """This comparison with an answer to edit beside the original, the same text at first, and its index; where
        there is one already, or the answer is one itself, that. Raises SarmError when there is no room."""
        answer = self.answers[index]
        there = index if answer.of is not None else self.edit_of(index)
        if there is not None:
            return self, there
        if len(self.answers) >= MAX_ANSWERS:
            raise SarmError(
                f"there are {MAX_ANSWERS} answers already, which is as many as this page compares"
            )
        edit = Answer(answer.text, f"{letters(index)} edited", answer.extra, index, (answer.text,))
        return self._with((*self.answers, edit)), len(self.answers)

    def with_text(self, index: int, text: str, *, keep: bool) -> Comparison:
        """With another text of an edited answer; `keep` makes it one of its versions. Raises SarmError for an empty
        one."""
        answer = self.answers[index]
        if answer.of is None:
            raise SarmError("an answer that is not an edited one keeps its words")
        if not text.strip():
            raise SarmError("an empty answer is not scored: write something, or go back to the original")
        versions = answer.versions
        if keep and text not in versions:
            versions = (*versions, text)[-MAX_VERSIONS:]
        changed = replace(answer, text=text, versions=versions)
        return self._with(tuple(changed if i == index else each for i, each in enumerate(self.answers)))

    def without_edit(self, index: int) -> Comparison:
        """Without an edited answer; its original stays. Raises SarmError for one that is no edit."""
        if self.answers[index].of is None:
            raise SarmError("only an edited answer can be taken away")
        kept = [answer for i, answer in enumerate(self.answers) if i != index]
        return self._with(
            tuple(
                replace(answer, of=answer.of - 1) if answer.of is not None and answer.of > index else answer
                for answer in kept
            )
        )

    def _with(self, answers: tuple[Answer, ...]) -> Comparison:
        """The same with these answers; an origin alone would not bring them back."""
        origin = self.origin if self.origin.endswith(EDITED) else f"{self.origin}{EDITED}"
        return Comparison(self.prompt, answers, origin, tools=self.tools)

    def conversations(self) -> list[Conversation]:
        """What the model scores, one per answer."""
        return [
            Conversation(
                messages=(*self.prompt, Message("assistant", answer.text, answer.extra)), tools=self.tools
            )
            for answer in self.answers
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back."""
        return {
            "prompt": [
                {"role": turn.role, "content": turn.content, **_if_any(extra=turn.extra)}
                for turn in self.prompt
            ],
            "answers": [
                {
                    "text": a.text,
                    "note": a.note,
                    **_if_any(extra=a.extra),
                    **({} if a.of is None else {"of": a.of, "versions": list(a.versions)}),
                }
                for a in self.answers
            ],
            "origin": self.origin,
            **_if_any(tools=self.tools),
        }

    @property
    def key(self) -> str:
        """Content hash: what cached scores are kept under."""
        body = self.to_json()
        for answer in body["answers"]:
            answer.pop("versions", None)
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def from_json(data: Mapping[str, Any]) -> Comparison:
    """A comparison from `to_json`'s data. Raises SarmError when it is not one."""
    try:
        prompt = tuple(
            Message(str(turn["role"]), str(turn["content"]), _object(turn.get("extra")))
            for turn in data["prompt"]
        )
        answers = tuple(
            Answer(
                str(a["text"]),
                str(a.get("note", "")),
                _object(a.get("extra")),
                None if a.get("of") is None else int(a["of"]),
                tuple(str(text) for text in a.get("versions", ())),
            )
            for a in data["answers"]
        )
        origin, tools = str(data.get("origin", "")), str(data.get("tools", ""))
        json.loads(tools or "[]")
    except (KeyError, TypeError, AttributeError, ValueError):
        raise SarmError("the stored comparison cannot be read: it was made by another version") from None
    if not prompt or not 1 <= len(answers) <= MAX_ANSWERS or any(turn.role not in ROLES for turn in prompt):
        raise SarmError("the stored comparison has no prompt or no answers: it was made by another version")
    if any(a.of is not None and not (0 <= a.of < len(answers) and answers[a.of].of is None) for a in answers):
        raise SarmError("the stored comparison has an edited answer without its original")
    return Comparison(prompt, answers, origin, tools=tools)


def _if_any(**values: str) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}


def _object(text: Any) -> str:
    """The JSON of an object, or ""; raises ValueError."""
    if text and not isinstance(json.loads(text), dict):
        raise ValueError
    return str(text or "")


def from_texts(prompt: str, texts: Iterable[str], notes: Sequence[str] = (), origin: str = "") -> Comparison:
    """A one-turn prompt with distinct, non-empty answers, the others counted. Raises SarmError with what is missing."""
    if not prompt.strip():
        raise SarmError("the prompt is empty: write the question the answers respond to")
    kept: dict[str, str] = {}
    empty = given = 0
    for i, text in enumerate(texts):
        given += 1
        if text.strip():
            kept.setdefault(text.strip(), notes[i] if i < len(notes) else "")
        else:
            empty += 1
    if not kept:
        raise SarmError("there is no answer: paste at least one, better two")
    if len(kept) > MAX_ANSWERS:
        raise SarmError(
            f"{len(kept)} answers are more than the {MAX_ANSWERS} this page compares: leave some out"
        )
    return Comparison(
        (Message("user", prompt.strip()),),
        tuple(Answer(t, n) for t, n in kept.items()),
        origin,
        left_out=(empty, given - empty - len(kept)),
    )


def from_paste(prompt: str, text: str) -> Comparison:
    """Answers separated by lines that hold only three or more dashes; without a prompt, rows of one prompt.

    Raises SarmError: rows beside a prompt are no answers to it, and would be scored as the text they are.
    """
    rows = _pasted_rows(text)
    if rows is not None and prompt.strip():
        raise SarmError(
            "the answers are rows, which hold their own prompt: leave the prompt empty, or paste texts"
        )
    if rows is not None:
        if len(rows) > 1:
            raise SarmError(
                f"these are rows of {len(rows)} prompts: paste those of one, or upload them as a file"
            )
        return replace(rows[0], origin="pasted")
    # Spaces of the one line: with \s, each blank line of a long run would read all that follow it.
    return from_texts(prompt, re.split(r"^[^\S\n]*-{3,}[^\S\n]*$", text, flags=re.MULTILINE), origin="pasted")


def _pasted_rows(text: str) -> list[Comparison] | None:
    """What pasted rows hold; None for answers, which may be JSON as well. Raises RowError for a bad later row."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    data = text.strip().encode("utf-8", "surrogatepass")
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pasted.jsonl"
            path.write_bytes(data)
            Reader().answers(next(read_rows(path))[1])
    except RowError:
        return None
    return from_upload(data, "pasted.jsonl")


def from_upload(data: bytes, name: str, reader: Reader | None = None) -> list[Comparison]:
    """Comparisons in an uploaded file of rows of any shape, one per distinct prompt, in file order.

    Raises RowError naming the file, the row and the reason.
    """
    reader = reader or Reader()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"upload{ending_of(name)}"
        path.write_bytes(data)
        found: dict[tuple[tuple[Message, ...], str], dict[tuple[str, str], str]] = {}
        given: Counter[tuple[tuple[Message, ...], str]] = Counter()
        row = None
        try:
            for number, item in reader.rows(path):
                row = number
                for key, answer, note in _answers_of(item, reader):
                    answers = found.setdefault(key, {})
                    answers.setdefault(answer, note)
                    given[key] += 1
                    if len(answers) > MAX_ANSWERS:
                        raise RowError(f"more than {MAX_ANSWERS} answers to one prompt: leave some out")
        except RowError as error:
            raise RowError(error.reason, source=name, row=error.row or row) from None
    return [
        Comparison(
            prompt,
            tuple(Answer(text, note, extra) for (text, extra), note in answers.items()),
            f"file {name}",
            left_out=(0, given[prompt, tools] - len(answers)),
            tools=tools,
        )
        for (prompt, tools), answers in found.items()
    ]


def _answers_of(
    row: Mapping[str, Any], reader: Reader
) -> Iterator[tuple[tuple[tuple[Message, ...], str], tuple[str, str], str]]:
    """((Prompt, tools), (text, extra), note) of each answer of a row."""
    answers = reader.answers(row).answers
    for answer in answers:
        messages = answer.conversation.messages
        if not messages:
            raise RowError("token ids have no text to show: this page needs prompt + response or messages")
        if len(messages) == 1:
            raise RowError("a text without a prompt cannot be compared: give the prompt it answers")
        *before, last = messages
        note = answer.name or (
            str(row.get("note") or row.get("model") or "")[:60] if len(answers) == 1 else ""
        )
        if not note and not last.content.strip():
            note = "a tool call"
        yield (tuple(before), answer.conversation.tools), (last.content, last.extra), note


def _note(answer: Mapping[str, Any]) -> str:
    varied = answer.get("varied")
    if not isinstance(varied, Mapping):
        return str(answer.get("note", ""))[:60]
    return ", ".join(str(value) for value in varied.values())[:60]


@lru_cache(maxsize=1)
def corpus() -> dict[str, dict[str, Any]]:
    """The project's own prompts by id."""
    return {row["id"]: row for _, row in read_rows(CORPUS)}


def from_corpus(prompt_id: str) -> Comparison:
    """A corpus prompt with its answers. Raises SarmError for an unknown id."""
    row = corpus().get(prompt_id)
    if row is None:
        raise SarmError(f"{prompt_id}: no such example; pick one from the list")
    return Comparison(
        (Message("user", row["prompt"]),),
        tuple(Answer(answer["text"], _note(answer)) for answer in row["answers"]),
        f"example {prompt_id}",
    )
