"""A SARM whose facts and head are at hand at once, and whose weights are loaded when a text has to be read.

The first load of a checkpoint leaves a small file in the cache folder: what the model is (`SarmFacts`), its head w, and
name, size and time of each file it was loaded from. As long as those are the same, `open_kept` needs neither torch
nor the weights, so that answers that were encoded before are ranked, explained and steered at once. Once the model
is loaded after all, what was kept is compared with what it is: where they differ it is thrown away and said so.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sarm_core.errors import CheckpointError, SarmError
from sarm_core.files import cache_folder, whole_file
from sarm_core.score.facts import ENCODING, SarmFacts
from sarm_core.version import VERSION

if TYPE_CHECKING:
    from sarm_core.score.scorer import Scorer

__all__ = ["KeptSarm", "keep", "load_or_kept", "open_kept"]

FORMAT = "1"
PACKAGES = ("torch", "transformers", "tokenizers", "numpy")
_AGAIN = "the next start loads the model first"
_Files = list[list[Any]]


class KeptSarm:
    """What stands for a `Scorer` until a text has to be read: all that it does not know, the loaded one is asked.

    Attributes: `facts`, `head` float32 [M]. Safe to share between threads. `stale` once the loaded model turned out to
    be another one than was kept. Whatever loads raises CheckpointError as `load_sarm` does.
    """

    def __init__(
        self, facts: SarmFacts, head: npt.NDArray[np.float32], source: str, device: str, dtype: str
    ) -> None:
        self.facts = facts
        self.head = head
        self.stale = False
        self.seconds_to_load: float | None = None
        self._asked = (source, device, dtype)
        self._loaded: Scorer | None = None
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str:
        return self.facts.fingerprint

    @property
    def encoding_key(self) -> str:
        return self.facts.encoding_key

    @property
    def n_features(self) -> int:
        return self.facts.n_features

    @property
    def max_length(self) -> int:
        return self.facts.max_length

    @property
    def is_loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._loaded is not None

    def load(self) -> Scorer:
        """The scorer itself; loaded by the first caller, for whom others wait."""
        with self._lock:
            if self._loaded is None:
                from sarm_core.score.scorer import load_sarm

                started = time.perf_counter()
                source, device, dtype = self._asked
                loaded = load_sarm(source, device=device, dtype=dtype)
                if loaded.facts != self.facts or not np.array_equal(loaded.head, self.head):
                    self.stale = True
                    with suppress(OSError):
                        _place(*self._asked).unlink()
                    raise CheckpointError(
                        f"{source}: the model is not the one that was loaded before; open the page again"
                    )
                self.seconds_to_load = time.perf_counter() - started
                self._loaded = loaded
            return self._loaded

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what copying and pickling ask for
            raise AttributeError(name)
        return getattr(self.load(), name)


def load_or_kept(source: str, *, device: str = "auto", dtype: str = "auto") -> Scorer:
    """The kept model where there is one, else the loaded one, which is kept from now on. Raises CheckpointError."""
    kept = open_kept(source, device=device, dtype=dtype)
    if kept is not None:
        return cast("Scorer", kept)
    from sarm_core.score.scorer import load_sarm

    scorer = load_sarm(source, device=device, dtype=dtype)
    keep(scorer, source, device=device, dtype=dtype)
    return scorer


def open_kept(source: str, *, device: str = "auto", dtype: str = "auto") -> KeptSarm | None:
    """What is kept of "demo" or a folder; None where nothing is, a file of it changed, or it cannot be read."""
    try:
        with safe_open(_place(source, device, dtype), "numpy") as opened:
            stated = json.loads((opened.metadata() or {})["kept"])
            head = opened.get_tensor("head")
        facts = SarmFacts(**stated["facts"])
        if head.shape != (facts.n_features,) or head.dtype != np.float32:
            return None
        if hashlib.sha256(head.tobytes()).hexdigest() != stated["head"]:
            return None
        if stated["files"] != _files([Path(folder) for folder in stated["folders"]]):
            return None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
    return KeptSarm(facts, head, source, device, dtype)


def keep(scorer: Scorer, source: str, *, device: str = "auto", dtype: str = "auto") -> bool:
    """Keep what `open_kept` reads; False where it cannot be kept: a model of the Hub, a folder without room.

    A Hub id is asked of the Hub at each start, which may give newer files.
    """
    checkpoint = scorer.checkpoint
    if source != "demo" and not Path(source).expanduser().is_dir():
        return False
    folders = list(dict.fromkeys([checkpoint.folder.resolve(), checkpoint.backbone.resolve()]))
    try:
        stated = {
            "facts": scorer.facts.as_json(),
            "head": hashlib.sha256(scorer.head.tobytes()).hexdigest(),
            "folders": [str(folder) for folder in folders],
            "files": _files(folders),
        }
        place = _place(source, device, dtype)
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(place, binary=True, durable=False, remedy=_AGAIN) as file:
            file.write(save({"head": scorer.head}, metadata={"kept": json.dumps(stated)}))
    except (OSError, SarmError):
        return False
    return True


def _place(source: str, device: str, dtype: str) -> Path:
    """By all that decides what the load would give, besides the files."""
    where = source if source == "demo" else str(Path(source).expanduser().resolve())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    versions = [VERSION, *map(metadata.version, PACKAGES)]
    asked = json.dumps([FORMAT, ENCODING, where, device, dtype, visible, versions])
    return cache_folder("models", f"{hashlib.sha256(asked.encode()).hexdigest()[:32]}.safetensors")


def _files(folders: Sequence[Path]) -> _Files:
    """Every file in the folders: its path, size and time of its last change."""
    found: _Files = []
    for folder in folders:
        for entry in sorted(folder.iterdir()):
            if entry.is_file():
                stat = entry.stat()
                found.append([str(entry), stat.st_size, stat.st_mtime_ns])
    return found
