"""Which words? The section of *Explain one answer* that drops spans of the text and rescores it."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.draw.plain_text import cut, plain
from app.draw.token_view import NEGATIVE, STRONG
from app.session import session
from app.session.engine import Engine
from sarm_core.explain.occlusion import MOST_SPANS, MOST_TOKENS, Agreement, Occlusion, occlude
from sarm_core.text.rows import Conversation

__all__ = ["occlusion_html", "occlusion_rows", "which_words"]

UNITS = {
    "sentence": "sentences",
    "line": "lines",
    "paragraph": "paragraphs",
    "words": "words",
}
KEPT = 8
SHADES = {"the reward": "reward_change", "the feature": "contribution_change"}


def which_words(current: Engine, conversation: Conversation, feature: int) -> None:
    """The section; the model runs when its button is pressed, and never for another steering or feature."""
    st.header("Which words?", anchor=False)
    st.caption(
        ":orange-badge[estimated] the answer is scored again without each piece of it. That is an experiment on other "
        "texts: a piece that goes also moves the scored token's context, and can leave a text that no one would "
        "write and the model never saw. The sums above stay the exact account of the score."
    )
    with st.container(horizontal=True, vertical_alignment="bottom", key="occlusion_form"):
        piece = st.segmented_control(
            "Drop each",
            list(UNITS),
            default="sentence",
            required=True,
            key="occlusion_unit",
            help="A list item is a line; words go in small groups. A code block is one piece.",
        )
        words = 5
        if piece == "words":
            words = int(
                st.number_input(
                    "Words in a group", 1, 50, 5, key="occlusion_words", width=140,
                    help="Groups do not cross sentences. Chinese and Japanese characters count as words.",
                )
            )  # fmt: skip
        unit = UNITS[piece or "sentence"]
        key = (current.fingerprint, current.scorer.facts.dtype, conversation, unit, words)
        kept: dict[object, tuple[Occlusion, float]] = st.session_state.setdefault("occlusions", {})
        go = key not in kept and st.button(
            "Drop and rescore", type="primary", icon=":material/content_cut:", key="occlusion_go"
        )
    place = st.empty()
    if go:
        started = time.perf_counter()
        made = session.guarded(lambda: _dropped(current, conversation, unit, words, place))
        place.empty()
        if made is not None:
            kept[key] = made, time.perf_counter() - started
            while len(kept) > KEPT:
                del kept[next(iter(kept))]
            st.rerun()
        session.show_messages()
    if key not in kept:
        st.caption(
            f"At most {MOST_SPANS} pieces and {MOST_TOKENS:,} tokens; of a longer answer the last ones. Versions share "
            "the work on what they begin with."
        )
        return
    found, seconds = kept[key]
    _show(found, feature, seconds)


def _dropped(
    current: Engine, conversation: Conversation, unit: str, words: int, place: DeltaGenerator
) -> Occlusion:
    """`occlude` with a bar in `place`; Streamlit's own Stop button ends it."""
    bar = place.progress(0.0, text="Cutting the answer up …")

    def show(done: int, total: int) -> None:
        bar.progress(min(1.0, done / max(total, 1)), text=f"Scoring: {done:,} of {total:,} tokens")

    return occlude(current.scorer, conversation, unit=unit, words=words, progress=show)


def _show(found: Occlusion, feature: int, seconds: float) -> None:
    if not len(found):
        st.info("The answer is empty: there is nothing to drop.", icon=":material/info:")
        return
    steering = session.steering().current
    steered = found.steered(steering)
    for note in found.notes:
        st.warning(plain(note[0].upper() + note[1:]) + ".", icon=":material/info:")
    with st.container(horizontal=True, vertical_alignment="center"):
        shade = st.segmented_control(
            "Shade by the change of",
            list(SHADES),
            default="the reward",
            required=True,
            key="occlusion_shade",
            format_func=lambda name: name if name == "the reward" else f"w z of feature #{feature}",
        )
    table = steered.table(feature)
    change = table[SHADES[shade or "the reward"]].to_numpy()
    scale = float(np.nanmax(np.abs(change))) if np.isfinite(change).any() else 0.0
    what = "reward" if shade != "the feature" else f"w z of feature #{feature}"
    text_side, beside = st.columns([3, 2], gap="large")
    with text_side:
        st.caption(
            f"Blue: the {what} falls without it, so this piece holds it up. Orange: it rises. "
            f"Full colour is a change of {scale:.3g}, the largest here"
            + (", under the steering in force." if steering else ".")
        )
        st.html(occlusion_html(steered, change, scale, what, numbered=found.unit != "words"))
    with beside:
        _agreement(steered, feature)
    _table(table, feature)
    st.caption(
        f"{len(found.measured):,} of {len(found):,} pieces dropped, one at a time, in {seconds:.1f} s. Changes do not "
        "add up: pieces that say the same stand in for each other."
    )


