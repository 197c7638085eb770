"""A stored example as HTML: as a chat, or as a window of its tokens shaded by the feature, with what is known of it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from app.draw.token_view import FAINTEST, FULL, STRONG, token_html
from app.features.answer_chat import CHAT_CSS, answer_of, answer_start, chat_html, fires_inside
from feature_db.features.evidence import StoredExample
from feature_db.features.same_prompt import QuietAnswer

__all__ = [
    "CONTEXTS",
    "STRENGTHS",
    "Context",
    "Window",
    "example_html",
    "examples_html",
    "strength",
    "window",
]

Context = Literal["chat", "short", "long", "full"]
CONTEXTS: dict[Context, str] = {
    "chat": "Chat",
    "short": "Tokens at the peak",
    "long": "Tokens of the answer",
    "full": "Tokens of all",
}
BEFORE, AFTER = 28, 12  # tokens around the peak in a short context
FAR = 120  # on each side, where a "long" context does not know the answer's start

STRENGTHS = {"strong": 0.5, "medium": 0.25, "weak": 0.0}
"""Least share of the feature's largest |z| that each word stands for."""


@dataclass(frozen=True)
class Window:
    """Tokens `start` to `stop` of an example's text; `answer` is where the last answer starts, if known."""

    start: int
    stop: int
    answer: int | None


def window(example: StoredExample, context: Context) -> Window:
    """Which tokens to show. A silent text has no peak: its short context is how the answer begins."""
    tokens = example.text.tokens or []
    n = len(tokens)
    answer = answer_start(tokens, example.text.messages)
    peak = example.peak_position if example.peak_position is not None and example.peak_position < n else None
    if context == "full":
        return Window(0, n, answer)
    if context == "long" and answer is not None:
        # A peak in the prompt (foreign harvests) must not fall outside.
        return Window(min(answer, peak if peak is not None else n), n, answer)
    before, after = (BEFORE, AFTER) if context == "short" else (FAR, FAR)
    if peak is None:
        start = answer or 0
        return Window(start, min(n, start + before + after), answer)
    return Window(max(0, peak - before), min(n, peak + after + 1), answer)


def strength(activation: float, scale: float) -> str:
    """An activation in one word: "strong", "medium" or "weak" by its share of the largest, "negative", "silent"."""
    if activation <= 0:
        return "negative" if activation else "silent"
    return next(word for word, least in STRENGTHS.items() if activation >= least * scale)


def examples_html(
    examples: Sequence[StoredExample],
    context: Context,
    *,
    scale: float,
    quiet: Mapping[int, QuietAnswer] | None = None,
    first: int = 1,
) -> str:
    """Examples one under the other, numbered from `first`, under a legend of what is marked in them.

    `quiet` is `quiet_answers` of them, by text; `scale` is the activation of full colour, the same for every text of a
    feature.
    """
    items = (
        example_html(example, context, scale=scale, place=place, quiet=(quiet or {}).get(example.text.id))
        for place, example in enumerate(examples, start=first)
    )
    return (
        f"<style>{CHAT_CSS}{_CSS}</style>{_legend(examples, context, scale)}"
        f'<div class="sarm-examples">{"".join(items)}</div>'
    )


def example_html(
    example: StoredExample,
    context: Context,
    *,
    scale: float,
    place: int,
    quiet: QuietAnswer | None = None,
) -> str:
    """One example without the style sheet; `place` is its number in the list. All text of the store is escaped."""
    chat = context == "chat" and bool(example.text.messages)
    body = chat_html(example, quiet, scale=scale) if chat else _tokens(example, context, scale)
    return f'<div class="sarm-example">{_head(example, scale, place)}{body}</div>'


def _legend(examples: Sequence[StoredExample], context: Context, scale: float) -> str:
    """What the colours and the mark mean; "" where there are none."""
    tokens = context != "chat"
    said = []
    if tokens or any(fires_inside(example) for example in examples):
        shades = ", ".join(f"rgba({STRONG}, {strength})" for strength in (FAINTEST, FULL))
        said.append(
            f'<span>0</span><i style="background: linear-gradient(90deg, {shades})"></i><span>its largest, '
            "in every text alike</span>"
        )
    if tokens:
        said.append("<span>framed: where it was counted</span>")
    elif any(answer_of(example).at_end is not None for example in examples):
        said.append('<span><b class="end"></b> the end, where the answer is scored</span>')
    if not said:
        return ""
    return f'<div class="sarm-legend" title="full colour: z = {scale:.3g}">{" ".join(said)}</div>'


