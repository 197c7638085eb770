"""Whether the items of a list may change places without changing what the text says.

Only lists of names of things qualify: "- warm socks / - a tent". Instructions, sentences, ranks, times and amounts
have an order, or may have one, and so may a list that the text around it counts or points into. The rules
look at words, not at grammar, so each is strict: a list they refuse costs a little of a sample, one
they let through by mistake would be counted as a flaw of the model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["may_change_places", "points_into_lists"]

MOST_WORDS = 6
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_DIGIT = re.compile(r"\d")
_MARKUP = re.compile(r"[*_`~]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DETERMINERS = _words("a an the some any your my our no each every")
# What makes a line a clause, or ties it to another one.
_CLAUSE = _words(
    """
    am are be been being can could did do does don't doesn't didn't had has have is may might must shall should
    was were will won't would can't cannot isn't aren't let let's not never always please you i we they he she it
    its it's i'm you're we're they're me him us them their theirs his her hers this that these those there here
    such same other others another rest remaining both either neither former latter respectively above below
    previous preceding following first firstly second secondly third thirdly fourth fifth next then last lastly
    final finally before after afterwards later earlier until once now again meanwhile also too additionally
    otherwise else more most less least etc so because if when while though although however therefore thus
    instead and or but step steps stage phase day week month year hour minute one two three four five six seven
    eight nine ten dozen half what who whom which why how where
    """
)
_TIMES = _words(
    """
    monday tuesday wednesday thursday friday saturday sunday january february march april june july august
    september october november december spring summer autumn fall winter morning noon afternoon evening night
    midnight breakfast brunch lunch dinner supper dessert appetizer starter today tomorrow yesterday tonight
    beginning middle end start introduction body conclusion childhood adolescence adulthood basics overview small
    medium large low high beginner intermediate advanced gold silver bronze best worst better worse
    """
)
# Words that open an instruction. Many are nouns as well ("water", "salt"): those lists stay as they are, too.
_IMPERATIVES = _words(
    """
    accept access acknowledge act adapt add address adjust adopt advise agree aim allow analyse analyze announce
    answer apologise apologize apply approach arrange arrive ask assemble assess assign assist attach attempt
    attend avoid back bake balance bathe beat become begin bend bite blend block blot boil book boost braise bread
    break breathe brew bring broil browse brown brush build bury buy calculate call calm cancel capture care carry
    carve catch celebrate change charge chase chat check chew chill choose chop clarify clean clear click climb
    close coat collect color colour comb combine come comfort communicate compare complete compliment compose
    compost conduct confirm connect consider consult contact continue contribute control convert cook cool copy
    core count cover crack create crop cross crush cry cube cultivate cut dance deal decide declare decline
    decorate decrease deep define delete deliver demonstrate describe design determine develop dice dig dim dip
    direct discard discover discuss dissolve divide document donate double download drain draw dress drink drive
    drizzle drop dry dust earn eat educate eliminate embrace emphasise emphasize employ empower enable encourage
    end engage enjoy ensure enter erase establish estimate evaluate examine exchange exercise expand expect
    experiment explain explore express extend face fail fasten feed feel fetch fight file fill filter find finish
    fire fit fix flavor flavour flip float flour flush fly focus fold follow forget forgive form foster freeze fry
    gather generate get give glaze glue go grab grate grease greet grill grind grip grow guess guide hammer handle
    hang harvest head heat help hide highlight hire hit hold hop host hug identify ignore imagine implement
    improve include increase inform insert inspect install interview introduce invent invest investigate invite
    involve iron issue join journal judge jump keep kick kill kiss knead knit knock know label laugh launch lay
    lead learn leave lend let level lie lift light limit line list listen live load locate lock log look loosen
    lose love lower maintain make manage marinate mark mash massage master match measure meditate meet melt
    mention microwave mince mind minimise minimize mix model moisten moisturise moisturize monitor mount move mow
    multiply muster nail name negotiate note notice notify nurture obey observe obtain offer oil open operate opt
    order organise organize own pack paint park participate pass paste pat pause pay peel perform persuade phone
    photograph pick pickle pinch place plan plant play plug poach point polish pop position post pound pour
    practice practise praise pray preheat prepare present press prevent price prioritise prioritize process
    produce promise promote proofread propose protect prove provide prune publish pull pump purchase push put
    question quit raise reach react read realise realize recall receive recognise recognize recommend reconsider
    record recover recycle reduce refer reflect refrain refrigerate refuse register regulate reheat reinforce
    relate relax release rely remain remember remind remove rent repair repeat replace reply report request
    require research reserve resist resolve respect respond rest restart return reuse reveal review reward ride
    rinse rip rise roast roll rotate rub run salt saute sauté save saw say scan schedule scoop scrape scratch
    scream screw scrub seal search sear season seat secure see seek select sell send separate serve set settle sew
    shake shape share sharpen shave shine shoot shop shout show shower shred shut sift sign simmer sing sip sit
    skim skip sleep slice slide slow smell smile smoke smooth snap soak soften solve sort sow speak specify spend
    spill spin split spoon spot spray spread sprinkle squeeze stack stand stare start state stay steam steep step
    stick stir stitch stop store strain strengthen stress stretch strip stroll structure study submit subscribe
    subtract suggest summarise summarize supply support surf sweat sweep sweeten swim switch tackle tailor take
    talk tap taste teach tear tell temper tend test text thank thaw think thread throw tidy tie tighten time tip
    toast top toss touch trace track trade train transfer transform translate trap travel treat trick trim trust
    try tuck tune turn twist type understand unplug unscrew update upgrade upload use utilise utilize vacuum value
    vary verify view visit visualise visualize volunteer vote wait wake walk warm warn wash watch water wax wear
    weigh welcome whip whisk widen win wipe wish withdraw wonder work worry wrap wring write yell yield zest zip
    """
)
# In the line that leads into the list: it is a procedure or a ranking.
_ORDERED = re.compile(
    r"\b(?:steps?|stages?|phases?|orders?|ordered|ranks?|ranked|rankings?|sequences?|timeline|chronological(?:ly)?|"
    r"alphabetical(?:ly)?|ascending|descending|process|procedures?|instructions?|directions|recipe|method|schedule|"
    r"itinerary|agenda|priority|priorities|from|top|best|worst|most|least|progress(?:ion|es)?|levels?|how)\b",
    re.IGNORECASE,
)
# Anywhere in the text: a place in the list is pointed at.
_POINTED_AT = re.compile(
    r"\b(?:respectively|former|latter|above|below|in (?:\w+ )?order|"
    r"(?:first|second|third|fourth|fifth|last|final|next|previous)\s+(?:\w+\s+)?(?:one|two|three|items?|options?|points?|"
    r"entry|bullets?|steps?|of)|(?:items?|options?|points?|bullets?|numbers?|steps?)\s+(?:\d|one|two|three))\b",
    re.IGNORECASE,
)


def may_change_places(items: Sequence[str], lead: str) -> bool:
    """Whether `items`, without their markers, are names of things in no order; `lead` is the line before them."""
    return not _ORDERED.search(lead) and all(map(_names_a_thing, items))


def points_into_lists(text: str) -> bool:
    """Whether a text refers to a list by its order: "the first option", "respectively", "the list above"."""
    return _POINTED_AT.search(text) is not None


def _names_a_thing(item: str) -> bool:
    text = _MARKUP.sub("", item).strip()
    if _DIGIT.search(text) or re.search(r"[,;:.!?…&=<>→]", text):
        return False
    words = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
    if not 1 <= len(words) <= MOST_WORDS or not _CLAUSE.isdisjoint(words) or not _TIMES.isdisjoint(words):
        return False
    opens, then = words[0], words[1:2]
    if opens in _DETERMINERS:
        return True
    # "Julienne the carrots": whatever opens the line, an article after it makes it an instruction.
    return opens not in _IMPERATIVES and not (then and (then[0] in _DETERMINERS or then[0].endswith("ly")))
