"""A build that runs beside the app (`app.session.beside`).

Whether it was built is decided by the new model's `report.json`, which is whole or absent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from app.session import beside, session
from sarm_core.errors import SarmError
from sarm_core.files import cache_folder, check_new

__all__ = ["Asked", "Job", "State", "begin", "jobs", "start"]

State = Literal["running", "built", "stopped"]
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
        return "running" if beside.runs(self.pid, self.asked.out) else "stopped"

    def log(self) -> list[str]:
        """What it said so far, a line each."""
        return beside.log_of(self.folder)

    def progress(self) -> tuple[float, float, int] | None:
        """Share of the answers that are read, answers a second and seconds left, as measured; None before the first."""
        found = [match for line in self.log() if (match := _PROGRESS.search(line))]
        if not found:
            return None
        done, of, rate, left = (float(group.replace(",", "")) for group in found[-1].groups())
        return done / max(of, 1), rate, int(left)

    def error(self) -> str | None:
        """The line with which it refused, None without one."""
        return beside.error_in(self.log())

    def report(self) -> dict[str, Any]:
        """The report of what was built. Raises SarmError."""
        path = Path(self.asked.out) / "report.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise SarmError(f"{path}: cannot be read ({error})") from None

    def stop(self) -> None:
        """End it as Ctrl-C does. What was read is kept, and a new build of the same goes on from there."""
        beside.stop(self.pid, self.asked.out)


def start(asked: Asked, uploads: Sequence[tuple[str, bytes]] = ()) -> Job:
    """Begin a build; `uploads` are files of pairs by name, kept beside its log. Raises SarmError."""
    check_new(asked.out)
    folder = beside.new_folder(_jobs_folder())
    paths = beside.kept_uploads(folder, uploads)
    asked = Asked(**{**asdict(asked), "pairs": (*asked.pairs, *paths)})
    return Job(folder, asked, *beside.run_beside(folder, asked.words(), asdict(asked)))


def begin(asked: Asked, uploads: Sequence[tuple[str, bytes]] = ()) -> Job:
    """`start`, for the person at the keyboard. Raises PermissionRefused for whoever only looks, and SarmError."""
    session.check_may_write("a build")
    return start(asked, uploads)


def jobs() -> list[Job]:
    """Every build that was asked for here, the last one first."""
    found = []
    for folder, held in beside.kept_jobs(_jobs_folder()):
        try:
            asked = Asked(**{**held["asked"], "pairs": tuple(held["asked"]["pairs"])})
            found.append(Job(folder, asked, int(held["pid"]), float(held["began"])))
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _jobs_folder() -> Path:
    return cache_folder("builds")
