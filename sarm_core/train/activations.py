"""Residual-stream activations of a corpus, computed once and kept on disk (`positions.py`) for many SAE runs."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sarm_core.errors import SarmError
from sarm_core.model.backbone import cut_backbone
from sarm_core.model.checkpoint import find_folder
from sarm_core.model.hf import AutoTokenizer
from sarm_core.model.sae import SAE, TopK
from sarm_core.model.sarm import SARM
from sarm_core.score.cache import HIDDEN
from sarm_core.score.encoder import Encoder
from sarm_core.text.answers import Reader as RowReader
from sarm_core.text.conversation import SCORED_RULES, ChatFormat, TokenSequence, sentence_ends
from sarm_core.train.cuts import scored_after_cuts
from sarm_core.train.data import TENTHS, Parts, Text, read_texts
from sarm_core.train.kept_rows import KeptRows
from sarm_core.train.positions import (
    KINDS,
    RECORD,
    SPLITS,
    Positions,
    PositionWriter,
    held,
    read_index,
    shard_folder,
)
from sarm_core.train.processes import ALONE, Processes

__all__ = ["Corpus", "Reader", "Taken", "backbone_folder", "collect", "found_from_anywhere"]

MAX_LENGTH = 1024
"""Tokens of a text that stage 1 reads unless its settings say otherwise"""
TEXTS_AT_ONCE = 256
SHARDS = 64
"""Into how many shards a large corpus is divided: as many processes can collect it at once"""
SECONDS_BETWEEN_COMMITS = 20.0
SCORED_KEPT = 200_000
"""Scored rows that are also kept for `train-reward` and `build`, which hold 100 bytes for each"""


class Reader:
    """A cut backbone with its chat format: what both training stages read activations through.

    `rule` says which token is scored (`ChatFormat`), `max_length` how many tokens of a conversation are read, from its
    end, as far as the backbone has positions. `width` is d; `key` is the sha256 of what decides h of given token ids.
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
        positions = getattr(model.config, "max_position_embeddings", None) or max_length
        self.format = ChatFormat(tokenizer, rule=rule, max_length=min(max_length, int(positions)))
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


def found_from_anywhere(backbone: str) -> str:
    """A relative folder as an absolute one; "demo" and Hub ids as they are."""
    return backbone if backbone == "demo" or not Path(backbone).is_dir() else str(Path(backbone).resolve())


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


class Corpus:
    """Training files, read anew each time: `identity` changes with their bytes, with how rows are read, and with the
    shares of the parts."""

    def __init__(self, files: Sequence[str | Path], rows: RowReader | None = None, parts: Parts = TENTHS):
        self.files, self.rows, self.parts = [Path(file) for file in files], rows or RowReader(), parts

    def texts(self) -> Iterator[Text]:
        """Every answer, in order. Raises RowError."""
        reader = self.rows.again()
        for file in self.files:
            yield from read_texts(file, reader, self.parts)

    def counted(self) -> Counter[str]:
        """How many texts each part holds; what the rows were read as is remembered by `rows`."""
        found: Counter[str] = Counter()
        for file in self.files:
            found.update(text.split for text in read_texts(file, self.rows, self.parts))
        return found

    @property
    def identity(self) -> list[Any]:
        digests = []
        for file in self.files:
            inside = sorted(p for p in file.rglob("*") if p.is_file()) if file.is_dir() else [file]
            for path in inside:
                try:
                    with path.open("rb") as opened:
                        digests.append(hashlib.file_digest(opened, "sha256").hexdigest())
                except OSError as error:
                    raise SarmError(f"{path}: cannot be read ({error.strerror})") from None
        # Tenths are left out: what was collected in them keeps its name.
        return [digests, self.rows.choices(), *([] if self.parts == TENTHS else [asdict(self.parts)])]


@dataclass(frozen=True)
class Taken:
    """Which positions of each text are taken."""

    tokens_per_text: int
    cut_texts: int = 0
    cuts_per_text: int = 16
    seed: int = 0


