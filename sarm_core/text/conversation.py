"""From messages to the token ids a SARM reads, and from token positions back to text.

The scored token is the last token of the last assistant turn: `<|eot_id|>` in Llama 3, `<|im_end|>` in
ChatML [SARM, sec. 3.2]. Nothing after it is fed to the model. Input longer than `max_length` is cut on the
LEFT, as in the reference's training, so the end of the answer always stays.
"""

from __future__ import annotations

import datetime
import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sarm_core.errors import CheckpointError, RowError
from sarm_core.text.rows import Conversation
from sarm_core.text.sentences import MARK

__all__ = [
    "SCORED_RULES",
    "TEMPLATE_DATE",
    "ChatFormat",
    "TokenSequence",
    "sentence_end_characters",
    "sentence_ends",
]

SCORED_RULES = ("last-special-token", "last-token")
TEMPLATE_DATE = datetime.date(2024, 7, 26)
"""The day that a chat template is told when it asks for today's: the one Llama's templates write by default."""
_TWO_DATES = (datetime.date(2001, 2, 3), datetime.date(2031, 12, 24))
_DIRECTIVES = "aAbBdjmUwWyYHIMSpcxX"
_EM_SPACE = "\u2003"
_POSITION = re.compile(rf"{MARK.pattern}|(?<=\S)(?=\n)|(?<=\S)$")


@dataclass(frozen=True)
class TokenSequence:
    """One conversation as the model reads it.

    `input_ids` int32 [T] ends at the scored token. `n_cut` tokens were dropped from the left to fit.
    `answer_start` is the index of the first token of the last answer (0 when it was cut into or unknown).
    `text` and `spans` int32 [T, 2] map tokens to characters; both are None for rows given as token ids.
    """

    input_ids: npt.NDArray[np.int32]
    n_cut: int = 0
    answer_start: int = 0
    text: str | None = field(default=None, repr=False)
    spans: npt.NDArray[np.int32] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return int(self.input_ids.shape[0])

    @property
    def scored(self) -> int:
        """Index of the scored token: the last one."""
        return len(self) - 1

    def pieces(self) -> list[str]:
        """The text of each token, in order; they join to the whole text.

        Tokens that share one character (a byte-level split of an emoji) leave it to the last of them.
        For rows without text: the ids themselves.
        """
        if self.text is None or self.spans is None:
            return [f"{token} " for token in self.input_ids]
        starts = np.minimum.accumulate(self.spans[::-1, 0])[::-1]
        stops = np.append(starts[1:], self.spans[-1, 1])
        return [self.text[a:b] for a, b in zip(starts, stops, strict=True)]


