"""The heads of `sarm build` on one study, and what its report says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from sarm_core.errors import SarmError
from sarm_core.model.sae import SAE, standardise
from sarm_core.train.doubtful_pairs import cross_fitted, doubtful
from sarm_core.train.encoded_answers import Answers
from sarm_core.train.explained import agreement, explained, share_of_variance_at_best
from sarm_core.train.head_fit import Part, RidgeFit, pick_head, polished, ridge_path
from sarm_core.train.pair_study import PairStudy
from sarm_core.train.progress import say
from sarm_core.train.random_encoder import random_encoder
from sarm_core.train.selection import CurvePoint, chosen_by_validation, curve_of, finished, with_exactly

__all__ = [
    "Fitted",
    "add_original",
    "baselines",
    "counts",
    "doubtful_rows",
    "report_of",
    "unexplained",
]


RECONSTRUCTED = 4096


@dataclass
class Fitted:
    """All heads on one representation [answers, F] that is sparse: ridge, the curve, and the point that is taken."""

    study: PairStudy
    representation: Any
    features: int | None = None
    log: bool = True
    parts: dict[str, Part] = field(init=False)
    ridge: list[RidgeFit] = field(init=False)
    curve: list[CurvePoint] = field(init=False)
    point: CurvePoint = field(init=False)

    def __post_init__(self) -> None:
        self.parts = self.study.parts(self.representation)
        train, validation = self.parts["train"], self.parts["validation"]
        self.ridge = ridge_path(train, validation, log=self.log)
        best = polished(train, validation, min(self.ridge, key=lambda fit: fit.loss))
        self.curve = curve_of(train, validation, best, log=self.log)
        if self.features is None:
            point = chosen_by_validation(self.curve, validation, self.study.held_out["validation"])
        else:
            point = with_exactly(self.curve, self.features, train, validation)
        self.point = finished(point, train, validation)
        if not self.point.n_features:
            raise SarmError(
                "no feature of the dictionary tells chosen from rejected answers: is it the backbone's own?"
            )

    def margins(self, part: str, point: CurvePoint) -> np.ndarray:
        """Margins of one split's pairs that are no ties, by the weights as they are written: float32."""
        weights = point.weights.astype(np.float32).astype(np.float64)
        return self.parts[part].of(point.features).margins(weights)[self.study.ordered[part]]


def report_of(fitted: Fitted) -> dict[str, Any]:
    """The chosen head, the curve and the ridge path; all accuracies but "train" are of pairs no head was fitted on."""
    study, point = fitted.study, fitted.point
    moves = point.weights * np.sqrt(fitted.parts["train"].squares[point.features])
    order = np.argsort(-np.abs(moves), kind="stable")[:20]
    test = fitted.margins("test", point)
    return {
        "head": {
            **_stated(point),
            "train_accuracy": study.held_out["train"].accuracy(fitted.margins("train", point)).accuracy,
            "validation": asdict(study.held_out["validation"].accuracy(fitted.margins("validation", point))),
            "test": {name: asdict(row) for name, row in study.held_out["test"].by_source(test).items()},
            "test_margins": [round(float(m), 5) for m in test],
            "largest": [
                {
                    "feature": int(point.features[i]),
                    "weight": float(point.weights[i]),
                    "margin_sd": float(abs(moves[i])),
                }
                for i in order
            ],
        },
        "curve": [_on_curve(fitted, each) for each in fitted.curve],
        "ridge_path": [{"decay": fit.decay, "validation_loss": fit.loss} for fit in fitted.ridge],
    }


def _stated(point: CurvePoint) -> dict[str, Any]:
    return {
        "n_features": point.n_features,
        "how": point.how,
        "penalty": point.penalty,
        "decay": point.decay,
        "validation_loss": point.loss,
    }


def _on_curve(fitted: Fitted, point: CurvePoint) -> dict[str, Any]:
    held_out = fitted.study.held_out
    return {
        **_stated(point),
        "train_accuracy": held_out["train"].share_right(fitted.margins("train", point)),
        "validation_accuracy": held_out["validation"].share_right(fitted.margins("validation", point)),
        "test": asdict(held_out["test"].accuracy(fitted.margins("test", point))),
    }


def _beside(ours: Fitted, theirs: np.ndarray, **stated: Any) -> dict[str, Any]:
    """Another head's accuracy on the test part, from its margins, and ours minus it."""
    held_out = ours.study.held_out["test"]
    return {
        **stated,
        "test": {source: asdict(row) for source, row in held_out.by_source(theirs).items()},
        "paired_difference": held_out.difference(ours.margins("test", ours.point), theirs),
    }


