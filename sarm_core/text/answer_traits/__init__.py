"""What can be measured of an answer without a model, to set it against other answers to its prompt.

A family of traits is a class in a file of its own and a line in `TRAITS`; names of features are made of them
(`sarm_core.harvest.pairwise`).
"""

from __future__ import annotations

from sarm_core.text.answer_traits.family import Trait, TraitTable, measured, words_of
from sarm_core.text.answer_traits.language import OtherLanguage
from sarm_core.text.answer_traits.layout import Layout
from sarm_core.text.answer_traits.length import Length
from sarm_core.text.answer_traits.repetition import Repetition
from sarm_core.text.answer_traits.stance import Stance
from sarm_core.text.answer_traits.voice import Voice
from sarm_core.text.answer_traits.wholeness import Wholeness
from sarm_core.text.answer_traits.wording import Wording

__all__ = ["TRAITS", "Trait", "TraitTable", "measured", "words_of"]

TRAITS = (Stance, Wholeness, Layout, Voice, Wording, Repetition, OtherLanguage, Length)
"""The families, in the order in which equals are preferred."""
