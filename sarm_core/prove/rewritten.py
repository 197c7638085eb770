"""Pairs with every rewrite of their answers, encoded once: a check under any steering is then arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sarm_core.errors import SarmError
from sarm_core.features import FeatureMatrix
from sarm_core.prove.benchmarks.pairs import Pairs
from sarm_core.prove.benchmarks.scores import Item, json_number
from sarm_core.prove.perturb import Perturbation, perturb, rewritten, scores_from, versions_of
from sarm_core.provenance import model_facts
from sarm_core.score.encoded import encode_once
from sarm_core.steering import Steering
from sarm_core.text.rows import Conversation

if TYPE_CHECKING:
    from sarm_core.score.scorer import Scorer

__all__ = ["Rewritten", "encode_rewrites"]


@dataclass(frozen=True, eq=False)
class Rewritten:
    """`matrix` row i holds z of `conversations[i]`, which lost `n_cut[i]` tokens on the left.

    `pairs` are (chosen, rejected) of `items`; `n_all` pairs were there to choose from. `n_reused` conversations were
    read from the cache; `notes` says what was odd.
    """

    pairs: tuple[tuple[Conversation, Conversation], ...]
    items: tuple[Item, ...]
    n_all: int
    rules: tuple[str, ...]
    seed: int
    conversations: tuple[Conversation, ...]
    matrix: FeatureMatrix
    n_cut: npt.NDArray[np.int64]
    n_reused: int
    notes: tuple[str, ...]
    model: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Of the model that encoded the answers."""
        return str(self.model["fingerprint"])

    def outcome(self, steering: Steering | None = None, *, top: int = 20) -> Perturbation:
        """What the rewrites change under a steering (see `perturb`). Raises SteeringError for one of another model."""
        score = scores_from(self.conversations, steering.apply(self.matrix) if steering else self.matrix)
        cuts = dict(zip(self.conversations, self.n_cut.tolist(), strict=True))
        weights = [item.weight for item in self.items]
        return perturb(
            self.pairs, score, rules=self.rules, top=top, seed=self.seed, cuts=cuts, weights=weights
        )

    def report(self, steering: Steering | None = None, *, top: int = 20) -> dict[str, Any]:
        """`outcome` as plain JSON data; a flip names its pair by file, row and id, and holds both answers compared."""
        found = self.outcome(steering, top=top)
        return {
            "rules": _records(found.rules),
            "features": _records(found.features),
            "flips": [self._flip(flip) for flip in found.flips.to_dict("records")],
        }

    def _flip(self, flip: Mapping[Any, Any]) -> dict[str, Any]:
        pair, side, rule = int(flip["pair"]), str(flip["side"]), str(flip["rule"])
        item = self.items[pair]
        answers = {}
        for name, answer in zip(("chosen", "rejected"), self.pairs[pair], strict=True):
            shown = answer
            if side in (name, "both"):
                shown = rewritten(answer, rule, self.seed) or answer
            answers[f"{name}_answer"] = shown.answer
        place = {"file": Path(item.source).name, "row": item.row, "id": item.id}
        margins = {name: float(flip[name]) for name in ("margin_before", "margin_after")}
        return {"rule": rule, "side": side, **place, **margins, **answers}


def encode_rewrites(
    scorer: Scorer,
    benchmark: Pairs,
    rules: Sequence[str],
    *,
    most: int | None = None,
    seed: int = 0,
    **how: Any,
) -> Rewritten:
    """Encode pairs and their rewrites by `rules`; `most` of the pairs, evenly spread (see `encode_once` for `how`).

    Raises SarmError for no rule, an unknown rule, no pairs; RowError for an answer that cannot be scored.
    """
    if not rules:
        raise SarmError("choose at least one rewrite to check")
    n = len(benchmark.items)
    kept = range(n)
    if most is not None and most < n:
        kept = np.unique(np.linspace(0, n - 1, most).round().astype(int)).tolist()
    items = tuple(benchmark.items[i] for i in kept)
    pairs = tuple(
        (benchmark.conversations[benchmark.chosen[i]], benchmark.conversations[benchmark.rejected[i]])
        for i in kept
    )
    conversations, origin = versions_of(pairs, rules=rules, seed=seed)
    shared = sum(item.weight < 1 for item in items)
    note = (
        f"{shared:,} of {len(items):,} pairs share their prompt's grades with other pairs: in rates those of one "
        "prompt weigh one together"
    )
    places = [(items[pair].source, items[pair].row) for pair in origin]
    encoded = encode_once(scorer, conversations, places=places, **how)
    return Rewritten(
        pairs,
        items,
        n,
        tuple(rules),
        seed,
        tuple(conversations),
        encoded.matrix,
        encoded.n_cut,
        encoded.reused,
        (*encoded.notes, note) if shared else encoded.notes,
        model_facts(scorer),
    )


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON data: a count that a rule does not have, or a rate over nothing, is null."""
    return [
        {str(name): _plain(value, str(name)) for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return value
    whole = name in ("feature", "answers", "not_applicable", "cut", "nan") or name.startswith(
        ("pairs", "flips")
    )
    number = json_number(float(value))
    return int(number) if whole and number is not None else number