def baselines(answers: Answers, sae: SAE, ours: Fitted, seed: int) -> dict[str, dict[str, Any]]:
    """Other heads on the same pairs: their accuracy, and ours minus theirs."""
    study = ours.study
    whole = ours.curve[-1]
    found = {"all_features": _beside(ours, ours.margins("test", whole), **_stated(whole))}
    say("a scalar head on h")
    parts = study.parts(standardise(torch.from_numpy(answers.hidden())).numpy())
    head = pick_head(parts["train"], parts["validation"], log=True)
    found["scalar_head"] = _beside(
        ours, parts["test"].margins(head.w), decay=head.decay, validation_loss=head.loss
    )
    del parts
    say("a dictionary of random directions")
    read = np.unique(study.chosen[study.rows["train"]])
    random = Fitted(study, answers.codes(random_encoder(sae, answers.hidden(read), seed)), ours.features)
    found["random_encoder"] = _beside(ours, random.margins("test", random.point), **_stated(random.point))
    parts = study.parts(answers.n_tokens[:, None].astype(np.float32) / 100)
    head = pick_head(parts["train"], parts["validation"])
    found["length"] = _beside(
        ours, parts["test"].margins(head.w), decay=head.decay, validation_loss=head.loss
    )
    return found


def add_original(found: dict[str, Any], rewards: np.ndarray, answers: Answers, ours: Fitted) -> None:
    """Put a reward model's own head among the baselines, and how much of it is explained; its `rewards` [2 pairs]."""
    study = ours.study
    margins = rewards[0::2] - rewards[1::2]
    held_out, rows = study.held_out["test"], study.rows["test"]
    mine = ours.margins("test", ours.point)
    found["baselines"]["original"] = _beside(ours, margins[rows])
    h = standardise(torch.from_numpy(answers.hidden())).numpy()
    found["explained"] = {
        "agreement": agreement(held_out, margins[rows], mine),
        "r2": share_of_variance_at_best(margins[rows], mine, held_out.weights),
        "features": explained(study.parts(ours.representation, margins), held_out),
        "h": explained(study.parts(h, margins), held_out),
        "test_margins": [round(float(m), 5) for m in margins[rows]],
    }


def unexplained(answers: Answers, sae: SAE, rows: np.ndarray | None = None) -> float:
    """Variance of x at the scored tokens that the dictionary leaves, a fraction: |x_hat - x|^2 / |x - mean|^2, summed.

    Over at most RECONSTRUCTED answers, evenly spread, of `rows` (default: all). Above 1 the mean alone says more of
    them than the dictionary does: it was trained on another model, block or kind of token.
    """
    rows = np.arange(len(answers)) if rows is None else rows
    some = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), RECONSTRUCTED)).astype(np.int64))]
    device = next(sae.parameters()).device
    error = 0.0
    total, squares = torch.zeros(sae.width, dtype=torch.float64), 0.0
    with torch.inference_mode():
        for rows in np.array_split(some, -(-len(some) // 256)):
            x = sae.inputs(torch.from_numpy(answers.hidden(rows)).to(device))
            error += float((sae(x)[0] - x).double().square().sum())
            total += x.double().sum(0).cpu()
            squares += float(x.double().square().sum())
    variance = squares - float(total.square().sum()) / len(some)
    return error / variance if variance > 0 else float("inf")


def doubtful_rows(ours: Fitted, seed: int) -> list[dict[str, Any]]:
    """A line of `doubtful_pairs.jsonl` for each pair in doubt."""
    study = ours.study
    d = study.differences(ours.representation, np.arange(len(study.pairs)))[:, ours.point.features]
    decay = ours.point.decay or min(ours.ridge, key=lambda fit: fit.loss).decay
    tied = study.tied if study.tied.any() else None
    margins = cross_fitted(
        Part(d, study.weights, stated=study.margins, tied=tied),
        study.prompts,
        decay,
        ours.point.weights,
        seed,
    )
    ordered = np.flatnonzero(~study.tied)  # a tie calls neither answer the better one
    found = doubtful(margins[ordered], study.chosen[ordered], study.rejected[ordered])
    return [each.row(study.pairs[ordered[each.pair]]) for each in found]


def counts(
    study: PairStudy, answers: Answers, listed: Sequence[Mapping[str, Any]], ties: int
) -> dict[str, Any]:
    """For the report: pairs and answers, those of `ties` stated that were fitted to, and pairs in doubt."""
    why = [row["why"] for row in listed]
    return {
        **study.counts(ties),
        "answers": len(answers),
        "cut": int((answers.n_cut > 0).sum()),
        "contradicting": why.count("contradicts"),
        "against": why.count("against"),
    }
