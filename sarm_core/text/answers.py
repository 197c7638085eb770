"""The one door for "which answers are in this row": commands, pages and the reward function read rows through it.

Nothing that changes a score is passed over. A key that belongs to the conversation and is not read refuses the row in
one line; what else is not used is kept in the `Reader`, which says it for the whole file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sarm_core.errors import RowError, SarmError
from sarm_core.text.preferences import SHAPES_OF_TWO, RowPair, one_answer, stated_pairs
from sarm_core.text.row_files import OnError, read_rows
from sarm_core.text.rows import Conversation, keys_there, kind_of, quoted
from sarm_core.text.shapes import SHAPES, Fields, RowAnswer, RowAnswers, Shape
from sarm_core.text.shapes.base import Prompt
from sarm_core.text.text_rows import Kinds, TextRows, kinds_of, text_rows
from sarm_core.text.turns import Turns
from sarm_core.text.unread_keys import BESIDE_A_PROMPT, CONTEXT_KEYS, OF_A_CONVERSATION, belongs

__all__ = [
    "Reader",
    "RowAnswer",
    "RowAnswers",
    "answer_to",
    "conversation_of",
    "pair_of",
]


_SHAPES_OF_ONE = "messages, prompt + response, question + answer, or input_ids"


class Reader:
    """Reads rows as answers and remembers as what: `said` tells it when all is read.

    `mapping` gives columns the names that shapes know ({"prompt": "frage"}), `ignore` leaves columns (and keys of
    turns) out, `form` is the name of the only shape to read. Raises SarmError for a shape that there is not.
    """

    def __init__(
        self, *, mapping: Mapping[str, str] | None = None, ignore: Iterable[str] = (), form: str | None = None
    ):
        self.mapping, self.ignore, self.form = dict(mapping or {}), frozenset(ignore), form
        if form is not None and form not in {shape.name for shape in SHAPES}:
            close = get_close_matches(form, [shape.name for shape in SHAPES], 1)
            raise SarmError(
                f"no row format is called {form!r}"
                + (f", did you mean {close[0]!r}" if close else "")
                + f": use one of {', '.join(shape.name for shape in SHAPES)}"
            )
        self.ties = self.contradicting = 0
        self._ties_are_pairs = False
        self._taken: set[str] = set()
        self._titles: Counter[str] = Counter()
        self._unused: dict[str, None] = {}
        self._left_out: dict[str, None] = {}
        self._possible: dict[tuple[str, ...], list[Shape]] = {}
        self._text_rows: dict[Kinds, TextRows | None] = {}

    def choices(self) -> dict[str, Any]:
        """What was asked for, as JSON can hold it; {} for nothing. Equal ones read rows alike."""
        asked = {"map": self.mapping, "ignore": sorted(self.ignore), "format": self.form}
        return {key: value for key, value in asked.items() if value}

    @classmethod
    def of(cls, choices: Mapping[str, Any]) -> Reader:
        """The reader whose `choices` these are. Raises SarmError."""
        return cls(mapping=choices.get("map"), ignore=choices.get("ignore", ()), form=choices.get("format"))

    def words(self) -> list[str]:
        """The options that ask for it on the command line."""
        words = [f"{name}={column}" for name, column in self.mapping.items()]
        found = ["--map", ",".join(words)] if words else []
        for key in sorted(self.ignore):
            found += ["--ignore", key]
        return found + (["--format", self.form] if self.form else [])

    def again(self) -> Reader:
        """A reader that reads alike and has read nothing."""
        return Reader(mapping=self.mapping, ignore=self.ignore, form=self.form)

    # -- one row -------------------------------------------------------------------------------------------

    def answers(self, row: Any, *, preferences: bool = False) -> RowAnswers:
        """The answers of one row. Raises RowError.

        A row that two shapes know is read where both find the same answers; with `preferences`, which they may see
        differently, it is refused.
        """
        given = row if type(row) is dict and not self.mapping else self.mapped(row)
        kinds = kinds_of(given)
        if (alike := self._text_rows.get(kinds)) and (quick := alike.read(given)):
            self._titles[alike.title] += 1
            return quick
        fields = Fields(given, self.ignore)
        shapes = self._shapes_of(fields, row)
        found = shapes[0].read(fields)
        self._check_unread(fields, shapes[0])
        for other in shapes[1:]:
            again = Fields(self.mapped(row), self.ignore)
            if preferences or _conversations(other.read(again)) != _conversations(found):
                names = quoted((shape.name for shape in shapes), " or ")
                raise RowError(
                    f"can be read as {names} ({keys_there(row)}): say which with --format, "
                    "or leave keys out with --ignore"
                )
        if kinds not in self._text_rows and len(self._text_rows) < 1000:
            possible = self._possible.get(tuple(fields))
            alone = possible and len(shapes) == 1 and all(shape.by_kinds for shape in possible)
            self._text_rows[kinds] = text_rows(given, kinds, self.ignore, shapes[0]) if alone else None
        self._titles[shapes[0].title] += 1
        self.ties += len(found.tied)
        return found

    def mapped(self, row: Any) -> Mapping[str, Any]:
        """The row under the names that shapes know. Raises RowError for what is no row, or lacks a mapped column."""
        if not isinstance(row, Mapping):
            raise RowError(
                f"not an object but {kind_of(row)}: each row must be one JSON object such as "
                '{"prompt": "...", "response": "..."}'
            )
        if not self.mapping:
            return row
        absent = [column for column in self.mapping.values() if column not in row]
        if absent:
            raise RowError(f"no {quoted(absent)}, which --map names ({keys_there(row)})")
        taken = set(self.mapping.values())
        kept = {key: value for key, value in row.items() if key not in taken and key not in self.mapping}
        kept.update((name, row[column]) for name, column in self.mapping.items())
        return kept

    def _shapes_of(self, fields: Fields, row: Mapping[str, Any]) -> list[Shape]:
        """The shapes that know most keys of the row; several where none of them knows all that another does."""
        there = tuple(fields)
        possible = self._possible.get(there)
        if possible is None:  # rows of a file mostly have the same keys
            possible = [
                shape
                for shape in SHAPES
                if (self.form is None or shape.name == self.form)
                and (not shape.needs or any(keys.issubset(there) for keys in shape.needs))
            ]
            if len(self._possible) < 1000:
                self._possible[there] = possible
        found = [(keys, shape) for shape in possible if (keys := shape.matches(fields)) is not None]
        best = [(keys, shape) for keys, shape in found if not any(keys < others for others, _ in found)]
        if not best:
            raise RowError(_what_is_missing(fields, row, self.form))
        return [shape for _, shape in best]

    def _check_unread(self, fields: Fields, shape: Shape) -> None:
        for key in fields.unread():
            last = key.rpartition(".")[2]
            if last not in shape.known and (reason := belongs(last, fields.peek(key) if last == key else "")):
                name = self.mapping.get(last, last)
                raise RowError(
                    f"{key!r} {reason} and is not read as {shape.title}: leave it out with --ignore {name}, "
                    f"or say what it is with --map, for example --map system={name}"
                )
            if key not in self._taken:
                self._unused.setdefault(key)
        for key in fields.in_turns:
            self._unused.setdefault(key)

    def in_context(self, row: Any) -> dict[str, Any]:
        """A benchmark's row under its own keys, its `prompt` with the context that stands beside it before it.

        Raises RowError for context that has no place there.
        """
        fields = Fields(self.mapped(row), self.ignore)
        found = {key: fields[key] for key in fields if key not in CONTEXT_KEYS}
        if "prompt" not in fields or not (beside := [key for key in fields if key in CONTEXT_KEYS]):
            beside = []
        else:
            prompt = fields.prompt("prompt")
            conversation = fields.in_context(prompt.turns, may_follow=prompt.is_text)
            found["prompt"] = conversation.as_dicts()
            if conversation.tools:
                raise RowError("'tools' are not read in a benchmark: leave them out with --ignore tools")
        for key in [*found, *(key for key in beside if key in fields.unread())]:
            if key not in OF_A_CONVERSATION | {"models"} and (reason := belongs(key, fields.peek(key))):
                raise RowError(
                    f"{key!r} {reason} and is not read in a benchmark: leave it out with --ignore {key}"
                )
        return found

    def beside(self, turns: Turns, columns: Mapping[str, Any], *, may_follow: bool = False) -> Conversation:
        """A trainer's `turns` in the context that the data set's `columns` hold beside prompt and completion.

        `may_follow`: the prompt is one text, so a history may stand before it. Raises RowError for context that has no
        place, as for a row; answers and questions kept for other reward functions are none.
        """
        fields = Fields(columns, self.ignore)
        conversation = fields.in_context(turns, may_follow=may_follow)
        for key in fields.unread():
            if key not in BESIDE_A_PROMPT and (reason := belongs(key, fields.peek(key))):
                raise RowError(
                    f"{key!r} {reason} and is not read beside a prompt: put it into the prompt, "
                    f"or leave it out with --ignore {key}"
                )
        return conversation

    # -- files ---------------------------------------------------------------------------------------------

    def rows(self, path: str | Path, on_error: OnError | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
        """(Row number, row) of a file, as it stands there. Raises RowError."""
        return read_rows(path, on_error, self._left_out.setdefault)

    def pairs(
        self, path: str | Path, on_error: OnError | None = None, *, ties: bool = False
    ) -> Iterator[RowPair]:
        """The preferences of a file: those its rows state, and those of single graded answers to one prompt.

        The attribute `ties` counts two answers that are equally good; they are a pair only where `ties` asks for them.
        Raises RowError naming file and row, or hands it to `on_error`.
        """
        rows = ((str(path), number, row) for number, row in self.rows(path, on_error))
        return self.pairs_of(rows, on_error, ties=ties)

    def pairs_of(
        self,
        rows: Iterable[tuple[str, int, Mapping[str, Any]]],
        on_error: OnError | None = None,
        *,
        ties: bool = False,
    ) -> Iterator[RowPair]:
        """The preferences of (source, row number, row), as `pairs`."""
        self._ties_are_pairs |= ties
        return stated_pairs(self, rows, on_error, ties)

    def takes(self, key: str) -> None:
        """Whoever reads the rows looks at `key` with `value_of`: it is not said to be unused."""
        self._taken.add(key)

    def value_of(self, row: Mapping[str, Any], key: str) -> Any:
        """What a row holds under `key` as shapes know it; None where nothing is, or the key is to be ignored."""
        return None if key in self.ignore else self.mapped(row).get(key)

    def beside_answers(self, row: Mapping[str, Any]) -> list[str]:
        """Of a row that was read, the columns that are no part of a conversation."""
        return [key for key in row if key in self._unused or key in self.ignore]

    def forget_rows(self) -> None:
        """Count rows from none again: the file that was begun is read once more, as another."""
        self._titles.clear()

    def said(self, written: Iterable[str] | None = None) -> list[str]:
        """As what the rows were read, which columns were not used and how many ties there were, a line each.

        `written` is for who writes the rows again with keys of their own: the others were kept, and are called so.
        """
        if not self._titles:
            return []
        kinds = [
            f"{title} ({count:,} rows)" if len(self._titles) > 1 else title
            for title, count in self._titles.items()
        ]
        lines = [f"read as {'; '.join(kinds)}"]
        unused, own = list(self._unused), frozenset(written or ())
        kept = [] if written is None else [key for key in unused if key not in own]
        dropped = [*(key for key in unused if key not in kept), *self._left_out]
        for names, what in ((kept, "kept, but no part of the score"), (dropped, "not used")):
            if names:
                more = f" and {len(names) - 12} more" if len(names) > 12 else ""
                lines[0] += f"; {what}: {', '.join(names[:12])}{more}"
        if self.ties:
            lines.append(
                f"{self.ties:,} pairs are ties: half a preference for each of the two in training, and measured nowhere"
                if self._ties_are_pairs
                else f"{self.ties:,} pairs are ties, which say nothing about an order: they are in no pair"
            )
        if self.contradicting:
            lines.append(
                f"{self.contradicting:,} pairs contradict an earlier one: the same two answers, with the labels swapped"
            )
        return lines

    def said_of(self, path: str | Path) -> list[str]:
        """`said`, with the file's name before it."""
        return [f"{Path(path).name}: {line}" for line in self.said()]

    def __repr__(self) -> str:
        return f"Reader(mapping={self.mapping!r}, ignore={sorted(self.ignore)!r}, form={self.form!r})"


