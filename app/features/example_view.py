"""A stored example as HTML: a window of its text, shaded by the feature, with what is known of it above."""

from __future__ import annotations

import html
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from app.draw.token_view import FAINTEST, FULL, STRONG, token_html
from feature_db.features.evidence import StoredExample

__all__ = ["CONTEXTS", "Context", "Window", "answer_start", "colour_legend", "example_html", "window"]

Context = Literal["short", "long", "full"]
CONTEXTS: dict[Context, str] = {
    "short": "around the peak",
    "long": "the whole answer",
    "full": "the whole conversation",
}
BEFORE, AFTER = 28, 12  # tokens around the peak in a short context
FAR = 120  # on each side, where a "long" context does not know the answer's start


@dataclass(frozen=True)
class Window:
    """Tokens `start` to `stop` of an example's text; `answer` is where the last answer starts, if known."""

    start: int
    stop: int
    answer: int | None


def answer_start(tokens: Sequence[str], messages: Sequence[Mapping[str, Any]]) -> int | None:
    """Index of the first token of the last message; None when the tokens do not spell it out."""
    content = str(messages[-1].get("content", "")).strip() if messages else ""
    at = "".join(tokens).rfind(content) if content else -1
    if at < 0:
        return None
    return bisect_right(list(accumulate(map(len, tokens))), at)


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


def example_html(example: StoredExample, context: Context, *, scale: float, place: int) -> str:
    """One example; `scale` is the activation of full colour and the same for every text of a feature.

    `place` is its number in the list, from 1. All text of the store is escaped.
    """
    return (
        f'<div class="sarm-example"><div class="head"><b>{place}</b>{"".join(_facts(example, scale))}</div>'
        f"{_body(example, context, scale)}</div>"
    )


def colour_legend(scale: float) -> str:
    """What the colours mean, once above a list of examples."""
    shades = ", ".join(f"rgba({STRONG}, {strength})" for strength in (FAINTEST, FULL))
    return (
        f"<style>{_CSS}</style>"
        '<div class="sarm-legend"><span>0</span>'
        f'<i style="background: linear-gradient(90deg, {shades})"></i>'
        f"<span>z = {scale:.3g} in every text of this feature · hover a token for its z · "
        "framed: where z was counted</span></div>"
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
    facts += [html.escape(str(part)) for part in (text.category, text.source) if part]
    return [f"<span>{fact}</span>" for fact in facts]


def _body(example: StoredExample, context: Context, scale: float) -> str:
    text = example.text
    if not text.tokens:
        turns = "".join(
            f'<div class="turn"><span>{html.escape(str(turn.get("role", "")))}</span>'
            f"{html.escape(str(turn.get('content', '')))}</div>"
            for turn in text.messages
        )
        return turns or "<div>This text came as token ids only; nothing can be shown of it.</div>"
    shown = window(example, context)
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
.sarm-example .head { display: flex; flex-wrap: wrap; gap: 0 0.9rem; font-size: 0.82rem; opacity: 0.75;
  font-variant-numeric: tabular-nums; margin-bottom: 0.25rem }
.sarm-example .cut { font-size: 0.75rem; opacity: 0.6; font-style: italic }
.sarm-example .turn { white-space: pre-wrap; overflow-wrap: anywhere; margin-bottom: 0.4rem }
.sarm-example .turn span { display: block; font-size: 0.75rem; opacity: 0.6 }
.sarm-legend { display: flex; align-items: center; gap: 0.5rem; font-size: 0.8rem;
  color: rgb(from currentColor r g b / 0.8) }
.sarm-legend i { flex: 0 0 4.5rem; height: 0.7rem; border-radius: 3px }
"""
