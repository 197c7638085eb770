"""A stored example as a chat: what was asked, the whole answer, and beside it one in which the feature is silent."""

from __future__ import annotations

import html
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from app.draw.token_view import shade, shaded_text
from feature_db.features.evidence import StoredExample
from feature_db.features.same_prompt import QuietAnswer

__all__ = ["CHAT_CSS", "Answer", "answer_of", "answer_start", "asked_html", "chat_html", "fires_inside"]

LONG_QUESTION, QUESTION_SHOWN = 240, 170
"""Characters of a prompt from which it is folded, and of it that then stay in sight"""
MOST_LINES = 4
"""Lines of a prompt that stay in sight"""
LONG_ANSWER = 1_500
"""Characters from which an answer scrolls by itself"""
ROLES = {"user": "asked", "assistant": "answered before", "system": "told beforehand"}


@dataclass(frozen=True)
class Answer:
    """The last turn of a text, and where the feature is active in it."""

    content: str
    pieces: tuple[str, ...] = ()
    """The answer as tokens, without those of the chat template; empty where they do not spell it"""
    inside: npt.NDArray[np.float32] | None = None
    """z of each of `pieces`; None where the store has none, or all are 0"""
    at_end: float | None = None
    """The largest |z|, with its sign, from the answer's end on: the scored token. None where it is not known."""


def answer_start(tokens: Sequence[str], messages: Sequence[Mapping[str, Any]]) -> int | None:
    """Index of the first token of the last message; None when the tokens do not spell it out."""
    span = _span(tokens, messages)
    return None if span is None else span[0]