def collect(
    reader: Reader,
    corpus: Corpus,
    taken: Taken,
    cache: Path,
    *,
    counted: Mapping[str, int] | None = None,
    log: bool = False,
    processes: Processes = ALONE,
) -> Positions:
    """h at every scored token, sentence end and `tokens_per_text` random answer tokens of each text, and at the scored
    token of `cut_texts` random texts as if their answers had stopped earlier.

    Kept in `cache` under a name made from everything that decides the content; a later call with the same inputs reads
    it, and goes on where an earlier one was killed: at most half a minute's work is lost. Memory is that of one batch
    of texts. `counted` is `corpus.counted()` where that is known. Of several `processes` each writes some shards, the
    same files as one would; the cache has to be a folder that all of them see.
    """
    n_texts = sum((counted if counted is not None else corpus.counted()).values())
    size = TEXTS_AT_ONCE * max(1, math.ceil(n_texts / TEXTS_AT_ONCE / SHARDS))
    facts = {
        "reader": reader.key,
        "corpus": corpus.identity,
        "format": [reader.format.rule, reader.format.max_length, reader.format.template],
        "taken": asdict(taken),
        "n_texts": n_texts,
        "texts_per_shard": size,
    }
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache / f"positions-{name}"
    with ExitStack() as stack:
        with processes.agreeing():
            missing = {
                number: texts
                for number, start in enumerate(range(0, n_texts, size))
                if _missing(shard_folder(folder, number), texts := range(start, min(start + size, n_texts)))
            }
            if missing and processes.first:
                stack.enter_context(held(folder))
        mine = {number: texts for number, texts in missing.items() if number % processes.n == processes.rank}
        if mine:
            progress = _Progress(sum(map(len, mine.values())), log and processes.first, processes.n)
            _collect(reader, corpus, taken, folder, facts, mine, cache, progress)
        processes.wait()
        with processes.agreeing():
            positions = Positions(folder)
            if positions.done != n_texts:
                raise SarmError(
                    f"{folder}: process {processes.rank} finds {positions.done:,} of {n_texts:,} texts there: "
                    "cache has to be one folder that all processes see"
                )
    return positions


def _missing(shard: Path, texts: range) -> bool:
    index = read_index(shard)
    return index is None or index["done"] < len(texts)


class _Progress:
    """Says how far a process is with its texts."""

    def __init__(self, n_texts: int, shown: bool, n_processes: int):
        self.n_texts, self.shown = n_texts, shown
        self.whose = f" of the first of {n_processes} processes" if n_processes > 1 else ""
        self.begun, self.before, self.done, self.positions = time.monotonic(), 0, 0, 0

    def say(self) -> None:
        if self.shown:
            rate = (self.done - self.before) / max(time.monotonic() - self.begun, 1e-9)
            print(
                f"  {self.done:,}/{self.n_texts:,} texts{self.whose}  {self.positions:,} positions  "
                f"{(self.n_texts - self.done) / max(rate, 1e-9):,.0f} s left",
                file=sys.stderr,
                flush=True,
            )


def _collect(
    reader: Reader,
    corpus: Corpus,
    taken: Taken,
    folder: Path,
    facts: Mapping[str, Any],
    shards: Mapping[int, range],
    cache: Path,
    progress: _Progress,
) -> None:
    """Write some shards, each of a range of the corpus's texts."""
    n_texts = facts["n_texts"]
    chosen = np.random.default_rng([taken.seed, n_texts])
    cut = frozenset(chosen.choice(n_texts, min(taken.cut_texts, n_texts), replace=False).tolist())
    kept_rows = reader.kept(cache) if n_texts <= SCORED_KEPT else None
    every, passed = enumerate(corpus.texts()), 0
    for number, texts in shards.items():
        with PositionWriter(shard_folder(folder, number), reader.width, facts).opened() as writer:
            progress.before += writer.done
            progress.done += writer.done
            progress.positions += sum(writer.counts.values())
            first = texts.start + writer.done
            rest = islice(every, first - passed, texts.stop - passed)
            passed = texts.stop
            _fill(reader, rest, cut, taken, writer, len(texts), kept_rows, progress)


