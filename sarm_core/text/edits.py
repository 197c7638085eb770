"""Changes of an answer that a person asks for by name, to see what the reward says of them: shorter, no apology.

Unlike `rewrites` they change what is said. A change returns the new text, or None where there is nothing to change.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sarm_core.text.answer_spans import answer_spans, without

__all__ = ["EDITS", "Edit", "half_as_long", "without_apology"]

Edit = Callable[[str], str | None]

_SORRY = (
    r"(?:(?:i['’]m|i am|we['’]re|we are)\s+(?:(?:very|so|really|truly|deeply)\s+)?sorry"
    r"|i\s+(?:(?:sincerely|really)\s+)?apologi[sz]e|(?:my|our)\s+(?:sincere\s+)?apologies|apologies|sorry)"
)
_LEAD = re.compile(rf"{_SORRY}(?:\s+about\s+that)?\s*(?:,\s*but\b|\bbut\b|,(?=\s*i\b)|:)\s*", re.IGNORECASE)
_WHOLE = re.compile(rf"\W*{_SORRY}\b[^,;]{{0,80}}\W*", re.IGNORECASE)


def without_apology(text: str) -> str | None:
    """Sentences that only apologise go; of others the words before what follows them ("I'm sorry, but ...").

    What follows begins with a capital letter then. Code is left alone, as no sentence in it apologises.
    """
    changed = text
    for span in reversed(answer_spans(text, "sentences")):
        sentence = span.of(text)
        if "```" in sentence:
            continue
        lead = _LEAD.match(sentence.lstrip())
        if lead is not None:
            start = span.start + len(sentence) - len(sentence.lstrip())
            rest = changed[start + lead.end() :]
            changed = changed[:start] + rest[:1].upper() + rest[1:]
        elif _WHOLE.fullmatch(sentence):
            changed = without(changed, span)
    changed = changed.strip()
    return changed if changed and changed != text.strip() else None


def half_as_long(text: str) -> str | None:
    """The first sentences, up to half of the characters and one at least; of one sentence half of its words."""
    body = text.strip()
    spans = answer_spans(body, "sentences")
    if len(spans) < 2:
        spans = answer_spans(body, "words", 1)
    if len(spans) < 2:
        return None
    end = max((span.stop for span in spans if 2 * span.stop <= len(body)), default=spans[0].stop)
    return body[:end].rstrip()


EDITS: dict[str, Edit] = {
    "without the apology": without_apology,
    "half as long": half_as_long,
}
"""By the name that a person reads."""