class ChatFormat:
    """A tokenizer with its chat template and the rule that says which token is scored.

    `rule` is "last-special-token" (the last special token of the rendered conversation, which is the
    end-of-turn token in every template we know), "last-token", or a token string such as "<|im_end|>".
    Calls are thread-safe. Without a chat template token ids and plain text can be read, conversations cannot.
    `date` is what a template is told when it asks for today's: a score must not change overnight.
    Raises CheckpointError for a rule that names no token.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        chat_template: str | None = None,
        rule: str = SCORED_RULES[0],
        max_length: int = 4096,
        date: datetime.date = TEMPLATE_DATE,
    ):
        self.tokenizer = tokenizer
        self.date = date
        own = tokenizer.chat_template
        self.template = chat_template or (own.get("default") if isinstance(own, dict) else own)
        self.rule = rule
        self.max_length = max_length
        ends = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
        unknown = {tokenizer.unk_token_id} - ends  # a character nobody knows does not end a turn
        self._special_ids = np.array(sorted(set(tokenizer.all_special_ids) - unknown), dtype=np.int32)
        added = getattr(tokenizer, "added_tokens_decoder", {})
        self._special_texts = [str(token) for token in added.values() if token.special]
        self._rule_id: int | None = None
        if rule not in SCORED_RULES:
            self._rule_id = tokenizer.convert_tokens_to_ids(rule)
            if self._rule_id is None or self._rule_id == tokenizer.unk_token_id:
                raise CheckpointError(f"the scored token {rule!r} is not in the tokenizer's vocabulary")
        self._adds_bos = self._tokenizer_adds_bos()
        self._lock = threading.Lock()  # split_special_tokens is state inside the fast tokenizer

    def tokens(self, conversations: Sequence[Conversation]) -> list[TokenSequence]:
        """Token sequences of `conversations`, in order. Raises RowError (without a place) for a template
        that refuses the turns."""
        rendered = [None if c.messages is None else self._render(c) for c in conversations]
        plain = [
            i for i, item in enumerate(rendered) if item is not None and not self._is_forged(i, conversations)
        ]
        encoded = {}
        if plain:
            with self._lock:
                batch = self.tokenizer(
                    [rendered[i][0] for i in plain],  # type: ignore[index]
                    add_special_tokens=False,
                    return_offsets_mapping=True,
                )
            for i, ids, spans in zip(plain, batch["input_ids"], batch["offset_mapping"], strict=True):
                encoded[i] = (ids, spans)
        out = []
        for i, conversation in enumerate(conversations):
            item = rendered[i]
            if item is None:
                out.append(self.from_ids(conversation.input_ids or ()))
                continue
            if i in encoded:
                out.append(self._finish(*encoded[i], *item))
            else:
                out.append(self._finish(*self._tokens_with_literal_content(conversation)))
        return out

    def from_ids(self, input_ids: Sequence[int]) -> TokenSequence:
        """A sequence given as token ids: its last id is scored, whatever it is."""
        return cut_left(np.asarray(input_ids, dtype=np.int32), self.max_length)

    def plain_text(self, text: str) -> TokenSequence:
        """Plain text as the tokenizer reads it, without a chat template; every token counts as the answer.

        The text of a special token stays text. Raises RowError for a text without tokens.
        """
        with self._lock:
            encoded = self.tokenizer(text, return_offsets_mapping=True, split_special_tokens=True)
        ids = np.asarray(encoded["input_ids"], dtype=np.int32)
        if not len(ids):
            raise RowError("'text' has no tokens")
        spans = np.asarray(encoded["offset_mapping"], dtype=np.int32).reshape(-1, 2)
        return cut_left(ids, self.max_length, 0, text, spans)

    def render(self, conversation: Conversation) -> str:
        """The text the model reads, before truncation."""
        return self._render(conversation)[0]

    @cached_property
    def writes_date(self) -> bool:
        """Whether the template writes the day into a conversation: rendered with two dates, it gives two texts."""
        turns = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello."}]
        try:
            texts = {self._apply(turns, prompt_only=False, date=date) for date in _TWO_DATES}
        except RowError:
            return False
        return len(texts) > 1

    @cached_property
    def default_system(self) -> str:
        """The text that the template puts before the first turn of a conversation without a system prompt."""
        turns = [{"role": "user", "content": _EM_SPACE}, {"role": "assistant", "content": _EM_SPACE}]
        try:
            text = self._apply(turns, prompt_only=False)
            bare = self._apply([{"role": "system", "content": ""}, *turns], prompt_only=False)
        except RowError:
            return ""
        head, bare_head = text.split(_EM_SPACE, 1)[0], bare.split(_EM_SPACE, 1)[0]
        return head if len(head) > len(bare_head) else ""

    # -- rendering -------------------------------------------------------------------------------------

    def _apply(
        self,
        messages: list[dict[str, Any]],
        *,
        prompt_only: bool,
        tools: Any = None,
        date: datetime.date | None = None,
    ) -> str:
        if not self.template:
            raise RowError(
                f"the tokenizer of {self.tokenizer.name_or_path} has no chat template, so conversations cannot be "
                "scored: add chat_template.jinja to the checkpoint, or give input_ids"
            )
        day = date or self.date
        try:
            return self.tokenizer.apply_chat_template(
                messages,
                tools=tools,
                chat_template=_on(day, self.template),
                tokenize=False,
                add_generation_prompt=prompt_only,
                date_string=day.strftime("%d %b %Y"),
            )
        except Exception as error:  # a template is a program from the checkpoint: it may raise anything
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RowError(f"the model's chat template refuses these turns ({reason})") from None

    def _render(self, conversation: Conversation) -> tuple[str, int]:
        """The rendered text and the character at which the last answer starts."""
        messages, tools = self._inputs(conversation)
        text = self._apply(messages, prompt_only=False, tools=tools)
        answer = messages[-1]["content"] or ""
        if len(messages) > 1:
            with suppress(RowError):  # a template may refuse the turns before the answer on their own
                before = self._apply(messages[:-1], prompt_only=True, tools=tools)
                if text.startswith(before):
                    return text, len(before)
        found = text.rfind(answer.strip()) if answer.strip() else 0
        return text, max(found, 0)

    def _inputs(self, conversation: Conversation) -> tuple[list[dict[str, Any]], Any]:
        """Turns and tools as the template takes them, checked: all that a turn holds is read by the template.

        Raises RowError naming what the template would pass over.
        """
        messages = conversation.as_dicts()
        developer = "developer" in (self.template or "")
        for turn in messages:
            if turn["role"] == "developer" and not developer:
                turn["role"] = "system"  # what OpenAI's developer turns are called elsewhere
        plain = not conversation.tools and all(len(turn) == 2 for turn in messages)
        if plain or not self.template:
            return messages, None
        tools = json.loads(conversation.tools) if conversation.tools else None
        special = next(
            (s for s in self._special_texts if s in _beside_content(messages, conversation.tools)), None
        )
        if special is not None:
            raise RowError(
                f"{special} stands in a tool call, a name or reasoning, where it would end the turn: remove it"
            )
        for number, turn in enumerate(messages):
            if "tool_calls" in turn:
                turn["tool_calls"] = _calls(turn["tool_calls"], f"turn {number + 1}")
        text = self._apply(messages, prompt_only=False, tools=tools)
        if tools and text == self._apply(messages, prompt_only=False):
            raise RowError(_passed_over("tools", "'tools' are"))
        for number, turn in enumerate(messages):
            for key in [key for key in turn if key not in ("role", "content", "tool_call_id")]:
                if key == "reasoning_content" and key in (self.template or ""):
                    continue  # the template knows it and decides where it counts
                less = [
                    *messages[:number],
                    {k: v for k, v in turn.items() if k != key},
                    *messages[number + 1 :],
                ]
                if text != self._try(less, tools):
                    continue
                if (
                    key == "tool_calls" and not turn["content"]
                ):  # some templates look for content that is None
                    empty = [*messages[:number], {**turn, "content": None}, *messages[number + 1 :]]
                    if self._try(empty, tools) not in (None, text):
                        turn["content"] = None
                        text = self._apply(messages, prompt_only=False, tools=tools)
                        continue
                raise RowError(_passed_over(key, f"turn {number + 1} holds {key!r}, which is"))
        return messages, tools

    def _try(self, messages: list[dict[str, Any]], tools: Any) -> str | None:
        """The rendered text, None where the template refuses these turns."""
        try:
            return self._apply(messages, prompt_only=False, tools=tools)
        except RowError:
            return None

    def _is_forged(self, i: int, conversations: Sequence[Conversation]) -> bool:
        """Whether a turn contains the text of a special token, which would end the turn early."""
        messages = conversations[i].messages or ()
        return any(special in turn.content for turn in messages for special in self._special_texts)

    def _tokens_with_literal_content(
        self, conversation: Conversation
    ) -> tuple[list[int], list[tuple[int, int]], str, int]:
        """Tokenise so that special-token text inside a turn stays text: hostile input cannot fake a turn.

        The template is rendered around placeholders; turns are tokenised apart, with special tokens split.
        The spaces around a placeholder show whether the template trims its turns. Returns token ids, their
        spans, the text they cover and the character at which the last answer starts.
        """
        messages, tools = self._inputs(conversation)
        marks = [f"{_EM_SPACE}\ue000{i}\ue001{_EM_SPACE}" for i in range(len(messages))]
        skeleton = self._apply(
            [
                {**turn, "content": mark} if turn["content"] else turn
                for turn, mark in zip(messages, marks, strict=True)
            ],
            prompt_only=False,
            tools=tools,
        )
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        texts: list[str] = []
        at = answer_char = 0
        for part in re.split(f"({_EM_SPACE}?\ue000[0-9]+\ue001{_EM_SPACE}?)", skeleton):
            literal = re.fullmatch(f"({_EM_SPACE}?)\ue000([0-9]+)\ue001({_EM_SPACE}?)", part)
            text = part
            if literal:
                text = messages[int(literal[2])]["content"]
                text = text if literal[1] else text.lstrip()
                text = text if literal[3] else text.rstrip()
                answer_char = at
            with self._lock:
                piece = self.tokenizer(
                    text,
                    add_special_tokens=False,
                    return_offsets_mapping=True,
                    split_special_tokens=literal is not None,
                )
            ids += piece["input_ids"]
            spans += [(at + a, at + b) for a, b in piece["offset_mapping"]]
            texts.append(text)
            at += len(text)
        return ids, spans, "".join(texts), answer_char

    def _tokenizer_adds_bos(self) -> bool:
        bos = self.tokenizer.bos_token_id
        if bos is None:
            return False
        return self.tokenizer("a")["input_ids"][:1] == [bos]

    def _finish(
        self, ids: Sequence[int], spans: Sequence[tuple[int, int]], text: str, answer_char: int
    ) -> TokenSequence:
        tokens = np.asarray(ids, dtype=np.int32)
        offsets = np.asarray(spans, dtype=np.int32).reshape(-1, 2)
        bos = self.tokenizer.bos_token_id
        if bos is not None:
            while len(tokens) > 1 and tokens[0] == bos and tokens[1] == bos:
                tokens, offsets = tokens[1:], offsets[1:]
            if self._adds_bos and (not len(tokens) or tokens[0] != bos):
                tokens = np.concatenate([np.array([bos], np.int32), tokens])
                offsets = np.concatenate([np.zeros((1, 2), np.int32), offsets])
        start = int(np.searchsorted(offsets[:, 1], answer_char, side="right"))
        end = self._scored_index(tokens, start) + 1
        return cut_left(tokens[:end], self.max_length, min(start, end - 1), text, offsets[:end])

    def _scored_index(self, tokens: npt.NDArray[np.int32], answer_start: int) -> int:
        """The scored token, never one before the answer: a template may end turns with plain text only."""
        if self.rule == "last-token":
            return len(tokens) - 1
        wanted = tokens == self._rule_id if self._rule_id is not None else np.isin(tokens, self._special_ids)
        found = np.flatnonzero(wanted[answer_start:]) + answer_start
        if not len(found):
            if self._rule_id is not None:
                raise RowError(f"the scored token {self.rule!r} does not occur in the rendered conversation")
            return len(tokens) - 1
        return int(found[-1])


@lru_cache(maxsize=16)
def _on(day: datetime.date, template: str) -> str:
    """A template whose `strftime_now` gives `day`: Transformers hands templates a function of today's date, and takes
    no other in its place, so a macro of that name stands before the template's first character."""
    if "strftime_now" not in template:
        return template
    replaced = "".join(f".replace({'%' + sign!r}, {day.strftime('%' + sign)!r})" for sign in _DIRECTIVES)
    start = template.lstrip(" \t")
    body = start if start.startswith(("{%", "{#")) else template  # as jinja's lstrip_blocks would have it
    return "{%- macro strftime_now(form) -%}{{ form" + replaced + ' }}{%- endmacro %}{{ "" }}' + body


