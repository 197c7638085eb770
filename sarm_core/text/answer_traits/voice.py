"""Whom an answer speaks to and of, and how lively."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sarm_core.text.answer_traits.family import Family, Reading, Trait

__all__ = ["Voice"]

_I = {"i", "i'm", "i've", "i'll", "i'd", "me", "my", "mine", "myself"}
_YOU = {"you", "you're", "you've", "you'll", "you'd", "your", "yours", "yourself"}
_WE = {"we", "we're", "we've", "we'll", "us", "our", "ours", "let's"}
_NO = re.compile(r"\b(?:not|never|no|none|nothing|cannot|without)\b|n['’]t\b", re.IGNORECASE)


class Voice(Family):
    """Pronouns, negations and marks, a word."""

    traits = (
        Trait("speaks of I", "speaks less of I", "first person, I, talks about itself, myself, as an AI, me"),
        Trait(
            "speaks to you",
            "speaks less to you",
            "second person, you, addresses the reader, talks to the reader, your",
        ),
        Trait("speaks of we", "speaks less of we", "we, us, our, inclusive, together"),
        Trait("negates more", "negates less", "negation, not, denial, never, don't"),
        Trait(
            "exclaims",
            "exclaims less",
            "exclamation mark, exclamation marks, excited, enthusiastic, enthusiasm, shouting",
        ),
        Trait("asks questions", "asks no questions", "question marks, questions, rhetorical question"),
    )

    @classmethod
    def measure(cls, reading: Reading) -> Sequence[float]:
        text, words = reading.answer, reading.words
        return tuple(
            reading.rate(n)
            for n in (
                *(sum(word in group for word in words) for group in (_I, _YOU, _WE)),
                len(_NO.findall(text)),
                text.count("!"),
                text.count("?"),
            )
        )
