"""Whether an answer begins and ends as a whole one does."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sarm_core.text.answer_traits.family import Family, Reading, Trait

__all__ = ["Wholeness"]

_WHOLE_END = re.compile(r"[.!?…)\]\"'”’`*|}]\s*$|\d$")
_OPENS = re.compile(
    r"^\W*(?:sure|of course|certainly|absolutely|yes|no|here(?:['’]s| is| are)|great|thank|hello|hi|okay|ok|well)\b",
    re.IGNORECASE,
)


class Wholeness(Family):
    """The mark at the end, and a greeting or a yes at the beginning."""

    traits = (
        Trait(
            "cut off",
            "not cut off",
            "unfinished, truncated, incomplete, breaks off, stops in the middle, ends abruptly, half a sentence",
        ),
        Trait(
            "full stop at the end",
            "no full stop at the end",
            "finished sentence, ends properly, final period, punctuation at the end",
        ),
        Trait(
            "opens with a phrase",
            "opens at once",
            "sure, of course, certainly, opening phrase, greeting, preamble, hello",
        ),
        Trait(
            "begins in lower case", "begins with a capital", "lower case, no capital letter, uncapitalised"
        ),
    )

    @classmethod
    def measure(cls, reading: Reading) -> Sequence[float]:
        text = reading.answer
        return (
            bool(text) and not _WHOLE_END.search(text[-20:]),
            text.endswith("."),
            bool(_OPENS.match(text[:60])),
            text[:1].islower(),
        )
