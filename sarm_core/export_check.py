"""An exported model before it leaves: how large it will be, and whether it scores as the steered one did.

The check loads the written folder again, as its reader would, and scores the same answers with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open

from sarm_core.auto_model import export_auto
from sarm_core.checkpoint import FINAL_NORM, Checkpoint, TensorFiles
from sarm_core.errors import CheckpointError
from sarm_core.rows import Conversation
from sarm_core.save import export
from sarm_core.scorer import Scored, Scorer, load_sarm
from sarm_core.steering import Steering

__all__ = ["LAYOUTS", "ExportCheck", "check_export", "export_layout", "exported_bytes"]

AnyLayout = Literal["own", "reference", "auto"]
LAYOUTS: tuple[AnyLayout, ...] = ("own", "reference", "auto")
TOLERANCE = 1e-5


def export_layout(checkpoint: Checkpoint, steering: Steering, target: str | Path, layout: AnyLayout) -> Path:
    """`export` or `export_auto`, by the name of the layout. Raises SteeringError, CheckpointError."""
    if layout == "auto":
        return export_auto(checkpoint, steering, target)
    return export(checkpoint, steering, target, layout)


def exported_bytes(checkpoint: Checkpoint) -> int:
    """Bytes of the tensors that an export writes, from the files' headers; text files add little to it."""
    files = (
        checkpoint.tensors if checkpoint.backbone == checkpoint.folder else TensorFiles(checkpoint.backbone)
    )
    own = [name for name in checkpoint.tensors.names() if name.startswith("sae.")]
    blocks = [n for n in files.names() if checkpoint.takes_part(n) or FINAL_NORM.fullmatch(n)]
    head = 4 * checkpoint.shape.n_features
    return head + _bytes(checkpoint.tensors, own) + _bytes(files, blocks)


def _bytes(files: TensorFiles, names: Sequence[str]) -> int:
    """Of the tensors `names`; each file is opened once, for its header only."""
    total = 0
    for file in {files.files[name] for name in names}:
        with safe_open(file, "pt") as opened:
            for name in names:
                if files.files[name] == file:
                    part = opened.get_slice(name)
                    width = re.search(r"\d+", part.get_dtype())
                    total += int(np.prod(part.get_shape(), dtype=np.int64)) * (
                        int(width[0]) // 8 if width else 1
                    )
    return total


@dataclass(frozen=True)
class ExportCheck:
    """Rewards of the same answers, float32 [n]: as steered here, and plainly from the folder that was read back."""

    wanted: npt.NDArray[np.float32]
    reloaded: npt.NDArray[np.float32]
    dtype: str
    """Of both backbones while they computed."""

    @property
    def error(self) -> float:
        """Largest difference of a reward; inf where one is no number."""
        if not len(self.wanted):
            return 0.0
        difference = np.abs(self.wanted.astype(np.float64) - self.reloaded.astype(np.float64))
        return float(np.where(np.isfinite(difference), difference, np.inf).max())

    @property
    def allowed(self) -> float:
        """1e-5, or that part of the largest reward where rewards are large: float32 has seven figures."""
        return TOLERANCE * max(1.0, float(np.abs(self.wanted).max(initial=0.0)))

    @property
    def holds(self) -> bool:
        """Whether the error is within what is allowed."""
        return self.error <= self.allowed


def check_export(
    folder: str | Path,
    layout: AnyLayout,
    scorer: Scorer,
    rows: Sequence[Conversation],
    scored: Scored,
    steering: Steering,
) -> ExportCheck:
    """Load `folder` and score `rows`, which `scorer` scored as `scored`, on the same device and in the same dtype.

    "own" and "reference" are read by `load_sarm`, "auto" by Transformers with the folder's tokenizer. Raises
    CheckpointError, RowError.
    """
    wanted = scored.steered(steering).rewards
    if layout == "auto":
        reloaded = _rewards_of_auto(Path(folder), scorer, rows, scored)
    else:
        again = load_sarm(folder, device=str(scorer.device), dtype=scorer.dtype, max_length=scorer.max_length)
        reloaded = again.score(list(rows)).rewards
    return ExportCheck(wanted, reloaded, str(scorer.dtype).removeprefix("torch."))


def _rewards_of_auto(
    folder: Path, scorer: Scorer, rows: Sequence[Conversation], scored: Scored
) -> npt.NDArray[np.float32]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from sarm_core import modeling_sarm  # noqa: F401  registers the model type, as the folder's own copy does

    try:
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=scorer.dtype, local_files_only=True, trust_remote_code=False
        )
        tokenizer = (
            AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            if scorer.format is not None
            else None
        )
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{folder.name}: what was written cannot be loaded again ({reason})") from None
    model = model.to(scorer.device).eval()
    rewards = []
    with torch.inference_mode():
        for row, sequence in zip(rows, scored.sequences, strict=True):
            ids = sequence.input_ids.tolist()
            if tokenizer is not None and row.messages and not sequence.n_cut:
                text = tokenizer.apply_chat_template(row.as_dicts(), tokenize=False)
                ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            rewards.append(model(input_ids=torch.tensor([ids], device=scorer.device)).logits.item())
    return np.asarray(rewards, dtype=np.float32)
