"""The folder of an unfinished harvest: its state and what was made so far, all written beside and renamed."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sarm_core.errors import SarmError
from sarm_core.files import unfinished_folder, whole_file

__all__ = ["Workspace"]

STAGES = ("encode", "trace", "import")


class Workspace:
    """`DB.harvest/` beside the store. A process that dies at any moment leaves it as of its last rename."""

    def __init__(self, database: Path):
        self.folder = database.with_name(database.name + ".harvest")
        self.state_file = self.folder / "state.npz"

    @contextmanager
    def opened(self, *, resume: bool) -> Iterator[None]:
        """Hold the folder for this process. Raises SarmError when another harvest does, or when there is
        unfinished work and `resume` is False."""
        with unfinished_folder(
            self.folder, self.state_file, resume=resume, work="harvest", remedy="choose another --db"
        ):
            yield

    def read(self) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """(facts, arrays) of the last checkpoint, or None. Raises SarmError for a damaged one."""
        if not self.state_file.exists():
            return None
        arrays = self._arrays(self.state_file)
        try:
            return json.loads(str(arrays.pop("facts"))), arrays
        except (ValueError, KeyError) as error:
            raise self._damaged(self.state_file, error) from None

    def _arrays(self, file: Path) -> dict[str, np.ndarray]:
        try:
            with np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise self._damaged(file, error) from None

    def _damaged(self, file: Path, error: Exception) -> SarmError:
        return SarmError(f"{file}: damaged ({str(error)[:80]}); delete {self.folder} to start anew")

    def write(self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the checkpoint. Raises SarmError when the disk refuses."""
        replace_file(self.state_file, {"facts": np.array(json.dumps(dict(facts))), **arrays})

    def trace_file(self, number: int) -> Path:
        """Where part `number` of the traces is, or will be."""
        return self.folder / f"traces-{number:06d}.npy"

    def made(self, name: str, make: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The arrays that `make` gives, computed once: a harvest that goes on finds them in a file `name`.

        Raises SarmError when the disk refuses or the file is damaged.
        """
        file = self.folder / f"made-{name}.npz"
        if not file.exists():
            replace_file(file, make())
        return self._arrays(file)

    def clear(self) -> None:
        """Delete what no checkpoint knows of."""
        for pattern in ("traces-*", "made-*", ".*.tmp"):
            for file in self.folder.glob(pattern):
                file.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the folder; the state goes first, so what is left is never taken for unfinished work."""
        self.state_file.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def replace_file(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as .npz, whole or not at all. Raises SarmError."""
    with whole_file(path, binary=True, remedy="the harvest stops here") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
