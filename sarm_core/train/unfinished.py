"""The folder of a training run that has not ended: its last checkpoint and its metrics so far."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sarm_core.errors import SarmError
from sarm_core.files import unfinished_folder, whole_file

__all__ = ["Metrics", "Unfinished"]


class Unfinished:
    """`OUT.unfinished/` beside the run's folder. A process that dies at any moment leaves it as of its last rename."""

    def __init__(self, out: str | Path):
        out = Path(out)
        self.folder = out.with_name(out.name + ".unfinished")
        self.file = self.folder / "checkpoint.safetensors"
        self.metrics = self.folder / "metrics.jsonl"

    @contextmanager
    def opened(self, *, resume: bool) -> Iterator[Unfinished]:
        """Hold the folder for this process. Raises SarmError when another one does, the disk refuses, or there is a
        checkpoint and `resume` is False."""
        with unfinished_folder(
            self.folder, self.file, resume=resume, work="run", remedy="choose another out"
        ):
            yield self

    def write(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Replace the checkpoint. Raises SarmError when the disk refuses; the one before stays."""
        held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        data = save(held, {"facts": json.dumps(dict(facts), allow_nan=False)})
        with whole_file(self.file, binary=True, remedy="make room, and go on with --resume") as file:
            file.write(data)

    def read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """(tensors, facts) of the last checkpoint, or None. Raises SarmError for a damaged one."""
        if not self.file.exists():
            return None
        try:
            with safe_open(self.file, "pt") as opened:
                facts = json.loads((opened.metadata() or {})["facts"])
                return {name: opened.get_tensor(name) for name in opened.keys()}, facts  # noqa: SIM118
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise SarmError(
                f"{self.file}: damaged ({str(error)[:80]}); delete {self.folder} to start anew"
            ) from None

    def remove(self) -> None:
        """Delete the folder; the checkpoint goes first, so what is left is never taken for an unfinished run."""
        self.file.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class Metrics:
    """A line of JSON for each entry, in a file that a resumed run cuts back to its checkpoint; TensorBoard beside."""

    def __init__(self, path: Path | None, size: int = 0, board: Any = None):
        self.path, self.board = path, board
        if path is not None:
            with self._refusing():
                path.touch()
                os.truncate(path, size)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self.path.stat().st_size if self.path else 0

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append an entry. Raises SarmError when the disk refuses."""
        if self.path is not None:
            with self._refusing(), self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, allow_nan=False) + "\n")
        if self.board is not None:
            for name, value in entry.items():
                if isinstance(value, int | float) and name != "step":
                    self.board.add_scalar(name, value, entry["step"])

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SarmError(
                f"{self.path}: cannot be written ({error.strerror}); make room, and go on with --resume"
            ) from None
