"""A naming that runs beside the app (`app.session.beside`): what was asked for, how far it is, how it ended.

Endpoint and key are those of the server's environment, so that nobody can have the key sent elsewhere.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from app.session import beside, session
from sarm_core.cli.name import KEY, MODEL, URL
from sarm_core.errors import SarmError
from sarm_core.files import cache_folder
from sarm_core.name.budget import Budget, Limits, Prices
from sarm_core.name.evidence import Sizes

__all__ = ["Asked", "Job", "State", "begin", "environment", "jobs"]

State = Literal["running", "done", "some failed", "ended early", "stopped"]
_PROGRESS = re.compile(r"^([\d,]+) of ([\d,]+) features, (.*) used$")
_FAILED = re.compile(r"^#(\d+) failed: (.*)$")


@dataclass(frozen=True)
class Environment:
    """What the server's environment says; of the key only whether there is one."""

    url: str | None
    model: str | None
    has_key: bool


def environment() -> Environment:
    """Of this process, which a naming inherits."""
    return Environment(os.environ.get(URL) or None, os.environ.get(MODEL) or None, bool(os.environ.get(KEY)))


@dataclass(frozen=True)
class Asked:
    """What was asked for, in the words of `sarm name`. `local` is a folder; "" for the endpoint."""

    store: str
    model: str
    local: str = ""
    features: tuple[int, ...] = ()
    most: int = 20
    pairs: int = 10
    most_requests: int | None = None
    most_tokens: int | None = None
    most_money: float | None = None
    prompt_price: float | None = None
    reply_price: float | None = None

    def words(self) -> list[str]:
        """Arguments of the command."""
        found = ["name", self.store, "--most", str(self.most), "--pairs", str(self.pairs)]
        found += ["--local", self.local] if self.local else ["--model", self.model]
        found += ["--features", *map(str, self.features)] if self.features else []
        for option in ("most_requests", "most_tokens", "most_money", "prompt_price", "reply_price"):
            value = getattr(self, option)
            if value is not None:
                found += [f"--{option.replace('_', '-')}", str(value)]
        return found

    @property
    def sizes(self) -> Sizes:
        """How much is shown."""
        return Sizes(pairs=self.pairs)

    def budget(self) -> Budget:
        """With its limits and prices."""
        limits = Limits(self.most_requests, self.most_tokens, self.most_money)
        return Budget(limits, Prices(self.prompt_price, self.reply_price))

    @property
    def name(self) -> str:
        """What the model is called."""
        if not self.local:
            return self.model
        return (
            "SmolLM2-135M-Instruct" if self.local == "demo" else Path(self.local).expanduser().resolve().name
        )


@dataclass(frozen=True)
class Job:
    """A naming in `folder`, asked for as `asked`, in process `pid` since `began` (seconds since 1970)."""

    folder: Path
    asked: Asked
    pid: int
    began: float

    @property
    def state(self) -> State:
        """Running, or how it ended; "stopped" where it said nothing (a kill) or refused."""
        if beside.runs(self.pid, self.asked.store):
            return "running"
        lines = self.log()
        if any(line.startswith("ended early: ") for line in lines):
            return "ended early"
        if not any(" features named by " in line for line in lines):
            return "stopped"
        return "some failed" if self.failed() else "done"

    def log(self) -> list[str]:
        """What it said so far, a line each."""
        return beside.log_of(self.folder)

    def progress(self) -> tuple[int, int, str] | None:
        """Features that are through, of how many, and what was used so far; None before the first."""
        found = [match for line in self.log() if (match := _PROGRESS.match(line))]
        if not found:
            return None
        done, of, used = found[-1].groups()
        return int(done.replace(",", "")), int(of.replace(",", "")), used

    def estimate(self) -> str | None:
        """The line with the estimate, as the command said it at its start."""
        return next((line for line in self.log() if ": about " in line), None)

    def failed(self) -> list[tuple[int, str]]:
        """Features without a name, with the reason."""
        return [(int(m[1]), m[2]) for line in self.log() if (m := _FAILED.match(line))]

    def last_words(self) -> str | None:
        """How it ended early, or why it refused; None where it did neither."""
        lines = self.log()
        early = next((line for line in lines if line.startswith("ended early: ")), None)
        return early.removeprefix("ended early: ") if early else beside.error_in(lines)

    def stop(self) -> None:
        """End it as Ctrl-C does: replies under way are waited for, and what is done goes into the store."""
        beside.stop(self.pid, self.asked.store)


def begin(asked: Asked) -> Job:
    """Start a naming, for the person at the keyboard. Raises PermissionRefused for whoever only looks, SarmError."""
    session.check_may_write("naming features by a model")
    if any(job.state == "running" for job in jobs(asked.store)):
        raise SarmError("a naming is running for this store; wait for its end or stop it")
    folder = beside.new_folder(_folder())
    return Job(folder, asked, *beside.run_beside(folder, asked.words(), asdict(asked)))


def jobs(store: str) -> list[Job]:
    """The namings of one store, the last one first."""
    found = []
    for folder, held in beside.kept_jobs(_folder()):
        try:
            given: dict[str, Any] = {**held["asked"], "features": tuple(held["asked"]["features"])}
            asked = Asked(**given)
            if asked.store == store:
                found.append(Job(folder, asked, int(held["pid"]), float(held["began"])))
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _folder() -> Path:
    return cache_folder("namings")
