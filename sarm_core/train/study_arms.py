"""One arm of a study: a representation of the answers, and heads on it fitted as `sarm build` fits them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from sarm_core.errors import SarmError
from sarm_core.model.checkpoint import open_checkpoint, read_sae
from sarm_core.model.dictionaries.loading import load_sae
from sarm_core.model.sae import SAE, standardise
from sarm_core.train.activations import Corpus, Reader, backbone_folder
from sarm_core.train.build_heads import Fitted, unexplained
from sarm_core.train.encoded_answers import Answers, tensors_digest
from sarm_core.train.head_fit import pick_head
from sarm_core.train.pair_study import PairStudy
from sarm_core.train.positions import Positions
from sarm_core.train.random_encoder import random_encoder
from sarm_core.train.selection import CurvePoint
from sarm_core.train.study_config import StudyConfig

__all__ = ["Measured", "Record", "given_dictionary", "natural_mix"]

Record = dict[str, Any]
"""What one arm and seed came to, as JSON holds it: heads with their test margins and rewards on benchmarks"""
TEXTS_AT_ONCE = 256


@dataclass(frozen=True)
class Measured:
    """All that arms share: the answers, the pairs in their parts, and the rows of each benchmark's conversations."""

    answers: Answers
    study: PairStudy
    benchmarks: dict[str, npt.NDArray[np.int64]]
    features: int | None = None

    def of_dictionary(self, sae: SAE, *, reconstructs: bool = True) -> Record:
        """Two heads on the features of `sae`: "ridge" over all of them, and "few" (see `Fitted`).

        Variance unexplained is that of h at the scored tokens of the test part, None for what was not trained to
        reconstruct.
        """
        codes = self.answers.codes(sae)
        fitted = Fitted(self.study, codes, self.features, log=False)
        test = self.study.rows["test"]
        scored = np.unique(np.concatenate([self.study.chosen[test], self.study.rejected[test]]))
        return {
            "dictionary": tensors_digest(sae),
            "unexplained": unexplained(self.answers, sae, scored) if reconstructs else None,
            "active": float(codes.nnz / codes.shape[0]),
            "heads": {
                "ridge": self._of_point(fitted, codes, fitted.curve[-1]),
                "few": self._of_point(fitted, codes, fitted.point),
            },
        }

    def random(self, sae: SAE, seed: int) -> Record:
        """The same with random directions, of the kind and size of `sae`."""
        read = np.unique(self.study.chosen[self.study.rows["train"]])
        return self.of_dictionary(random_encoder(sae, self.answers.hidden(read), seed), reconstructs=False)

    def scalar_head(self) -> Record:
        """A head on h."""
        return self._dense(standardise(torch.from_numpy(self.answers.hidden())).numpy())

    def length(self) -> Record:
        """A head on the number of tokens."""
        return self._dense(self.answers.n_tokens[:, None].astype(np.float32) / 100)

    def _of_point(self, fitted: Fitted, codes: sparse.csr_matrix, point: CurvePoint) -> Record:
        w = point.head(codes.shape[1]).astype(np.float64)
        margins = {part: fitted.margins(part, point) for part in fitted.parts}
        stated = {"n_features": point.n_features, "how": point.how, "penalty": point.penalty}
        return {**stated, **self._stated(margins, point.decay, point.loss), **self._rewards(codes, w)}

    def _dense(self, representation: npt.NDArray[np.floating]) -> Record:
        parts = self.study.parts(representation)
        head = pick_head(parts["train"], parts["validation"])
        margins = {part: parts[part].margins(head.w)[self.study.ordered[part]] for part in parts}
        stated = {"n_features": representation.shape[1], "how": "ridge", "penalty": None}
        found = {
            **stated,
            **self._stated(margins, head.decay, head.loss),
            **self._rewards(representation, head.w),
        }
        return {"heads": {"ridge": found}}

    def _stated(
        self, margins: dict[str, npt.NDArray[np.float64]], decay: float | None, loss: float
    ) -> Record:
        return {
            "decay": decay,
            "validation_loss": loss,
            **{
                f"{part}_accuracy": self.study.held_out[part].share_right(margins[part])
                for part in ("train", "validation")
            },
            "test_margins": margins["test"].tolist(),
        }

    def _rewards(self, representation: Any, w: npt.NDArray[np.float64]) -> Record:
        found = {
            name: np.asarray(representation[rows] @ w, dtype=np.float64).ravel().tolist()
            for name, rows in self.benchmarks.items()
        }
        return {"rewards": found}


def given_dictionary(config: StudyConfig) -> SAE:
    """The dictionary that `sae` names: in any format that `load_sae` reads, or a SARM's. Raises SarmError."""
    if config.sae == "demo" or (Path(config.sae) / "sarm.json").exists():
        checkpoint = open_checkpoint(config.sae)
        if checkpoint.backbone.resolve() != backbone_folder(config.backbone).resolve():
            raise SarmError(f"{config.sae}: is a SARM on {checkpoint.backbone}, not on {config.backbone}")
        layer, sae = checkpoint.shape.layer, read_sae(checkpoint.tensors, checkpoint.shape, "sae.")
    else:
        read = load_sae(config.sae, layer=config.layer)
        layer, sae = read.layer or config.layer, read.sae
    if layer != config.layer:
        raise SarmError(f"{config.sae}: reads the stream after {layer} blocks, but layer is {config.layer}")
    if "token_sae" in config.arms and sae.n_features != config.n_features:
        raise SarmError(
            f"n_features is {config.n_features}, but {config.sae} has {sae.n_features}: train a token_sae as wide, "
            "or leave it out of arms"
        )
    return sae


def natural_mix(reader: Reader, corpus: Corpus, positions: Positions) -> dict[str, float]:
    """Shares of the kinds of position under which every answer token is drawn as often as any other: a token-level SAE.

    Sentence ends and scored tokens have the share that they have among the tokens of the train part's answers; the
    other tokens, of which `tokens_per_text` are kept, the rest.
    """
    tokens = 0
    texts = corpus.texts()
    while some := list(islice(texts, TEXTS_AT_ONCE)):
        sequences = reader.format.tokens([text.conversation for text in some])
        tokens += sum(
            sequence.scored - max(1, sequence.answer_start) + 1
            for text, sequence in zip(some, sequences, strict=True)
            if text.split == "train"
        )
    found = {kind: positions.counts["train", kind] / max(tokens, 1) for kind in ("scored", "sentence")}
    return {**found, "token": max(0.0, 1 - sum(found.values()))}