def _fill(
    reader: Reader,
    rest: Iterator[tuple[int, Text]],
    cut: frozenset[int],
    taken: Taken,
    writer: PositionWriter,
    n_texts: int,
    kept_rows: KeptRows | None,
    progress: _Progress,
) -> None:
    """Append the numbered texts that a shard of `n_texts` still lacks."""
    kept, done = time.monotonic(), writer.done
    while numbered := list(islice(rest, TEXTS_AT_ONCE)):
        numbers = [number for number, _ in numbered]
        texts = [text for _, text in numbered]
        before = sum(writer.counts.values())
        sequences = reader.format.tokens([text.conversation for text in texts])
        _append_read(reader, texts, sequences, numbers, taken, writer, kept_rows)
        mine = [i for i, number in enumerate(numbers) if number in cut]
        if mine:
            which = [numbers[i] for i in mine]
            _append_cuts(reader, [texts[i] for i in mine], [sequences[i] for i in mine], which, taken, writer)
        progress.positions += sum(writer.counts.values()) - before
        progress.done += len(texts)
        done += len(texts)
        now = time.monotonic()
        if now - kept > SECONDS_BETWEEN_COMMITS or done == n_texts:
            writer.commit(done)
            kept = now
            progress.say()


def _append_read(
    reader: Reader,
    texts: Sequence[Text],
    sequences: Sequence[TokenSequence],
    numbers: Sequence[int],
    taken: Taken,
    writer: PositionWriter,
    kept: KeptRows | None,
) -> None:
    """Positions that the texts themselves have."""
    positions, kinds = [], []
    for number, sequence in zip(numbers, sequences, strict=True):
        rng = np.random.default_rng([taken.seed, 1, number])
        ends = sentence_ends(sequence)
        # The first token of an input is no activation like others: its norm can be a hundred times as large.
        inside = np.arange(max(1, sequence.answer_start), sequence.scored)
        extra = np.setdiff1d(rng.permutation(inside)[: taken.tokens_per_text], ends)
        where = np.concatenate([ends, extra])
        order = np.argsort(where)
        positions.append(where[order])
        kind = np.concatenate([np.where(ends == sequence.scored, 0, 1), np.full(len(extra), 2)])
        kinds.append(kind[order])
    read = reader.encoder.hidden([s.input_ids for s in sequences], positions)
    h = _as_float16(read)
    kind = np.concatenate(kinds)
    split = np.repeat([SPLITS.index(text.split) for text in texts], [len(p) for p in positions])
    records = np.array([_record(*both) for both in zip(texts, sequences, strict=True)], dtype=RECORD)
    if kept is not None:
        names = [hashlib.sha256(s.input_ids.tobytes()).digest() for s in sequences]
        new = {
            name: row
            for name, row in zip(names, reader.checked(read[kind == 0]), strict=True)
            if name not in kept
        }
        kept.add(list(new), np.array(list(new.values())).reshape(-1, reader.width))
    own = np.array([SPLITS.index(text.split) for text in texts])
    for i, part in enumerate(SPLITS):
        for j, name in enumerate(KINDS[:3]):
            writer.append((part, name), h[(split == i) & (kind == j)], records[own == i] if j == 0 else None)


def _append_cuts(
    reader: Reader,
    texts: Sequence[Text],
    sequences: Sequence[TokenSequence],
    numbers: Sequence[int],
    taken: Taken,
    writer: PositionWriter,
) -> None:
    cuts = []
    for number, sequence in zip(numbers, sequences, strict=True):
        rng = np.random.default_rng([taken.seed, 2, number])
        inside = np.arange(sequence.answer_start, sequence.scored - 1)
        cuts.append(np.sort(rng.permutation(inside)[: taken.cuts_per_text]))
    h = scored_after_cuts(
        reader.encoder.model,
        [s.input_ids for s in sequences],
        cuts,
        token_budget=reader.encoder.token_budget,
    )
    split = np.repeat([SPLITS.index(text.split) for text in texts], [len(c) for c in cuts])
    for i, part in enumerate(SPLITS):
        writer.append((part, "cut"), _as_float16(h)[split == i])


def _record(text: Text, sequence: TokenSequence) -> tuple[int, int]:
    turns = text.conversation.messages or ()
    prompt = _number(repr(turns[:-1]).encode()) if len(turns) > 1 else 0
    return prompt, _number(sequence.input_ids.tobytes())


def _number(data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "little")
