"""Descriptions without a person or an API: what sets the top texts of a feature apart from the rest.

Words: n-grams of the answer, and of the sentence that ends at the peak, compared by log-odds with an
informative Dirichlet prior [Monroe, Colaresi and Quinn 2008, eq. 16-22, here for presence in a text: a
Beta prior at the n-gram's overall rate]. Structure: refusals, lists, code, length and the like, compared the
same way. The result is a suggestion, never a label: nobody has looked at it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Background", "PeakExample", "Suggestion", "TextProfile", "log_odds", "suggest"]

PRIOR = 10.0
"""Pseudo-texts the prior is worth"""
LEAST_EXAMPLES = 3
LEAST_Z, LEAST_SHARE = 3.0, 0.3
LEAST_FLAG_Z, LEAST_FLAG_SHARE = 2.0, 0.6
MOST_WORDS, MOST_NEAR, MOST_FLAGS = 4, 2, 4
NEAR_WORDS = 8
END_FLAG = "peaks at the end of the answer"

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_SEGMENT = re.compile(
    r"(?<![.!?…:;])[.!?…:;]++(?=\s|$)|\n+"
)  # a run from its first mark only: see `answer_spans`
_SPECIAL = re.compile(r"<\|[^|<>]{1,40}\|>|</?s>")
_REFUSAL = re.compile(
    r"\b(?:can(?:no|['’])t|won['’]?t|will not|can not|unable to|not able to|not going to|not comfortable)\b"
    r"[^.!?\n]{0,40}\b(?:help|assist|provide|give|answer|share|offer|support|comply|create|write|do|discuss|"
    r"advise|explain|engage|describe|recommend)\w*"
    r"|\bi['’]?m (?:very |really |so )?sorry\b|\bi apologi[sz]e\b|\bas an ai\b|\bi must decline\b",
    re.IGNORECASE,
)
_LIST = re.compile(r"^[^\S\n]*(?:[-*•+]|\d{1,3}[.)])\s+\S", re.MULTILINE)
_HEADING = re.compile(r"^[^\S\n]*(?:#{1,6}\s+\S|\*\*[^*\n]+\*\*:?\s*$)", re.MULTILINE)
_LENGTHS = (
    (15, "under 15 words"),
    (50, "15 to 50 words"),
    (120, "50 to 120 words"),
    (300, "120 to 300 words"),
)


@dataclass(frozen=True)
class TextProfile:
    """What a text has, each counted once: n-grams of its answer, of its sentence ends, and structure flags."""

    grams: frozenset[str]
    ends: tuple[frozenset[str], ...]
    """For each sentence the n-grams of its last words"""
    flags: frozenset[str]

    @classmethod
    def of(cls, messages: Sequence[Mapping[str, Any]], category: str | None = None) -> TextProfile:
        """The profile of a conversation's last turn, or of a plain text."""
        answer = str(messages[-1]["content"]) if messages else ""
        segments = _segments(answer)
        grams = frozenset(gram for words in segments for gram in _grams(words))
        ends = tuple(frozenset(_grams(words[-NEAR_WORDS:])) for words in segments)
        return cls(grams, ends, frozenset(_flags(answer, category)))


@dataclass(frozen=True)
class PeakExample:
    """One top text of a feature: its profile, the text up to and with the peak, and whether that is the end."""

    profile: TextProfile
    before_peak: str
    at_end: bool

    def near(self) -> frozenset[str]:
        """n-grams of the words just before the peak, in its sentence."""
        segments = _segments(_SPECIAL.sub(" ", self.before_peak[-400:]).rstrip())
        return frozenset(_grams(segments[-1][-NEAR_WORDS:])) if segments else frozenset()


@dataclass
class Background:
    """Counts over a sample of the corpus: the rest, against which top texts are compared."""

    n_texts: int = 0
    n_sentences: int = 0
    grams: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    end_share: float | None = None
    """Share of all positions that are the end of an answer; None when only ends were looked at."""

    @classmethod
    def of(cls, profiles: Iterable[TextProfile], end_share: float | None = None) -> Background:
        """Count each text once."""
        counts = cls(end_share=end_share)
        for profile in profiles:
            counts.n_texts += 1
            counts.n_sentences += len(profile.ends)
            counts.grams.update(profile.grams)
            counts.flags.update(profile.flags)
            for end in profile.ends:
                counts.ends.update(end)
        return counts


@dataclass(frozen=True)
class Suggestion:
    """A short description, and the counts it rests on."""

    text: str
    evidence: dict[str, Any]


@dataclass(frozen=True)
class _Found:
    what: str
    top: int
    z: float
    rest_share: float

    def as_dict(self, n: int) -> dict[str, Any]:
        return {
            "what": self.what,
            "top": self.top,
            "of": n,
            "rest_share": round(self.rest_share, 4),
            "z": round(self.z, 2),
        }


