"""What was asked and what came back, a line each, so that nothing is asked twice: after Stop, a kill, or next week.

A file beside the store for each model, prompts and sizes. Each line is on the disk before the next question goes out; a
line that a kill left half is dropped. It holds replies and no key.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from sarm_core.errors import SarmError

__all__ = ["Journal", "asked_before", "journal_path"]


def journal_path(store: Path, what: Mapping[str, Any]) -> Path:
    """The journal of naming `what` says: the model, the prompts, the store's model and the sizes."""
    digest = hashlib.sha256(json.dumps(dict(what), sort_keys=True).encode()).hexdigest()[:16]
    return store.with_name(f"{store.name}.names") / f"{digest}.jsonl"


def asked_before(path: Path) -> Collection[tuple[int, str]]:
    """(feature, step) of what the journal in `path` holds, without holding it; lines that are none are passed over."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return ()
    found = set()
    for line in lines:
        try:
            held = json.loads(line)
            found.add((int(held["feature"]), str(held["step"])))
        except (ValueError, KeyError, TypeError):
            continue
    return found


class Journal:
    """Steps that are done: (feature, step) -> what it gave. One process at a time holds it.

    Raises SarmError where another one does, where it cannot be written, or where a line is none of ours.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]):
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        except OSError as error:
            raise SarmError(
                f"{path}: cannot be written ({error.strerror}); it lies beside the store"
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise SarmError(f"{path}: another naming with this model and these prompts is going on") from None
        self.done: dict[tuple[int, str], dict[str, Any]] = {}
        try:
            self._read()
        except SarmError:
            self._file.close()
            raise
        if not self._file.tell():
            self._append({"journal": dict(header)})

    def _read(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        whole = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                held = json.loads(line)
                if "journal" not in held:
                    self.done[int(held["feature"]), str(held["step"])] = dict(held["gave"])
            except (ValueError, KeyError, TypeError):
                raise SarmError(
                    f"{self.path}, row {number}: is no line of a naming; move the file away to ask anew"
                ) from None
        if whole < len(data):  # what a kill left half
            self._file.truncate(whole)
        self._file.seek(0, os.SEEK_END)

    def add(self, feature: int, step: str, gave: Mapping[str, Any]) -> None:
        """Keep what a step gave, on the disk when this returns. Raises SarmError."""
        with self._lock:
            self._append({"feature": feature, "step": step, "gave": dict(gave)})
            self.done[feature, step] = dict(gave)

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise SarmError(f"{self.path}: cannot be written ({error.strerror}); free some space") from None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._file.close()
