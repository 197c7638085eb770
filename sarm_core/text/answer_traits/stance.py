"""What an answer does for who asked: refuses, apologises, hedges, warns, flatters, scolds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sarm_core.text.answer_spans import answer_spans
from sarm_core.text.answer_traits.family import Family, Reading, Trait
from sarm_core.text.text_traits import says_no

__all__ = ["Stance"]


def _any(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


_SORRY = _any(r"sorry|apologi[sz]e|apologies|regret|unfortunately|i['’]m afraid")
_HEDGE = _any(
    r"may|might|perhaps|possibly|probably|it depends|depends on|could be|generally|usually|often|in some cases|"
    r"not sure|seems?|appears?|likely|tends? to|roughly|about|approximately"
)
_SURE = _any(
    r"definitely|certainly|absolutely|always|never|guaranteed?|without (?:a )?doubt|of course|obviously|clearly|"
    r"exactly|trust me|no question"
)
_ELSEWHERE = _any(
    r"consult|professionals?|doctors?|physicians?|lawyers?|licensed|specialists?|experts?|therapists?|pharmacists?|"
    r"poison control|emergency|authorities|seek (?:medical )?help"
)
_WARNS = _any(
    r"warning|caution|careful(?:ly)?|danger(?:ous)?|risks?|avoid|harmful|unsafe|illegal|never mix|important to"
)
_RUDE = _any(
    r"stupid|idiot(?:ic)?|dumb|duh|pathetic|lazy|ridiculous|useless|moron|waste of|embarrassing|shut up|clueless|"
    r"grow up|seriously|honestly"
)
_PRAISE = _any(
    r"(?:great|wonderful|excellent|brilliant|fantastic|amazing|lovely|superb|fascinating|smart|thoughtful) "
    r"(?:\w+ )?(?:question|idea|choice|thinking|job|work|instincts?|taste|point)|what an? (?:\w+ )?(?:question|idea)|"
    r"well done|congratulations|i love (?:that|this|your|how)"
)
_KIND = _any(
    r"hope (?:this|that|it|you)|happy to|glad|you['’]re welcome|take care|good luck|no worries|thank(?:s| you)|"
    r"don['’]t worry"
)
_PREACHES = _any(
    r"should(?:n['’]t)?|ought|must(?:n['’]t)?|responsib\w+|ethical|moral(?:ly)?|respect(?:ful)?|remember that"
)
_LET_ME = _any(
    r"let me know|would you like|do you want|could you (?:tell|share|clarify)|what (?:kind|sort|exactly)|"
    r"which (?:one|of)"
)


class Stance(Family):
    """Whether the first or last sentence refuses; how often the rest is said, a word."""

    traits = (
        Trait(
            "refuses",
            "does not refuse",
            "refusal, refusing, declines, rejects, says no, will not answer, cannot help, turns down",
        ),
        Trait(
            "apologises",
            "does not apologise",
            "apology, apologies, sorry, saying sorry, regret, unfortunately",
        ),
        Trait(
            "hedges more",
            "hedges less",
            "hedging, cautious, perhaps, maybe, might, uncertain, it depends, vague, unsure, qualifies",
        ),
        Trait(
            "surer of itself",
            "less sure of itself",
            "certain, confident, sure of itself, definitely, certainty, absolutely, assertive",
        ),
        Trait(
            "sends to a professional",
            "sends to no professional",
            "see a doctor, consult an expert, ask a lawyer, professional help, specialist, therapist, seek help",
        ),
        Trait(
            "warns more",
            "warns less",
            "warning, warnings, caution, danger, risk, be careful, safety, harmful",
        ),
        Trait(
            "rude",
            "not rude",
            "insult, insults, impolite, insulting, mean, hostile, nasty, offensive, disrespectful, sarcastic, contempt",
        ),
        Trait(
            "praises who asked",
            "does not praise who asked",
            "praise, compliment, great question, flattery, well done, congratulates",
        ),
        Trait(
            "kind words", "no kind words", "friendly, warm, kindness, good luck, polite, thanks, pleasantries"
        ),
        Trait(
            "tells what one should do",
            "tells less what one should do",
            "should, must, moralising, advice on morals, duty, ought to, lecturing, instructs",
        ),
        Trait(
            "asks back",
            "does not ask back",
            "follow-up question, asks for clarification, clarifying question, asks for details, counter question",
        ),
    )

    @classmethod
    def measure(cls, reading: Reading) -> Sequence[float]:
        text = reading.answer
        spans = answer_spans(text)
        refuses = bool(spans) and (says_no(spans[0].of(text)) or says_no(spans[-1].of(text)))
        rates = (_HEDGE, _SURE, _ELSEWHERE, _WARNS, _RUDE, _PRAISE, _KIND, _PREACHES)
        return (
            refuses,
            bool(_SORRY.search(text)),
            *(reading.rate(len(pattern.findall(text))) for pattern in rates),
            len(_LET_ME.findall(text)) + text.endswith("?"),
        )