def _head(example: StoredExample, scale: float, place: int) -> str:
    word = strength(example.activation, scale) if example.kind != "silent" else "silent"
    facts = "".join(f"<span>{fact}</span>" for fact in _facts(example, scale))
    return (
        f'<div class="head"><b>{place}</b><span class="word">{word}</span>'
        f"<details><summary>figures</summary><div>{facts}</div></details></div>"
    )


def _facts(example: StoredExample, scale: float) -> list[str]:
    text = example.text
    if example.kind == "silent":
        facts = ["silent at every counted position"]
    else:
        facts = [f"z = {example.activation:.4g}"]
        if scale > 0:
            facts.append(f"{abs(example.activation) / scale:.0%} of max")
        if example.peak_position is not None:
            of = f" of {len(text.tokens)}" if text.tokens else ""
            facts.append(f"token {example.peak_position + 1}{of}")
        if example.token is not None:
            facts.append(f"at “{html.escape(example.token)}”")
        if example.band_low is not None and example.band_high is not None:
            facts.append(f"band {example.band_low:.3g} ≤ z &lt; {example.band_high:.3g}")
    return facts + [html.escape(str(part)) for part in (text.category, text.source) if part]


def _tokens(example: StoredExample, context: Context, scale: float) -> str:
    text = example.text
    if not text.tokens:
        turns = "".join(
            f'<div class="turn"><span>{html.escape(str(turn.get("role", "")))}</span>'
            f"{html.escape(str(turn.get('content', '')))}</div>"
            for turn in text.messages
        )
        return turns or "<div>This text came as token ids only; nothing can be shown of it.</div>"
    shown = window(example, "full" if context == "chat" else context)
    values: npt.NDArray[np.float32] = np.zeros(len(text.tokens), dtype=np.float32)
    if example.values is not None and len(example.values) == len(values):
        values = example.values
    peak = example.peak_position
    body = token_html(
        text.tokens[shown.start : shown.stop],
        values[shown.start : shown.stop],
        scale=scale,
        scored=peak - shown.start if peak is not None and shown.start <= peak < shown.stop else None,
        muted_until=max(0, (shown.answer or 0) - shown.start),
    )
    before = f'<span class="cut">{shown.start} tokens before</span>' if shown.start else ""
    left = len(text.tokens) - shown.stop
    after = f'<span class="cut">{left} tokens after</span>' if left else ""
    return f"{before}{body}{after}"


_CSS = """
.sarm-example { padding: 0.7rem 0 0.9rem; border-top: 1px solid rgba(128, 140, 155, 0.28) }
.sarm-example .head { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 0.6rem; font-size: 0.8rem;
  color: rgb(from currentColor r g b / 0.75); font-variant-numeric: tabular-nums; margin-bottom: 0.3rem }
.sarm-example .head .word { padding: 0 0.45rem; border-radius: 1rem; border: 1px solid rgba(128, 140, 155, 0.5);
  font-size: 0.74rem }
.sarm-example .head details[open] { flex: 1 0 100% }
.sarm-example .head summary { font-size: 0.74rem }
.sarm-example .head div { display: flex; flex-wrap: wrap; gap: 0 0.9rem }
.sarm-example .cut { font-size: 0.75rem; opacity: 0.6; font-style: italic }
.sarm-example .turn { white-space: pre-wrap; overflow-wrap: anywhere; margin-bottom: 0.4rem }
.sarm-example .turn span { display: block; font-size: 0.75rem; opacity: 0.6 }
.sarm-legend { display: flex; flex-wrap: wrap; align-items: center; gap: 0.1rem 0.5rem; font-size: 0.8rem;
  color: rgb(from currentColor r g b / 0.8) }
.sarm-legend i { flex: 0 0 4.5rem; height: 0.7rem; border-radius: 3px }
.sarm-legend .end { display: inline-block; width: 0.5rem; height: 0.5rem; margin: 0 0.3rem 0 0.4rem;
  border: 1.5px solid currentColor; border-radius: 1px; transform: rotate(45deg) }
"""
