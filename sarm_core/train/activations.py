"""Residual-stream activations of a corpus, computed once and kept on disk for many SAE runs."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoTokenizer

from sarm_core.errors import SarmError
from sarm_core.files import whole_file
from sarm_core.model.backbone import cut_backbone
from sarm_core.model.checkpoint import find_folder
from sarm_core.model.sae import SAE, TopK
from sarm_core.model.sarm import SARM
from sarm_core.score.cache import HIDDEN
from sarm_core.score.encoder import Encoder
from sarm_core.text.conversation import SCORED_RULES, ChatFormat, TokenSequence, sentence_ends
from sarm_core.text.rows import Conversation, Message
from sarm_core.train.cuts import scored_after_cuts
from sarm_core.train.data import Text
from sarm_core.train.kept_rows import KeptRows

__all__ = [
    "KINDS",
    "Activations",
    "Reader",
    "backbone_folder",
    "collect",
    "collect_cuts",
    "joined",
    "siblings",
]

KINDS = ("scored", "sentence", "token", "cut")
SPLITS = ("train", "validation", "test")
MAX_LENGTH = 1024


@dataclass(frozen=True)
class Activations:
    """h at chosen positions: `h` float16 [n, d], `kind` int8 [n] (index into KINDS), `split` int8 [n]
    (0 train, 1 validation, 2 test)."""

    h: npt.NDArray[np.float16]
    kind: npt.NDArray[np.int8]
    split: npt.NDArray[np.int8]


class Reader:
    """A cut backbone with its chat format: what both training stages read activations through.

    `rule` says which token is scored (`ChatFormat`), `max_length` how many tokens of a conversation are read, from its
    end. `width` is d; `key` is the sha256 of what decides h of given token ids.
    """

    def __init__(
        self,
        backbone: str,
        layer: int,
        dtype: torch.dtype = torch.bfloat16,
        *,
        rule: str = SCORED_RULES[0],
        max_length: int = MAX_LENGTH,
        device: torch.device | str = "cpu",
    ):
        self.folder = backbone_folder(backbone)
        # The demo's name carries the sha256 of what it was made from.
        self.identity = self.folder.name if backbone == "demo" else _digest(self.folder)
        self.layer, self.dtype, self.device = layer, dtype, torch.device(device)
        model = cut_backbone(self.folder, layer, dtype).eval().requires_grad_(False)
        self.width = int(model.config.hidden_size)  # type: ignore[union-attr, arg-type]
        # Only its hidden() is used.
        self.encoder = Encoder(SARM(model, SAE(self.width, 1, TopK(1))).to(device))
        tokenizer = AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)
        self.format = ChatFormat(tokenizer, rule=rule, max_length=max_length)
        decides = [self.identity, layer, str(dtype), self.device.type]
        self.key = hashlib.sha256(json.dumps(decides).encode()).hexdigest()

    def checked(self, h: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        """h as it is kept: float32 where the backbone runs in it, else float16. Raises SarmError for overflow."""
        if self.dtype in (torch.float16, torch.bfloat16):
            return _as_float16(h)
        if not np.isfinite(h).all():
            raise SarmError(
                f"h after block {self.layer} is not finite: the backbone overflows in {self.dtype}"
            )
        return h

    def kept(self, cache: Path) -> KeptRows:
        """h of scored tokens in `cache`, under the sha256 of the token ids that end with them."""
        half = self.dtype in (torch.float16, torch.bfloat16)
        path = cache / self.key[:16] / HIDDEN
        return KeptRows(path, self.width, np.float16 if half else np.float32)


def backbone_folder(backbone: str) -> Path:
    """Where a backbone lies: "demo" (fetched where it is absent), a folder or a Hub id. Raises CheckpointError."""
    if backbone == "demo":
        from sarm_core.model.embedded import ensure_backbone

        return ensure_backbone()
    return find_folder(backbone)


def _as_float16(h: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    if not np.isfinite(h).all() or np.abs(h).max() > 6e4:
        raise SarmError(
            "activations exceed float16: run the backbone in float32, or train from another block"
        )
    return h.astype(np.float16)


def _digest(folder: Path) -> str:
    """sha256 of a backbone's weights: folders of one name may hold different ones."""
    parts = []
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as opened:
            parts.append(hashlib.file_digest(opened, "sha256").hexdigest())
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _key(reader: Reader, sequences: Sequence[TokenSequence], *more: int) -> str:
    """A name made from everything that decides the activations."""
    made_from = json.dumps([reader.identity, reader.layer, MAX_LENGTH, *more]).encode()
    return hashlib.sha256(made_from + b"".join(s.input_ids.tobytes() for s in sequences)).hexdigest()[:16]


def _save(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, binary=True, remedy="choose another cache") as file:
        write(file)


