"""The row shapes people have: one class each, all of them in `SHAPES`.

A new one is a subclass of `Shape` in a file of its own and its name in the list below; it is then read by every
command and page, and documented in `docs/formats.md` (a test says when that is out of date).
"""

from __future__ import annotations

from sarm_core.text.shapes.answer_list import AnswerList
from sarm_core.text.shapes.arena import ArenaBattle, ArenaTable, JudgedResponses
from sarm_core.text.shapes.base import Fields, Preferred, RowAnswer, RowAnswers, Shape
from sarm_core.text.shapes.best_of_k import BestOfK
from sarm_core.text.shapes.graded_response import GradedResponse
from sarm_core.text.shapes.helpsteer import HelpSteer2Preference, HelpSteer3
from sarm_core.text.shapes.judgebench import JudgeBench
from sarm_core.text.shapes.labelled import Labelled
from sarm_core.text.shapes.llmbar import LLMBar
from sarm_core.text.shapes.messages import Messages
from sarm_core.text.shapes.openai_preference import OpenAIPreference
from sarm_core.text.shapes.pku import PKUSafeRLHF
from sarm_core.text.shapes.plain_text import PlainText
from sarm_core.text.shapes.preference import Preference
from sarm_core.text.shapes.prompt_response import PromptResponse
from sarm_core.text.shapes.right_wrong import RightWrong
from sarm_core.text.shapes.sharegpt import ShareGPT
from sarm_core.text.shapes.token_ids import TokenIds, TokenPair
from sarm_core.text.shapes.ultrafeedback import UltraFeedback

__all__ = ["SHAPES", "Fields", "Preferred", "RowAnswer", "RowAnswers", "Shape"]

SHAPES: list[Shape] = [
    Messages(),
    PromptResponse(),
    GradedResponse(),
    Labelled(),
    Preference(),
    RightWrong(),
    AnswerList(),
    OpenAIPreference(),
    ShareGPT(),
    UltraFeedback(),
    HelpSteer2Preference(),
    HelpSteer3(),
    PKUSafeRLHF(),
    LLMBar(),
    JudgeBench(),
    ArenaBattle(),
    ArenaTable(),
    JudgedResponses(),
    BestOfK(),
    TokenIds(),
    TokenPair(),
    PlainText(),
]