def _span(tokens: Sequence[str], messages: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    """First token of the last message, and the one after its last."""
    content = _content(messages)
    at = "".join(tokens).rfind(content) if content else -1
    if at < 0:
        return None
    ends = list(accumulate(map(len, tokens)))
    return bisect_right(ends, at), bisect_left(ends, at + len(content)) + 1


def _content(messages: Sequence[Mapping[str, Any]]) -> str:
    return str(messages[-1].get("content") or "").strip() if messages else ""


def answer_of(example: StoredExample) -> Answer:
    """The answer of an example, with what the harvest kept of the feature in it."""
    content, tokens = _content(example.text.messages), example.text.tokens or []
    span = _span(tokens, example.text.messages)
    values = example.values
    if span is None or values is None or len(values) != len(tokens):
        return Answer(content)
    start, stop = span
    inside, after = values[start:stop], values[stop:]
    at_end = float(after[np.argmax(np.abs(after))]) if len(after) else None
    return Answer(content, tuple(tokens[start:stop]), inside if inside.any() else None, at_end)


def fires_inside(example: StoredExample) -> bool:
    """Whether the feature is active at a token of the answer itself, rather than at its end only."""
    return answer_of(example).inside is not None


def chat_html(example: StoredExample, quiet: QuietAnswer | None, *, scale: float) -> str:
    """The prompt in grey and the answer; with `quiet`, that answer to the same prompt beside it.

    All text of the store is escaped. Tokens are shaded where the feature is active inside the answer; the scored token,
    which belongs to no word, is one mark behind it.
    """
    answer = answer_of(example)
    body = html.escape(answer.content)
    if answer.inside is not None:
        body = shaded_text(answer.pieces, answer.inside, scale=scale)
    body += _end(answer.at_end, scale)
    asked, long = asked_html(example.text.messages), len(answer.content) > LONG_ANSWER
    if quiet is None:
        return f'{asked}<div class="answers">{_said("loud", "", body, long=long)}</div>'
    left = _said("loud", '<div class="how">It fires here</div>', body, long=long)
    other = _content(quiet.text.messages)
    right = _said("quiet", _how(quiet, example), html.escape(other), long=len(other) > LONG_ANSWER)
    return f'{asked}<div class="answers two">{left}{right}</div>'


def asked_html(messages: Sequence[Mapping[str, Any]]) -> str:
    """The turns before the last, folded where they are long; "" where there are none."""
    turns = [(str(turn.get("role") or ""), str(turn.get("content") or "").strip()) for turn in messages[:-1]]
    if not turns:
        return ""
    lines = [
        f"<p>{f'<i>{html.escape(ROLES.get(role, role))}</i>' if len(turns) > 1 or role != 'user' else ''}"
        f"{html.escape(text)}</p>"
        for role, text in turns
    ]
    n_lines = sum(text.count("\n") + 1 for _, text in turns)
    if sum(len(text) for _, text in turns) <= LONG_QUESTION and n_lines <= MOST_LINES:
        return f'<div class="asked">{"".join(lines)}</div>'
    last = " ".join(turns[-1][1].split())
    first = last[:QUESTION_SHOWN].rstrip() + ("…" if len(last) > QUESTION_SHOWN else "")
    return (
        f'<details class="asked"><summary><span>{html.escape(first)}</span> <i>whole prompt</i></summary>'
        f"{''.join(lines)}</details>"
    )


def _said(kind: str, how: str, body: str, *, long: bool) -> str:
    scrolls = ' tabindex="0" role="group" aria-label="long answer"' if long else ""
    return (
        f'<div class="answer {kind}">{how}'
        f'<div class="said{" long" if long else ""}"{scrolls}>{body}</div></div>'
    )


def _how(quiet: QuietAnswer, example: StoredExample) -> str:
    """How much of the feature the other answer has, in words; figures in the tooltip."""
    if quiet.activation == 0:
        words = "silent here" if quiet.whole else "silent at the end here"
        figures = "z = 0 " + (
            "at every counted position" if quiet.whole else "at its end; inside it the store kept nothing"
        )
    else:
        words = "weaker here"
        share = quiet.activation / max(abs(example.activation), 1e-12)
        figures = f"|z| = {quiet.activation:.4g}, {share:.0%} of the answer beside it"
    if not quiet.same_source:
        figures += f"; of another source: {quiet.text.source or 'not named'}"
    return f'<div class="how" title="{html.escape(figures)}">Same prompt: {words}</div>'


def _end(z: float | None, scale: float) -> str:
    """The mark of the scored token."""
    if z is None:
        return ""
    words = f"scored here: z = {z:.4g}" if z else "scored here, where the feature is silent"
    style = f' style="{shade(z, scale)}"' if z else ""
    return f'<span class="end" role="img" title="{words}" aria-label="{words}"{style}></span>'


CHAT_CSS = """
.sarm-examples { container: examples / inline-size }
.sarm-example .asked { color: rgb(from currentColor r g b / 0.68); font-size: 0.86rem; line-height: 1.5;
  overflow-wrap: anywhere; margin-bottom: 0.45rem }
.sarm-example .asked p { margin: 0; font-size: inherit; white-space: pre-wrap }
.sarm-example .asked p + p { margin-top: 0.3rem }
.sarm-example .asked i { font-style: normal; font-size: 0.72rem; margin-right: 0.4rem;
  text-decoration: underline dotted; text-underline-offset: 0.2em }
.sarm-example .asked p i { text-decoration: none; font-weight: 600 }
.sarm-example summary { cursor: pointer }
.sarm-example .asked[open] summary span { display: none }
.sarm-example .answers { display: grid; gap: 0.6rem 0.9rem }
.sarm-example .answer { min-width: 0 }
.sarm-example .said { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.9rem; line-height: 1.6;
  padding: 0.5rem 0.75rem; border-radius: 0.2rem 0.8rem 0.8rem 0.8rem; background: rgba(128, 140, 155, 0.12) }
.sarm-example .said.long { max-height: 24rem; overflow-y: auto }
.sarm-example .said span { border-radius: 3px; padding: 1px 0 }
.sarm-example .quiet .said { background: none; box-shadow: inset 0 0 0 1px rgba(128, 140, 155, 0.34) }
.sarm-example .how { font-size: 0.78rem; color: rgb(from currentColor r g b / 0.72); margin-bottom: 0.2rem }
.sarm-example .said .end { display: inline-block; width: 0.55em; height: 0.55em; padding: 0; margin-left: 0.5em;
  vertical-align: 0.05em; border: 1.5px solid currentColor; border-radius: 1px; transform: rotate(45deg) }
@container examples (min-width: 500px) {
  .sarm-example .answers.two { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) }
}
"""