def collect_cuts(
    reader: Reader, texts: Sequence[Text], *, n_texts: int, cuts_per_text: int, seed: int, cache: Path
) -> Activations:
    """h of the scored token as if the answer had stopped at random tokens, for `n_texts` random texts."""
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(texts))[:n_texts])
    sequences = reader.format.tokens([texts[i].conversation for i in chosen])
    path = cache / f"cuts-{_key(reader, sequences, cuts_per_text, seed)}.npz"
    if path.exists():
        return _load(path)
    cuts = [
        np.sort(rng.permutation(np.arange(s.answer_start, s.scored - 1))[:cuts_per_text]) for s in sequences
    ]
    h = scored_after_cuts(
        reader.encoder.model,
        [s.input_ids for s in sequences],
        cuts,
        token_budget=reader.encoder.token_budget,
        progress=_report(),
    )
    split = np.repeat([SPLITS.index(texts[i].split) for i in chosen], [len(c) for c in cuts]).astype(np.int8)
    result = Activations(_as_float16(h), np.full(len(h), KINDS.index("cut"), dtype=np.int8), split)
    _store(path, result)
    return result


def siblings(texts: Sequence[Text], activations: Activations) -> npt.NDArray[np.int64]:
    """Rows [p, 2] of scored tokens of two different train answers to one prompt, every such pair once.

    `activations` starts with what `collect` gave for `texts`. No preference is looked at.
    """
    scored = np.flatnonzero(activations.kind == 0)
    by_prompt: dict[tuple[Message, ...], dict[Conversation, int]] = {}
    for text, row in zip(texts, scored.tolist(), strict=True):
        if text.split == "train":
            by_prompt.setdefault((text.conversation.messages or ())[:-1], {}).setdefault(
                text.conversation, row
            )
    pairs = [pair for rows in by_prompt.values() for pair in combinations(rows.values(), 2)]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def joined(parts: Sequence[Activations]) -> Activations:
    """All positions of several collections."""
    return Activations(
        np.concatenate([part.h for part in parts]),
        np.concatenate([part.kind for part in parts]),
        np.concatenate([part.split for part in parts]),
    )


def _load(path: Path) -> Activations:
    with np.load(path, allow_pickle=False) as stored:
        return Activations(stored["h"], stored["kind"], stored["split"])


def _store(path: Path, result: Activations) -> None:
    _save(path, lambda file: np.savez(file, h=result.h, kind=result.kind, split=result.split))


def collect(
    reader: Reader, texts: Sequence[Text], *, tokens_per_text: int, seed: int, cache: Path
) -> Activations:
    """h at every scored token, every sentence end and `tokens_per_text` random answer tokens of each text.

    Kept in `cache` under a name made from everything that decides the content; a later call with the same
    inputs reads the file. Peak memory is the result: 2 d bytes a position.
    """
    sequences = reader.format.tokens([text.conversation for text in texts])
    path = cache / f"activations-{_key(reader, sequences, tokens_per_text, seed)}.npz"
    if path.exists():
        return _load(path)
    rng = np.random.default_rng(seed)
    positions, kinds, splits = [], [], []
    for text, sequence in zip(texts, sequences, strict=True):
        ends = sentence_ends(sequence)
        inside = np.arange(sequence.answer_start, sequence.scored)
        extra = np.setdiff1d(rng.permutation(inside)[:tokens_per_text], ends)
        where = np.concatenate([ends, extra])
        order = np.argsort(where)
        positions.append(where[order])
        kind = np.concatenate([np.where(ends == sequence.scored, 0, 1), np.full(len(extra), 2)])
        kinds.append(kind[order].astype(np.int8))
        splits.append(np.full(len(where), SPLITS.index(text.split), dtype=np.int8))
    h = reader.encoder.hidden([s.input_ids for s in sequences], positions, progress=_report())
    result = Activations(_as_float16(h), np.concatenate(kinds), np.concatenate(splits))
    scored = result.h[result.kind == 0]
    names = [hashlib.sha256(s.input_ids.tobytes()).digest() for s in sequences]
    kept = reader.kept(cache)
    new = {name: row for name, row in zip(names, scored, strict=True) if name not in kept}
    kept.add(list(new), np.array(list(new.values()), scored.dtype).reshape(-1, reader.width))
    _store(path, result)
    return result


def _report():  # type: ignore[no-untyped-def]
    """A progress callback that prints rate and time left to standard error every five seconds."""
    started = last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 5 or done == total:
            rate = done / max(now - started, 1e-9)
            left = (total - done) / max(rate, 1e-9)
            print(f"  {done:,}/{total:,} tokens  {rate:,.0f} tokens/s  {left:,.0f} s left", file=sys.stderr)
            last = now

    return progress
