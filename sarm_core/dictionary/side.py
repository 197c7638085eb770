"""One dictionary as it is looked at: directions, head weights, and its activations on a set of answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from torch import Tensor

from sarm_core.errors import RowError, SarmError
from sarm_core.model.checkpoint import Checkpoint, read_sae
from sarm_core.score.scorer import Scorer
from sarm_core.text.rows import Conversation, Message

__all__ = ["Side", "check_comparable", "check_same_tokens", "stored_conversations"]

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Side:
    """A dictionary in a reward model.

    `decoder` [d, M]; `head` float64 [M]; `z` CSR float32 [n, M], activations at the scored token of n answers.
    """

    checkpoint: Checkpoint
    fingerprint: str
    decoder: Tensor
    head: npt.NDArray[np.float64]
    z: sparse.csr_matrix

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint) -> Side:
        """Without the backbone, and so far without answers. Raises CheckpointError."""
        sae = read_sae(checkpoint.tensors, checkpoint.shape, prefix="sae.")
        return cls(
            checkpoint,
            checkpoint.fingerprint(),
            sae.decoder.weight.detach(),
            checkpoint.head().double().numpy(),
            sparse.csr_matrix((0, sae.n_features), dtype=np.float32),
        )

    @classmethod
    def of_scorer(cls, scorer: Scorer, z: sparse.csr_matrix | None = None) -> Side:
        """Of a loaded model, on the answers of `z` [n, M]."""
        none = sparse.csr_matrix((0, scorer.n_features), dtype=np.float32)
        return cls(
            scorer.checkpoint,
            scorer.fingerprint,
            scorer.model.sae.decoder.weight.detach(),
            scorer.head.astype(np.float64),
            none if z is None else z,
        )

    def on(self, z: sparse.csr_matrix) -> Side:
        """The same dictionary on other answers. Raises SarmError for activations of another width or not finite."""
        if z.shape[1] != self.n_features:
            raise SarmError(
                f"{self.name}: has {self.n_features:,} features, but the activations are of {z.shape[1]:,}"
            )
        if not np.isfinite(z.data).all():
            raise SarmError(f"{self.name}: activations hold infinity or NaN; harvest or encode them again")
        return replace(self, z=z)

    @property
    def name(self) -> str:
        """What the checkpoint calls itself, else where it came from."""
        return self.checkpoint.name or self.checkpoint.source

    @property
    def n_features(self) -> int:
        """M."""
        return int(self.decoder.shape[1])

    @property
    def n_answers(self) -> int:
        """n."""
        return int(self.z.shape[0])

    @cached_property
    def mass(self) -> npt.NDArray[np.float64]:
        """Sum of |w z| over the answers, [M]."""
        return np.asarray(abs(self.z).astype(np.float64).sum(axis=0)).ravel() * np.abs(self.head)

    @cached_property
    def shares(self) -> npt.NDArray[np.float64]:
        """`mass` as shares of its sum; 0 where all of it is 0."""
        total = float(self.mass.sum())
        return self.mass / total if total > 0 else np.zeros_like(self.mass)

    @cached_property
    def fires(self) -> Ids:
        """Answers in which each feature is active, [M]."""
        columns = self.z.tocoo()
        return np.bincount(columns.col[columns.data != 0], minlength=self.n_features).astype(np.int64)

    def facts(self) -> dict[str, Any]:
        """What a report says of it."""
        return {
            "name": self.name,
            "source": self.checkpoint.source,
            "fingerprint": self.fingerprint,
            "features": self.n_features,
            "width": int(self.decoder.shape[0]),
            "layer": self.checkpoint.shape.layer,
            "kind": self.checkpoint.shape.sae.words,
        }


def check_comparable(left: Checkpoint, right: Checkpoint) -> None:
    """Raises SarmError unless both dictionaries read one backbone at one place and are given the same tokens."""
    names = [side.name or side.source for side in (left, right)]
    layers = [side.shape.layer for side in (left, right)]
    if layers[0] != layers[1]:
        raise SarmError(
            f"{names[0]} reads what {layers[0]} blocks give and {names[1]} what {layers[1]} give: two dictionaries are "
            "compared at one place"
        )
    if left.backbone_fingerprint() != right.backbone_fingerprint():
        raise SarmError(
            f"{names[0]} and {names[1]} read different backbones: two dictionaries of one backbone are compared"
        )


def check_same_tokens(left: Scorer, right: Scorer, conversations: Sequence[Conversation]) -> None:
    """Raises SarmError unless both are given the same tokens of each answer."""
    for one, other in zip(left.tokens(conversations), right.tokens(conversations), strict=True):
        if not np.array_equal(one.input_ids, other.input_ids):
            raise SarmError(
                f"{right.checkpoint.source}: its tokenizer or chat template makes other tokens of the answers "
                "than that "
                f"of {left.checkpoint.source}: activations at the same positions cannot be compared"
            )


def stored_conversations(messages: Iterable[Sequence[Mapping[str, Any]]]) -> list[Conversation]:
    """Turns as a store keeps them, as they are scored. Raises RowError, naming the text by its place, for one that is
    no conversation."""
    found = []
    for number, turns in enumerate(messages, 1):
        if not turns or any(turn.get("role") in (None, "text") for turn in turns):
            raise RowError(
                "is kept as token ids or plain text, not as turns: give files of answers", row=number
            )
        found.append(Conversation(messages=tuple(_message(turn) for turn in turns)))
    return found


def _message(turn: Mapping[str, Any]) -> Message:
    extra = {key: value for key, value in turn.items() if key not in ("role", "content")}
    content = str(turn.get("content") or "")
    return Message(str(turn["role"]), content, json.dumps(extra) if extra else "")
