"""A folder of logged completions that grows: what is new is read, what is half-written is read later."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sarm_core.errors import RowError, SarmError
from sarm_core.text.answers import Reader
from sarm_core.watch.logs import LOGS, LogFile, LogFormat, Logged
from sarm_core.watch.logs.base import HalfWritten

__all__ = ["LogFolder", "NothingLogged", "Reading", "steps_in_words"]


class NothingLogged(SarmError):
    """A folder without a log of completions, which a training that begins may write yet."""


YOUNG = 60.0
"""Seconds since a file was last written for which one that cannot be read counts as half-written"""
_SOME = 5


@dataclass(frozen=True)
class Reading:
    """The completions of a log by ascending step, and what was odd. `waiting` are files that are half-written, `bad`
    those that cannot be read and were left out."""

    log: LogFormat
    steps: dict[int, tuple[Logged, ...]]
    notes: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    bad: tuple[RowError, ...] = ()


@dataclass
class LogFolder:
    """Reads the logs in `source`, a folder or one file. With `skip_bad` what cannot be read is listed, not raised."""

    source: Path
    reader: Reader = field(default_factory=Reader)
    skip_bad: bool = False
    _held: dict[Path, tuple[tuple[int, int], LogFile]] = field(default_factory=dict)

    def read(self) -> Reading:
        """What is there now; files that did not change are not read again.

        Raises RowError naming file and row, NothingLogged for a folder without a log, SarmError for none.
        """
        log, paths = self._files()
        for gone in self._held.keys() - set(paths):
            del self._held[gone]
        by_step: dict[int, list[Logged]] = {}
        waiting, bad, notes, ages = [], [], {}, []
        for path in paths:
            try:
                changed, found = self._of(log, path)
            except HalfWritten as error:
                if time.time() - _written(path) < YOUNG:
                    waiting.append(path.name)
                    continue
                whole = RowError(f"{error.reason}: it was not written to its end; remove it", source=path)
                bad.append(self._or_raise(whole))
                continue
            except RowError as error:
                bad.append(self._or_raise(error))
                continue
            notes.update(dict.fromkeys(found.notes))
            for answer in found.answers:
                by_step.setdefault(answer.step, []).append(answer)
            if found.answers:
                ages.append((found.answers[0].step, changed))
        steps = {step: tuple(by_step[step]) for step in sorted(by_step)}
        steps, repeated = _without_repeats(steps)
        more = [*repeated, *_left_from_another_run(ages, len(paths))]
        return Reading(log, steps, (*notes, *more), tuple(waiting), tuple(bad))

    def _or_raise(self, error: RowError) -> RowError:
        if not self.skip_bad:
            raise error
        return error

    def _of(self, log: LogFormat, path: Path) -> tuple[int, LogFile]:
        try:
            about = path.stat()
            now = (about.st_size, about.st_mtime_ns)
            held = self._held.get(path)
            if held is not None and held[0] == now:
                return now[1], held[1]
            found = log.read(path, self.reader, held[1] if held else None)
        except FileNotFoundError:  # a trainer that begins anew takes its files away
            return 0, LogFile(())
        except OSError as error:
            raise RowError(f"cannot be read ({error.strerror or error})", source=path) from None
        self._held[path] = (now, found)
        return now[1], found

    def _files(self) -> tuple[LogFormat, Sequence[Path]]:
        source = self.source
        if not source.exists():
            raise SarmError(f"{source}: there is no such folder or file")
        for log in LOGS:
            paths = log.files(source) if source.is_dir() else [source] * log.knows(source)
            if paths:
                return log, paths
        needs = ", or ".join(log.needs for log in LOGS)
        raise NothingLogged(f"{source}: holds no logged completions: it needs {needs}")


def _written(path: Path) -> float:
    """When a file was last written, in seconds since 1970; 0 for one that is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _without_repeats(
    steps: dict[int, tuple[Logged, ...]],
) -> tuple[dict[int, tuple[Logged, ...]], list[str]]:
    """The steps whose completions are not those of the one before: several updates may use the same."""
    kept: dict[int, tuple[Logged, ...]] = {}
    repeated, last = [], None
    for step, answers in steps.items():
        said = [answer.conversation for answer in answers]
        if said == last and any(said):
            repeated.append(step)
        else:
            kept[step], last = answers, said
    if not repeated:
        return kept, []
    return kept, [
        f"{steps_in_words(repeated)} log the completions of the step before once more (several updates used them): "
        "counted once"
    ]


def _left_from_another_run(ages: Sequence[tuple[int, int]], n_files: int) -> list[str]:
    """A note where files of later steps were written before those of earlier ones."""
    if n_files < 2 or len({step for step, _ in ages}) < len(ages):
        return []
    ordered = sorted(ages)
    newest, old = ordered[0][1], []
    for step, changed in ordered[1:]:
        if changed < newest:
            old.append(step)
        newest = max(newest, changed)
    return (
        [f"{steps_in_words(old)} were written before earlier steps: they may be of another run"]
        if old
        else []
    )


def steps_in_words(steps: Sequence[int]) -> str:
    """ "step 2", "steps 2, 4 and 7 more"."""
    some = ", ".join(map(str, steps[:_SOME])) + (
        f" and {len(steps) - _SOME} more" if len(steps) > _SOME else ""
    )
    return f"step{'s' if len(steps) > 1 else ''} {some}"
