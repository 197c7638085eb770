"""An exported model before it leaves: how large it will be, and whether it scores as the steered one did.

The check loads the written folder again, as its reader would, and scores the same answers with it, one at a time on
both sides: in bfloat16 and float16 a reward depends on what shares its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sarm_core.errors import CheckpointError
from sarm_core.model.backbone import load_tokenizer
from sarm_core.model.checkpoint import FINAL_NORM, Checkpoint, TensorFiles
from sarm_core.score.scorer import Scorer, load_sarm
from sarm_core.ship.auto import export_auto
from sarm_core.ship.export import export
from sarm_core.ship.layouts import AnyLayout
from sarm_core.steering import Steering
from sarm_core.text.conversation import TokenSequence
from sarm_core.text.rows import Conversation

__all__ = [
    "ExportCheck",
    "Trial",
    "check_export",
    "export_layout",
    "exported_bytes",
    "trial",
]

TOLERANCE = 1e-5


def export_layout(checkpoint: Checkpoint, steering: Steering, target: str | Path, layout: AnyLayout) -> Path:
    """`export` or `export_auto`, by the name of the layout. Raises SteeringError, CheckpointError."""
    if layout == "auto":
        return export_auto(checkpoint, steering, target)
    return export(checkpoint, steering, target, layout)


def exported_bytes(checkpoint: Checkpoint) -> int:
    """Bytes of the tensors that an export writes, from the files' headers; text files add little to it."""
    files = checkpoint.blocks
    own = [name for name in checkpoint.tensors.names() if name.startswith("sae.")]
    blocks = [n for n in files.names() if checkpoint.takes_part(n) or FINAL_NORM.fullmatch(n)]
    head = 4 * checkpoint.shape.n_features
    return head + checkpoint.tensors.n_bytes(own) + files.n_bytes(blocks)


@dataclass(frozen=True)
class ExportCheck:
    """Rewards of the same answers, float32 [n]: as steered here, and plainly from the folder that was read back.

    A reward may differ by 1e-5, or by that part of `sizes` where it is above 1: float32 has seven figures.
    """

    wanted: npt.NDArray[np.float32]
    reloaded: npt.NDArray[np.float32]
    dtype: str
    """Of both backbones while they computed."""
    sizes: npt.NDArray[np.float32]
    """sum_i |w_i z_i| of each answer, [n]: what its reward is the sum of"""
    n_fired: int = 0
    """Steered features that fire in these answers"""
    n_steered: int = 0
    same_head: bool = True
    """Whether the weights that were written are the folded ones, also of features that fire in no answer here"""

    @property
    def error(self) -> float:
        """Difference of the reward that is furthest from what is allowed; inf where one is no number."""
        return self._worst()[0]

    @property
    def allowed(self) -> float:
        """How far that reward may differ."""
        return self._worst()[1]

    @property
    def holds(self) -> bool:
        """Whether every reward is as near as allowed, and every weight the folded one."""
        return self.same_head and self.error <= self.allowed

    def _worst(self) -> tuple[float, float]:
        if not len(self.wanted):
            return 0.0, TOLERANCE
        wanted = self.wanted.astype(np.float64)
        difference = np.abs(wanted - self.reloaded.astype(np.float64))
        difference = np.where(np.isfinite(difference), difference, np.inf)
        sizes = self.sizes.astype(np.float64)
        allowed = TOLERANCE * np.maximum(1.0, np.where(np.isfinite(sizes), sizes, 1.0))
        worst = int(np.argmax(difference / allowed))
        return float(difference[worst]), float(allowed[worst])


@dataclass(frozen=True)
class Trial:
    """n answers and the rewards float32 [n] that an exported model must give them on this device, in this dtype.

    It holds no weights but the folded head, float32 [M], so the model that was steered may be let go before the
    exported one is loaded.
    """

    rows: tuple[Conversation, ...]
    sequences: tuple[TokenSequence, ...]
    wanted: npt.NDArray[np.float32]
    sizes: npt.NDArray[np.float32]
    head: npt.NDArray[np.float32]
    device: str
    dtype: torch.dtype
    n_fired: int
    n_steered: int


def trial(scorer: Scorer, rows: Sequence[Conversation], steering: Steering) -> Trial:
    """`rows` under `steering`, scored here one at a time: the model runs, nothing is taken from the cache.

    Raises SteeringError, RowError.
    """
    head = steering.fold(scorer.head)
    scored = [scorer.score([row]) for row in rows]
    steered = [each.steered(steering) for each in scored]
    parts = [each.matrix.csr.data * each.matrix.head[each.matrix.csr.indices] for each in steered]
    fired = {int(i) for each in scored for i in each.matrix.csr.indices}
    changed = steering.features()
    return Trial(
        tuple(rows),
        tuple(sequence for each in scored for sequence in each.sequences),
        np.asarray([each.rewards[0] for each in steered], dtype=np.float32),
        np.asarray([np.abs(part).sum() for part in parts], dtype=np.float32),
        head,
        str(scorer.device),
        scorer.dtype,
        len(fired.intersection(changed)),
        len(changed),
    )


def check_export(folder: str | Path, layout: AnyLayout, asked: Trial) -> ExportCheck:
    """Load `folder` and score the trial's answers with it.

    "own" and "reference" are read by `load_sarm`, "auto" by Transformers with the folder's tokenizer. Raises
    CheckpointError, RowError.
    """
    if layout == "auto":
        reloaded = _rewards_of_auto(Path(folder), asked)
    else:
        scorer = load_sarm(folder, device=asked.device, dtype=asked.dtype)
        reloaded = np.asarray([scorer.score([row]).rewards[0] for row in asked.rows], dtype=np.float32)
    head = TensorFiles(Path(folder)).read("score.weight")[0].float().numpy()
    return ExportCheck(
        asked.wanted,
        reloaded,
        str(asked.dtype).removeprefix("torch."),
        asked.sizes,
        asked.n_fired,
        asked.n_steered,
        np.array_equal(head, asked.head),
    )


def _rewards_of_auto(folder: Path, asked: Trial) -> npt.NDArray[np.float32]:
    from transformers import AutoModelForSequenceClassification

    from sarm_core.ship import modeling_sarm  # noqa: F401  registers the model type, as the folder's own copy does

    try:
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=asked.dtype, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # a decoder's own code can fail in any way
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{folder.name}: what was written cannot be loaded again ({reason})") from None
    tokenizer = load_tokenizer(folder)
    model = model.to(asked.device).eval()
    rewards = []
    with torch.inference_mode():
        for row, sequence in zip(asked.rows, asked.sequences, strict=True):
            ids = sequence.input_ids.tolist()
            if row.messages and not _holds_special_text(row, tokenizer):
                text = tokenizer.apply_chat_template(row.as_dicts(), tokenize=False)
                ids = tokenizer(text, add_special_tokens=False, truncation=True)["input_ids"]
            rewards.append(model(input_ids=torch.tensor([ids], device=asked.device)).logits.item())
    return np.asarray(rewards, dtype=np.float32)


def _holds_special_text(row: Conversation, tokenizer: Any) -> bool:
    """Transformers makes special tokens of such text, this project does not; the ids are compared instead."""
    return any(token in turn.content for turn in row.messages or () for token in tokenizer.all_special_tokens)