def _passed_over(key: str, what: str) -> str:
    return (
        f"{what} not read by the model's chat template: the score would be the same without; "
        f"leave it out with --ignore {key}, or use a template that reads it"
    )


def _beside_content(messages: list[dict[str, Any]], tools: str) -> str:
    """All text of turns that is not content, with the tools."""
    beside = [{k: v for k, v in turn.items() if k not in ("role", "content")} for turn in messages]
    return "\n".join([tools, *_texts_of(beside)])


def _texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts_of(inner)


def _calls(calls: Any, place: str) -> list[Any]:
    """Tool calls as templates take them: arguments that are JSON text, as OpenAI gives them, become an object."""
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise RowError(f"{place}: 'tool_calls' must be a list of objects")
    found = []
    for call in calls:
        inner = call.get("function")
        if isinstance(inner, dict) and isinstance(inner.get("arguments"), str):
            with suppress(ValueError):
                call = {**call, "function": {**inner, "arguments": json.loads(inner["arguments"])}}
        found.append(call)
    return found


def cut_left(
    tokens: npt.NDArray[np.int32],
    max_length: int,
    answer_start: int = 0,
    text: str | None = None,
    spans: npt.NDArray[np.int32] | None = None,
) -> TokenSequence:
    """A sequence of at most `max_length` tokens: the last ones, with how many were cut."""
    n_cut = max(0, len(tokens) - max_length)
    if text is not None and spans is not None and n_cut:
        spans = spans[n_cut:]
    return TokenSequence(tokens[n_cut:], n_cut, max(0, answer_start - n_cut), text, spans)


