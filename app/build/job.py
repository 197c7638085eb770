"""A build that runs beside the app, as a process of its own: it outlives page reloads, and the app itself.

What is known of it lies in its folder: `job.json` (what was asked, the process), `log.txt` (what `sarm build` says),
and the pairs that were uploaded. Whether it was built is decided by the new model's `report.json`, which is whole or
absent.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from app.session import session
from sarm_core.errors import SarmError
from sarm_core.files import cache_folder, check_new, whole_file

__all__ = ["Asked", "Job", "State", "begin", "jobs", "start"]

State = Literal["running", "built", "stopped"]
ROOT = Path(__file__).resolve().parents[2]
_STARTED: dict[int, subprocess.Popen[bytes]] = {}
"""Processes of this app, which have to be waited for; those of an earlier one are nobody's."""
_PROGRESS = re.compile(r"([\d,]+) of ([\d,]+) answers read, ([\d,.]+) a second, ([\d,]+) s left")


@dataclass(frozen=True)
class Asked:
    """What was asked for, in the words of `sarm build`."""

    pairs: tuple[str, ...]
    backbone: str
    sae: str
    out: str
    layer: int | None = None
    features: int | None = None
    ties: str = "out"

    def words(self) -> list[str]:
        """Arguments of the command."""
        found = ["build", *self.pairs, "--backbone", self.backbone, "--sae", self.sae, "--out", self.out]
        found += ["--layer", str(self.layer)] if self.layer else []
        found += ["--features", str(self.features)] if self.features else []
        return found + (["--ties", self.ties] if self.ties != "out" else [])


@dataclass(frozen=True)
class Job:
    """A build in `folder`, asked for as `asked`, in process `pid` since `began` (seconds since 1970)."""

    folder: Path
    asked: Asked
    pid: int
    began: float

    @property
    def state(self) -> State:
        """Running, built, or ended without a model (an error, Stop, a kill)."""
        if (Path(self.asked.out) / "report.json").exists():
            return "built"
        return "running" if self._runs() else "stopped"

    def log(self) -> list[str]:
        """What it said so far, a line each."""
        try:
            return (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []

    def progress(self) -> tuple[float, float, int] | None:
        """Share of the answers that are read, answers a second and seconds left, as measured; None before the first."""
        found = [match for line in self.log() if (match := _PROGRESS.search(line))]
        if not found:
            return None
        done, of, rate, left = (float(group.replace(",", "")) for group in found[-1].groups())
        return done / max(of, 1), rate, int(left)

    def error(self) -> str | None:
        """The line with which it refused, None without one."""
        return next((line.removeprefix("error: ") for line in self.log() if line.startswith("error: ")), None)

    def report(self) -> dict[str, Any]:
        """The report of what was built. Raises SarmError."""
        path = Path(self.asked.out) / "report.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise SarmError(f"{path}: cannot be read ({error})") from None

    def stop(self) -> None:
        """End it as Ctrl-C does. What was read is kept, and a new build of the same goes on from there."""
        if self._runs():
            os.killpg(self.pid, signal.SIGINT)

    def _runs(self) -> bool:
        own = _STARTED.get(self.pid)
        if own is not None:
            return own.poll() is None
        try:  # another process may have the number by now
            words = Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return self.asked.out.encode() in words


def start(asked: Asked, uploads: Sequence[tuple[str, bytes]] = ()) -> Job:
    """Begin a build; `uploads` are files of pairs by name, kept beside its log. Raises SarmError."""
    check_new(asked.out)
    folder = _jobs_folder() / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    folder.mkdir(parents=True)
    paths = []
    for number, (name, data) in enumerate(uploads):
        harmless = re.sub(r"[^\w.-]", "_", name)[-80:]
        path = folder / f"{number}-{harmless}"
        path.write_bytes(data)
        paths.append(str(path))
    asked = Asked(**{**asdict(asked), "pairs": (*asked.pairs, *paths)})
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sarm_core", *asked.words()],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    _STARTED[process.pid] = process
    job = Job(folder, asked, process.pid, time.time())
    with whole_file(folder / "job.json") as file:
        json.dump({"asked": asdict(asked), "pid": job.pid, "began": job.began}, file)
    return job


def begin(asked: Asked, uploads: Sequence[tuple[str, bytes]] = ()) -> Job:
    """`start`, for the person at the keyboard. Raises PermissionRefused for whoever only looks, and SarmError."""
    session.check_may_write("a build")
    return start(asked, uploads)


def jobs() -> list[Job]:
    """Every build that was asked for here, the last one first."""
    found = []
    for path in sorted(_jobs_folder().glob("*/job.json"), reverse=True):
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            asked = Asked(**{**held["asked"], "pairs": tuple(held["asked"]["pairs"])})
            found.append(Job(path.parent, asked, int(held["pid"]), float(held["began"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def _jobs_folder() -> Path:
    return cache_folder("builds")
