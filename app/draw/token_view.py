"""A conversation's text with each token shaded by one feature's activation."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["FAINTEST", "FULL", "NEGATIVE", "STRONG", "shade", "shaded_text", "token_html"]

STRONG, NEGATIVE = "47, 125, 208", "208, 100, 60"
FAINTEST, FULL = 0.12, 0.74
"""How far the colours cover the page, at the smallest activation and at the scale's: the text on them keeps a contrast
of 4.5 in both themes."""
LONG_PROMPT = 120  # tokens; a longer prompt is folded away so that the answer is in sight


def token_html(
    pieces: Sequence[str],
    activations: npt.NDArray[np.floating],
    *,
    scale: float,
    scored: int | None = None,
    muted_until: int = 0,
    fold_prompt: bool = False,
) -> str:
    """HTML for `pieces` [T] shaded by `activations` [T]; `scale` is the activation of full colour.

    The scale is given by the caller so that one feature looks alike in every text. Tokens before
    `muted_until` (the prompt) are grey where they are not shaded, with `fold_prompt` folded when they are many; the
    `scored` token is framed.
    All text is escaped. Tokens without a mark are plain text: a long text stays small.
    """
    spans = [
        _token(piece, float(z), scale, i == scored)
        for i, (piece, z) in enumerate(zip(pieces, activations.tolist(), strict=True))
    ]
    prompt, answer = "".join(spans[:muted_until]), "".join(spans[muted_until:])
    if fold_prompt and muted_until > LONG_PROMPT:
        active = int(np.count_nonzero(activations[:muted_until]))
        prompt = (
            f"<details><summary>Prompt, {muted_until:,} tokens, active at {active:,}</summary>"
            f'<span class="prompt">{prompt}</span></details>'
        )
    elif prompt:
        prompt = f'<span class="prompt">{prompt}</span>'
    return f'<style>{_CSS}</style><div class="sarm-tokens">{prompt}{answer}</div>'


def shaded_text(pieces: Sequence[str], activations: npt.NDArray[np.floating], *, scale: float) -> str:
    """HTML of `pieces` [T] as running text, shaded by `activations` [T] where they are not 0; all of it escaped."""
    return "".join(
        html.escape(piece)
        if not z
        else f'<span title="z = {z:.4g}" style="{shade(z, scale)}">{html.escape(piece)}</span>'
        for piece, z in zip(pieces, activations.tolist(), strict=True)
    )


def shade(z: float, scale: float) -> str:
    """The style of something shaded by an activation; `scale` is that of full colour."""
    strength = FAINTEST + (FULL - FAINTEST) * min(1.0, abs(z) / scale) if scale > 0 else 0.5
    return f"background: rgba({STRONG if z > 0 else NEGATIVE}, {strength:.2f})"


def _token(piece: str, z: float, scale: float, scored: bool) -> str:
    text = html.escape(piece).replace("\n", "↵\n")
    if not z and not scored:
        return text
    marks = ' class="scored"' if scored else ""
    if z:
        marks += f' style="{shade(z, scale)}"'
    return f'<span{marks} title="z = {z:.4g}">{text}</span>'


_CSS = """
.sarm-tokens { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.75; font-size: 0.9rem }
.sarm-tokens span { border-radius: 3px; padding: 1px 0 }
/* Words alone are muted: shading that is diluted with them would make one z two colours. On a shade the words are as
   dark as the answer's, or they could not be read. */
.sarm-tokens .prompt { color: rgb(from currentColor r g b / 0.68) }
.sarm-tokens .prompt span { color: rgb(from currentColor r g b / 1) }
.sarm-tokens .scored { outline: 1.5px solid currentColor; outline-offset: 1px }
.sarm-tokens summary { cursor: pointer; opacity: 0.75; font-size: 0.85rem }
"""
