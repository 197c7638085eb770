"""Rows of one prompt, scored and made ready to send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sarm_core.errors import RowError
from sarm_core.features import FeatureMatrix
from sarm_core.provenance import model_facts
from sarm_core.share.shared import Shared, SharedAnswer, SharedFeature
from sarm_core.steering import Steering
from sarm_core.text.answers import Reader
from sarm_core.text.rows import Conversation, prompt_of

if TYPE_CHECKING:
    from sarm_core.score.scorer import Scorer

__all__ = ["now", "of_conversations", "to_share"]


def to_share(
    sarm: Scorer,
    rows: Sequence[Mapping[str, Any]],
    *,
    steering: Steering | None = None,
    names: Mapping[int, str] | None = None,
    origin: str = "Python",
    made: str | None = None,
) -> Shared:
    """The answers of `rows` to one prompt, each once, in their order; `names` say what features are called.

    `made` says when, by default now. The model runs. Raises RowError for a row that cannot be read, for token ids and
    for a row of another prompt; SteeringError for features that the model lacks.
    """
    reader = Reader()
    found: dict[Conversation, tuple[int, str]] = {}
    for number, row in enumerate(rows, 1):
        for answer in reader.answers(dict(row)).answers:
            if answer.conversation.messages is None:
                raise RowError(
                    "token ids have no text to show: give prompt and response", source="rows", row=number
                )
            found.setdefault(answer.conversation, (number, answer.name))
    if not found:
        raise RowError("there are no rows", source="rows")
    conversations = list(found)
    prompt, _ = prompt_of(conversations[0])
    for conversation in conversations[1:]:
        if prompt_of(conversation)[0] != prompt:
            raise RowError("answers another prompt than row 1", source="rows", row=found[conversation][0])
    if steering is not None:
        steering.check(sarm.n_features)
    scored = sarm.score([{"messages": conversation.as_dicts()} for conversation in conversations])
    shared = of_conversations(
        conversations, [name for _, name in found.values()], scored.matrix, scored.n_cut, model_facts(sarm)
    )
    return replace(
        shared,
        features={int(i): SharedFeature(name, "", None) for i, name in (names or {}).items()},
        steering=steering or Steering(),
        origin=origin,
        made=now() if made is None else made,
    )


def of_conversations(
    conversations: Sequence[Conversation],
    names: Sequence[str],
    matrix: FeatureMatrix,
    n_cut: Sequence[int],
    facts: Mapping[str, Any],
) -> Shared:
    """Scored conversations of one prompt, all of messages, with the names of their answers ("" for none)."""
    turns = [conversation.messages or () for conversation in conversations]
    return Shared(
        tuple(turns[0][:-1]),
        tuple(
            SharedAnswer(each[-1].content, name, each[-1].extra)
            for each, name in zip(turns, names, strict=True)
        ),
        facts,
        matrix=matrix,
        n_cut=tuple(n_cut),
        tools=conversations[0].tools,
    )


def now() -> str:
    """The minute, as a shared comparison says when it was made."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