def log_odds(top: int, n_top: int, rest: float, n_rest: float) -> float:
    """Standardised log-odds ratio of presence in `top` of n_top texts against `rest` of n_rest.

    The prior is Beta(PRIOR p, PRIOR (1 - p)) on both sides, p being the share overall; at least Jeffreys'.
    """
    p = (top + rest + 0.5) / (n_top + n_rest + 1.0)
    # Below half a text the variance 1 / a would hide even a phrase that all top texts share and no other has.
    a, b = max(0.5, PRIOR * p), max(0.5, PRIOR * (1 - p))
    cells = (top + a, n_top - top + b, rest + a, max(0.0, n_rest - rest) + b)
    delta = math.log(cells[0] / cells[1]) - math.log(cells[2] / cells[3])
    return delta / math.sqrt(sum(1 / cell for cell in cells))


def suggest(examples: Sequence[PeakExample], background: Background) -> Suggestion | None:
    """A description of what `examples` (a feature's top texts) share; None when nothing stands out.

    The examples must be those meant for labelling: the ones kept for checking labels would make the check
    worthless. Top texts that are in the background are not taken out of it; they are few.
    """
    n = len(examples)
    if n < LEAST_EXAMPLES or not background.n_texts:
        return None
    words = _stand_out(
        [e.profile.grams for e in examples], background.grams, background.n_texts, LEAST_Z, LEAST_SHARE
    )
    near = _stand_out(
        [e.near() for e in examples], background.ends, background.n_sentences, LEAST_Z, LEAST_SHARE
    )
    flags = _stand_out(
        [e.profile.flags for e in examples],
        background.flags,
        background.n_texts,
        LEAST_FLAG_Z,
        LEAST_FLAG_SHARE,
    )
    at_end = sum(e.at_end for e in examples)
    if background.end_share is not None and at_end >= LEAST_FLAG_SHARE * n:
        share = background.end_share
        z = log_odds(at_end, n, share * background.n_sentences, background.n_sentences)
        if z >= LEAST_FLAG_Z:
            flags.append(_Found(END_FLAG, at_end, z, share))
    words = _distinct(words, MOST_WORDS)
    near = _distinct([f for f in near if all(f.what != w.what for w in words)], MOST_NEAR)
    flags = sorted(flags, key=lambda f: (-f.z, f.what))[:MOST_FLAGS]
    parts = []
    if words:
        parts.append(", ".join(f'"{f.what}"' for f in words))
    if near:
        parts.append("just after " + " or ".join(f'"{f.what}"' for f in near))
    parts += [f.what for f in flags]
    if not parts:
        return None
    return Suggestion(
        "; ".join(parts),
        {
            "examples": n,
            "words": [f.as_dict(n) for f in words],
            "near_peak": [f.as_dict(n) for f in near],
            "structure": [f.as_dict(n) for f in flags],
        },
    )


def _stand_out(
    tops: Sequence[frozenset[str]], rest: Counter[str], n_rest: int, least_z: float, least_share: float
) -> list[_Found]:
    n = len(tops)
    counts = Counter(what for top in tops for what in top)
    found = []
    for what, top in counts.items():
        if top >= max(LEAST_EXAMPLES, least_share * n):
            z = log_odds(top, n, rest[what], n_rest)
            if z >= least_z:
                found.append(_Found(what, top, z, rest[what] / max(1, n_rest)))
    return sorted(found, key=lambda f: (-f.z, f.what))


def _distinct(found: Sequence[_Found], most: int) -> list[_Found]:
    """The strongest n-grams that do not repeat each other; a longer one stands for its parts when it is
    nearly as frequent."""
    chosen: list[_Found] = []
    for candidate in found:
        at = next((i for i, c in enumerate(chosen) if _overlap(candidate.what, c.what)), None)
        if at is None:
            chosen.append(candidate)
        elif len(candidate.what) > len(chosen[at].what) and candidate.top >= 0.8 * chosen[at].top:
            chosen[at] = candidate
    unique: list[_Found] = []
    for candidate in chosen:
        if not any(_overlap(candidate.what, kept.what) for kept in unique):
            unique.append(candidate)
    return unique[:most]


def _overlap(a: str, b: str) -> bool:
    return not set(a.split()).isdisjoint(b.split())


def _segments(text: str) -> list[list[str]]:
    """Words of each sentence or line, lower case."""
    found = ([w.lower().replace("’", "'") for w in _WORD.findall(part)] for part in _SEGMENT.split(text))
    return [words for words in found if words]


def _grams(words: Sequence[str]) -> Iterable[str]:
    for n in (1, 2, 3):
        for start in range(len(words) - n + 1):
            yield " ".join(words[start : start + n])


def _flags(answer: str, category: str | None) -> Iterable[str]:
    text = answer.strip()
    sentences = [part for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]
    if sentences and _REFUSAL.search(sentences[0]):
        yield "opens with a refusal"
    if sentences and _REFUSAL.search(sentences[-1]):
        yield "ends in refusal wording"
    if len(_LIST.findall(text)) >= 2:
        yield "has a list"
    if "```" in text:
        yield "has code"
    if _HEADING.search(text):
        yield "has headings"
    if text.endswith("?"):
        yield "ends in a question"
    elif text and not re.search(r"[.!…)\]\"'”’`*|:;]$|\d$", text):
        yield "cut off"
    n_words = len(_WORD.findall(text))
    yield next((name for limit, name in _LENGTHS if n_words < limit), "over 300 words")
    if category:
        yield f"prompts of category {category}"