def sentence_end_characters(answer: str) -> list[int]:
    """Where marks and lines of an answer end (see `sentences.MARK`): character offsets behind each, ascending."""
    return sorted({found.end() for found in _POSITION.finditer(answer) if found.end() > 0})


def sentence_ends(sequence: TokenSequence) -> npt.NDArray[np.int64]:
    """Indices of tokens that end a sentence or a line of the last answer, ascending; the scored token last.

    These are the positions an SAE is pretrained on [SARM, sec. 3.1]. Rows without text have only the
    scored token.
    """
    scored = sequence.scored
    if sequence.text is None or sequence.spans is None:
        return np.array([scored], dtype=np.int64)
    first = int(sequence.spans[sequence.answer_start, 0])
    last = int(sequence.spans[scored, 0])
    answer = sequence.text[first:last]
    chars = first + np.array(sentence_end_characters(answer), dtype=np.int64)
    ends = sequence.spans[:, 1]
    tokens = np.minimum(np.searchsorted(ends, chars, side="left"), scored)
    # The bytes of one character may be several tokens: the sentence is over with the last of them.
    last_bytes = np.searchsorted(ends, ends[tokens], side="right") - 1
    tokens = np.where(sequence.spans[last_bytes, 0] < ends[last_bytes], last_bytes, tokens)
    inside = tokens[(tokens >= sequence.answer_start) & (tokens < scored)]
    return np.unique(np.append(inside, scored))
