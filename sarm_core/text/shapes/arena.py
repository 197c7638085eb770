"""Battles of two models: whole conversations, or one prompt with two responses; ties are kept apart."""

from __future__ import annotations

from sarm_core.errors import RowError
from sarm_core.text.rows import Message
from sarm_core.text.shapes.base import Fields, Prompt, RowAnswer, RowAnswers, Shape, keys

__all__ = ["ArenaBattle", "ArenaTable", "JudgedResponses"]

_WINNERS = {
    **dict.fromkeys(("model_a", "a", "A", "model_1", "response_1", "response_a"), 0),
    **dict.fromkeys(("model_b", "b", "B", "model_2", "response_2", "response_b"), 1),
    **dict.fromkeys(("tie", "tie (bothbad)", "both_bad", "bothbad"), None),
}


class ArenaBattle(Shape):
    name = "arena"
    title = "arena battles (two conversations, a winner)"
    source = "Chatbot Arena conversations, arena-human-preference-100k and -140k"
    needs = keys("conversation_a conversation_b winner")
    known = frozenset(
        ["full_conversation", "model_a", "model_b", "judge", "turn", "anony", "language", "tstamp"]
    )
    example = {
        "model_a": "m1",
        "model_b": "m2",
        "winner": "model_a",
        "conversation_a": [
            {"role": "user", "content": "Is it safe to reheat rice?"},
            {"role": "assistant", "content": "Yes, if you cool it quickly first."},
        ],
        "conversation_b": [
            {"role": "user", "content": "Is it safe to reheat rice?"},
            {"role": "assistant", "content": "No."},
        ],
    }

    def read(self, row: Fields) -> RowAnswers:
        winner = row.word("winner", **_WINNERS)
        answers = [RowAnswer(row.conversation(f"conversation_{side}"), f"model_{side}") for side in "ab"]
        return RowAnswers.judged(answers, winner)


class JudgedResponses(Shape):
    name = "judged-responses"
    title = "two responses and a winner"
    source = "PPE (human preference), arena exports"
    needs = keys(
        *(
            f"{prompt} {one} {two} winner"
            for prompt in ("prompt", "question")
            for one, two in (("response_1", "response_2"), ("response_a", "response_b"))
        )
    )
    known = frozenset(["model_a", "model_b", "model_1", "model_2", "conversation"])
    example = {
        "prompt": "Is it safe to reheat rice?",
        "response_1": "Yes, if you cool it quickly first.",
        "response_2": "No.",
        "winner": "model_a",
    }

    def read(self, row: Fields) -> RowAnswers:
        key = row.first("prompt", "question")
        assert key is not None
        prompt = row.prompt(key)
        names = ("response_1", "response_2") if "response_1" in row else ("response_a", "response_b")
        winner = row.word("winner", **_WINNERS)
        return RowAnswers.judged([RowAnswer(row.answer(prompt, name), name) for name in names], winner)


class ArenaTable(Shape):
    name = "arena-table"
    title = "arena battles (lists of prompts and responses)"
    source = "LMSYS arena human preference 55k"
    needs = keys("prompt response_a response_b winner_model_a winner_model_b")
    known = frozenset(["model_a", "model_b"])
    example = {
        "prompt": '["Is it safe to reheat rice?"]',
        "response_a": '["Yes, if you cool it quickly first."]',
        "response_b": '["No."]',
        "winner_model_a": 1,
        "winner_model_b": 0,
        "winner_tie": 0,
    }

    def read(self, row: Fields) -> RowAnswers:
        asked = _texts(row, "prompt")
        won = [row.number(f"winner_model_{side}") for side in "ab"]
        tied = row.number("winner_tie") if "winner_tie" in row else float(not any(won))
        if sorted([*won, tied]) != [0, 0, 1]:
            raise RowError("exactly one of 'winner_model_a', 'winner_model_b' and 'winner_tie' must be 1")
        answers = []
        for side in "ab":
            said = _texts(row, f"response_{side}")
            if len(said) != len(asked):
                raise RowError(f"'prompt' and 'response_{side}' must be lists of as many texts each")
            turns = [
                Message(r, t)
                for pair in zip(asked, said, strict=True)
                for r, t in zip(("user", "assistant"), pair, strict=True)
            ]
            conversation = row.answered(Prompt(tuple(turns[:-1])), turns[-1].content, f"response_{side}")
            answers.append(RowAnswer(conversation, f"model_{side}"))
        return RowAnswers.judged(answers, None if tied else won.index(1))


def _texts(row: Fields, key: str) -> list[str]:
    """The texts in a column, which this data set writes as the JSON of a list. Raises RowError."""
    found = row.listed(key)
    if not all(isinstance(text, str) for text in found):
        raise RowError(f"{key!r} must be a list of texts")
    if not isinstance(row[key], str) and all(text.startswith('["') and text.endswith('"]') for text in found):
        raise RowError(f"{key!r} is a list of lists that are written as text: give one list of texts")
    return found