def _conversations(found: RowAnswers) -> list[Conversation]:
    return [answer.conversation for answer in found.answers]


def _what_is_missing(fields: Fields, row: Mapping[str, Any], form: str | None) -> str:
    if form is not None:
        shape = next(shape for shape in SHAPES if shape.name == form)
        needed = " or ".join(" + ".join(sorted(keys)) for keys in shape.needs[:3])
        return f"is not of the format {form!r}, which needs {needed} ({keys_there(row)})"
    for key in ("chosen", "rejected"):
        other = "rejected" if key == "chosen" else "chosen"
        if key in fields and other not in fields:
            return f"no {other!r} ({keys_there(row)}): a preference row needs {SHAPES_OF_TWO}"
    for key, wanted in (
        ("prompt", "'response'"),
        ("question", "'answer'"),
        ("response", "'prompt'"),
        ("answer", "'question'"),
    ):
        if key in fields:
            return f"has {key!r} but no {wanted} ({keys_there(row)})"
    return (
        f"nothing to score ({keys_there(row)}): a row needs {_SHAPES_OF_ONE}; "
        "other names can be given with --map, for example --map prompt=COLUMN,response=COLUMN"
    )


# -- what callers of one row need --------------------------------------------------------------------------


def conversation_of(row: Mapping[str, Any], reader: Reader | None = None) -> Conversation:
    """The one conversation a row holds, under any shape of one answer. Raises RowError."""
    found = (reader or Reader()).answers(row)
    if len(found.answers) != 1:
        kind = (
            "a preference row (chosen and rejected)"
            if found.pairs
            else f"a row of {len(found.answers)} answers"
        )
        raise RowError(
            f"this is {kind}, which contrast and evaluate read; to score one answer a row needs {_SHAPES_OF_ONE}"
        )
    return found.answers[0].conversation


def pair_of(row: Mapping[str, Any], reader: Reader | None = None) -> tuple[Conversation, Conversation]:
    """The better and the worse conversation of a row that states one preference. Raises RowError."""
    found = (reader or Reader()).answers(row, preferences=True)
    if len(found.answers) == 1:
        raise RowError(one_answer(found, row))
    if len(found.pairs) != 1:
        raise RowError(f"holds {len(found.pairs)} preferences among {len(found.answers)} answers, not one")
    (pair,) = found.pairs
    return found.answers[pair.better].conversation, found.answers[pair.worse].conversation


def answer_to(prompt: Any, answer: Any, key: str = "answer") -> Conversation:
    """`prompt` (a string or messages) answered by `answer` (a string, its turns, or the whole conversation).

    Raises RowError that calls the answer `key`.
    """
    fields = Fields({"prompt": prompt})
    return fields.answered(_prompt(fields, prompt), answer, key)


def _prompt(fields: Fields, prompt: Any) -> Prompt:
    if prompt is None:
        raise RowError("no 'prompt'")
    return fields.prompt("prompt")
