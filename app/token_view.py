"""An answer's text with each token shaded by one feature's activation."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["token_html"]

STRONG, NEGATIVE = "47, 125, 208", "208, 100, 60"


def token_html(
    pieces: Sequence[str],
    activations: npt.NDArray[np.floating],
    *,
    scale: float,
    scored: int | None = None,
    muted_until: int = 0,
) -> str:
    """HTML for `pieces` [T] shaded by `activations` [T]; `scale` is the activation of full colour.

    The scale is given by the caller so that one feature looks alike in every text. Tokens before
    `muted_until` (the prompt) are grey; the `scored` token is framed. All text is escaped.
    """
    spans = []
    for i, (piece, z) in enumerate(zip(pieces, activations.tolist(), strict=True)):
        style = ""
        if z:
            strength = 0.12 + 0.68 * min(1.0, abs(z) / scale) if scale > 0 else 0.5
            style = f"background: rgba({STRONG if z > 0 else NEGATIVE}, {strength:.2f})"
        classes = " ".join(
            name for name, on in (("prompt", i < muted_until), ("scored", i == scored)) if on
        )
        # Special tokens would read as tags to the eye as well: show them in angle quotes' own escapes.
        text = html.escape(piece).replace("\n", "↵\n")
        spans.append(
            f'<span class="{classes}" style="{style}" title="z = {z:.4g}">{text}</span>'
            if style or classes
            else text
        )
    return f'<style>{_CSS}</style><div class="sarm-tokens">{"".join(spans)}</div>'


_CSS = """
.sarm-tokens { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.75; font-size: 0.95rem }
.sarm-tokens span { border-radius: 3px; padding: 1px 0 }
.sarm-tokens .prompt { opacity: 0.6 }
.sarm-tokens .scored { outline: 1.5px solid currentColor; outline-offset: 1px }
"""
