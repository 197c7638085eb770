"""An ordinary reward model's own head: what it says of the same texts, from Transformers' own class.

`...ForSequenceClassification` reads all blocks, the final norm and `score`, at the last token that is not
`pad_token_id`. Where the padding token also ends a turn, that is the token before the end of the last one; the class is
run as it is, so whatever it scores is what is compared with. Texts are padded on the right, which moves no reward.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sarm_core.errors import CheckpointError, SarmError
from sarm_core.model.backbone import quietly
from sarm_core.model.hf import AutoModelForSequenceClassification
from sarm_core.model.tensor_files import read_json
from sarm_core.score.cache import HIDDEN
from sarm_core.text.conversation import ChatFormat, TokenSequence
from sarm_core.text.rows import Conversation
from sarm_core.train.activations import Reader
from sarm_core.train.kept_rows import KeptRows

__all__ = ["OriginalHead", "is_reward_model"]

CHUNK = 256
Progress = Any


def is_reward_model(folder: Path) -> bool:
    """Whether the model in `folder` is a `...ForSequenceClassification` of one score.

    Raises CheckpointError, by name, for one with several labels, whose score is not one number.
    """
    config = read_json(folder / "config.json") if (folder / "config.json").exists() else {}
    named = config.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else ""
    if not architecture.endswith("ForSequenceClassification"):
        return False
    labels = config.get("id2label")
    n = len(labels) if isinstance(labels, dict) else config.get("num_labels", 2)
    if n != 1:
        raise CheckpointError(
            f"{folder}: {architecture} with {n} labels (num_labels), so there is no one reward: take a "
            "model with one label, or its language model"
        )
    return True


class OriginalHead:
    """The reward model in the reader's folder, whole: its rewards of conversations, kept in `cache`.

    It reads the rendered conversation to its end, as many tokens from there as the reader.
    """

    def __init__(self, reader: Reader, cache: Path) -> None:
        self.reader = reader
        self.format = ChatFormat(
            reader.format.tokenizer, rule="last-token", max_length=reader.format.max_length
        )
        decides = [reader.identity, "original head", str(reader.dtype), reader.device.type]
        key = hashlib.sha256(json.dumps(decides).encode()).hexdigest()
        self._kept = KeptRows(cache / key[:16] / HIDDEN, 1, np.float32)
        self._model: Any = None

    def rewards(
        self, conversations: Sequence[Conversation], progress: Progress | None = None
    ) -> npt.NDArray[np.float64]:
        """r [conversations]. Raises RowError, CheckpointError."""
        distinct = list(dict.fromkeys(conversations))
        digests: dict[Conversation, bytes] = {}
        for at in range(0, len(distinct), CHUNK):
            some = distinct[at : at + CHUNK]
            sequences = self.format.tokens(some)
            names = [hashlib.sha256(s.input_ids.tobytes()).digest() for s in sequences]
            digests.update(zip(some, names, strict=True))
            new = {n: s for n, s in zip(names, sequences, strict=True) if n not in self._kept}
            if new:
                r = self.run(list(new.values()))
                if not np.isfinite(r).all():
                    raise SarmError(
                        f"the reward model's own rewards are not finite in {self.reader.dtype}: use float32"
                    )
                self._kept.add(list(new), r[:, None])
            if progress is not None:
                progress(at + len(some), len(distinct))
        return self._kept.rows([digests[c] for c in conversations])[:, 0].astype(np.float64)

    @torch.inference_mode()
    def run(self, sequences: Sequence[TokenSequence]) -> npt.NDArray[np.float32]:
        """r of token sequences, float32 [n], by the class itself."""
        model = self._loaded()
        pad = model.config.get_text_config().pad_token_id
        order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
        out = np.zeros(len(sequences), dtype=np.float32)
        batch: list[int] = []
        for i in [*order, None]:
            if batch and (
                i is None
                or pad is None
                or (len(batch) + 1) * len(sequences[i]) > self.reader.encoder.token_budget
            ):
                longest = len(sequences[batch[-1]])
                ids = np.full((len(batch), longest), 0 if pad is None else pad, dtype=np.int64)
                mask = np.zeros_like(ids)
                for row, j in enumerate(batch):
                    ids[row, : len(sequences[j])] = sequences[j].input_ids
                    mask[row, : len(sequences[j])] = 1
                device = self.reader.device
                logits = model(
                    input_ids=torch.from_numpy(ids).to(device),
                    attention_mask=torch.from_numpy(mask).to(device),
                    use_cache=False,
                ).logits
                out[batch] = logits[:, 0].float().cpu().numpy()
                batch = []
            if i is not None:
                batch.append(i)
        return out

    def _loaded(self) -> Any:
        if self._model is None:
            folder = self.reader.folder
            with quietly():
                try:
                    model, info = AutoModelForSequenceClassification.from_pretrained(
                        folder,
                        dtype=self.reader.dtype,
                        use_safetensors=True,
                        trust_remote_code=False,
                        local_files_only=True,
                        output_loading_info=True,
                    )
                except (
                    Exception
                ) as error:  # a config can be wrong in ways that fail anywhere in a model's own code
                    reason = " ".join((str(error) or type(error).__name__).split())[:300]
                    raise CheckpointError(f"{folder}: the reward model cannot be loaded ({reason})") from None
            if missing := sorted(info["missing_keys"]):
                raise CheckpointError(
                    f"{folder}: the reward model lacks {missing[0]} ({len(missing)} tensors missing)"
                )
            self._model = model.to(self.reader.device).eval().requires_grad_(False)
        return self._model