def _table(table: pd.DataFrame, feature: int) -> None:
    number = st.column_config.NumberColumn
    st.dataframe(
        occlusion_rows(table),
        hide_index=True,
        key="occlusion_table",
        height=min(420, 38 + 35 * len(table)),
        column_config={
            "span": number("piece", format="%d", width=60),
            "text": st.column_config.TextColumn(width=220),
            "reward_change": number(
                "change of reward", format="%+.4f", help="Reward without the piece − reward of the whole"
            ),
            "z_change": number("change of z", format="%+.4f", help=f"Of feature #{feature}"),
            "contribution_change": number("change of w z", format="%+.4f", help=f"Of feature #{feature}"),
            "reward_attribution": number(
                "w z along it",
                format="%+.4f",
                help="Attribution of the reward: the sum over its tokens, and over the features active at the scored "
                "token, of w times z there",
            ),
            "z_sum": number("sum of z", format="%.4f", help=f"Of feature #{feature}, over its tokens"),
            "z_max": number("largest z", format="%.4f", help=f"Of feature #{feature}, among its tokens"),
        },
    )


def occlusion_rows(table: pd.DataFrame) -> pd.DataFrame:
    """`Occlusion.table` with each text cut to one line."""
    return table.assign(text=[cut(text, 90) for text in table["text"]])


def _agreement(found: Occlusion, feature: int) -> None:
    st.markdown("**Occlusion against attribution**")
    lines = [
        ("reward, with w z along the piece", found.agreement()),
        (f"feature #{feature}, with its summed z", found.agreement(feature)),
        (f"feature #{feature}, with its largest z", found.agreement(feature, by="max")),
    ]
    st.markdown("\n".join(_agreement_lines(lines)))
    st.caption(
        "Spearman's ρ over the dropped pieces. +1 would mean that the pieces where active features respond are "
        "those that are missed most; near 0, as other projects have measured, where a feature responds does not "
        "tell you which words made the score. Do not read one for the other."
    )


def _agreement_lines(lines: Sequence[tuple[str, Agreement]]) -> list[str]:
    """One line a figure; what is undefined is said once, with everything that is."""
    said = [f"- {name}: **{_figure(found)}**" for name, found in lines if not found.reason]
    undefined: dict[str, list[str]] = {}
    for name, found in lines:
        if found.reason:
            undefined.setdefault(f"n = {found.n}: {found.reason}", []).append(name)
    return said + [f"- {'; '.join(names)}: undefined ({why})" for why, names in undefined.items()]


def _figure(agreement: Agreement) -> str:
    return str(agreement).replace("-", "−")


def occlusion_html(
    found: Occlusion, change: npt.NDArray[np.floating], scale: float, what: str, *, numbered: bool
) -> str:
    """HTML of the answer, its spans shaded by `change` [n] (without − whole); `scale` is the change of full colour.

    A span that was not dropped (NaN) is faded. All text is escaped; `numbered` puts the table's number before
    each span.
    """
    parts = []
    for number, (span, value) in enumerate(zip(found.spans, change.tolist(), strict=True), start=1):
        text = span.of(found.answer)
        body = text.strip()
        indent, gap = text[: len(text) - len(text.lstrip())] if body else "", text[len(text.rstrip()) :]
        mark = f"<sup>{number}</sup>" if numbered else ""
        if not np.isfinite(value):
            style, title = ' class="left-out"', f"piece {number}: not dropped"
        else:
            strength = min(1.0, abs(value) / scale) if scale > 0 else 0.0
            colour = STRONG if value < 0 else NEGATIVE
            style = f' style="background: rgba({colour}, {0.62 * strength:.2f})"'
            title = f"piece {number}: without it the {what} changes by {value:+.4g}".replace("-", "−")
        parts.append(
            f'{indent}<span{style} title="{html.escape(title)}">{mark}{html.escape(body)}</span>{gap}'
        )
    return f'<style>{_CSS}</style><div class="sarm-occlusion">{"".join(parts)}</div>'


_CSS = """
.sarm-occlusion { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.8; font-size: 0.9rem }
.sarm-occlusion span { border-radius: 3px; padding: 2px 1px; box-decoration-break: clone;
  -webkit-box-decoration-break: clone }
.sarm-occlusion .left-out { opacity: 0.5 }
.sarm-occlusion sup { font-size: 0.62rem; opacity: 0.7; margin-right: 0.15rem; user-select: none;
  font-variant-numeric: tabular-nums }
"""
