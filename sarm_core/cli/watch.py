"""The command `watch`: which features a training run gains, while it goes on."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarm_core.cli.command import Command
from sarm_core.cli.options import (
    add_bootstrap_options,
    add_encoding_options,
    add_row_options,
    count,
    encoding_of,
    loaded,
    number,
    reader_of,
    steering_of,
    whole_number,
)
from sarm_core.errors import SarmError

if TYPE_CHECKING:
    from sarm_core.watch.drift import Alarm, Drift
    from sarm_core.watch.watch import Watch

__all__ = ["ALARM", "WatchRun"]

ALARM = 3
"""The exit code where a feature passed --alarm"""


class WatchRun(Command):
    """A run's folder in, its drift out, again and again until Ctrl-C."""

    name = "watch"
    help = "follow a training run: which features its answers gain"
    description = (
        "Scores the completions that a trainer logs (TRL's completions/*.parquet, written with log_completions=True, "
        "or JSONL of step, prompt, completion) and says which features carry the rise of the mean reward. Follows the "
        "folder until Ctrl-C. Every answer is encoded once, also by a watch that begins anew. Exit code "
        f"{ALARM} where a feature passed --alarm, else 0."
    )

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("source", type=Path, metavar="FOLDER", help="of the run, or one file of it")
        add_encoding_options(parser)
        add_row_options(parser)
        parser.add_argument("--steering", type=Path, metavar="S.json", help="that the run is rewarded with")
        parser.add_argument(
            "--out", type=Path, metavar="WATCH.json", help="write all figures, anew with each step"
        )
        parser.add_argument(
            "--every", type=count, default=1, metavar="N", help="score every N-th logged step, and the last"
        )
        parser.add_argument(
            "--window",
            type=count,
            default=1,
            metavar="N",
            help="put N of them together, for runs of few prompts a step",
        )
        parser.add_argument("--top", type=count, default=10, help="features to list (default 10)")
        parser.add_argument(
            "--feature",
            type=whole_number,
            action="append",
            default=[],
            metavar="I",
            help="list this one whatever it does",
        )
        parser.add_argument(
            "--alarm",
            type=threshold,
            metavar="SHARE|Z",
            help="alarm when a feature carries this share of the rise (0.5), or moved by so many standard errors (z5)",
        )
        parser.add_argument("--once", action="store_true", help="look once and end")
        parser.add_argument("--stop", action="store_true", help="end with the first alarm")
        parser.add_argument(
            "--poll", type=number, default=5.0, metavar="SECONDS", help="between two looks (default 5)"
        )
        parser.add_argument("--store", type=Path, metavar="FILE", help="names of the features (only read)")
        parser.add_argument(
            "--skip-bad", action="store_true", help="leave out files that cannot be read, and list them"
        )
        add_bootstrap_options(parser)
        parser.add_argument("--json", action="store_true", help="all figures on standard output in the end")

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.watch.watch import Watch

        if options.stop and options.alarm is None:
            raise SarmError("--stop ends with the first alarm: say with --alarm what one is")
        if not options.source.exists():
            raise SarmError(f"{options.source}: there is no such folder or file")
        watch = Watch(
            loaded(options),
            options.source,
            steering=steering_of(options),
            every=options.every,
            window=options.window,
            features=max(options.top, 20),
            also=options.feature,
            resamples=options.resamples,
            seed=options.seed,
            reader=reader_of(options),
            skip_bad=options.skip_bad,
            cache=options.cache,
            use_cache=not options.no_cache,
        )
        told = _Told(watch, options)
        if options.once:
            told.look(final=True)
        else:
            try:
                while not (told.look() and options.stop):
                    time.sleep(max(options.poll, 0.1))
            except KeyboardInterrupt:
                if told.drift is None:
                    raise
        told.end()
        return ALARM if told.alarms else 0


def threshold(text: str) -> tuple[str, float]:
    """A share ("0.5", "50%") or a number of standard errors ("z5")."""
    kind, number_of = (
        ("z", text.strip()[1:]) if text.strip().lower().startswith("z") else ("share", text.strip())
    )
    percent = number_of.endswith("%")
    try:
        value = float(number_of.removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 1000:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a share such as 0.5 nor standard errors such as z5"
        )
    return kind, value


class _Told:
    """What a watch says: a line a new point, an alarm once, and the table in the end."""

    def __init__(self, watch: Watch, options: argparse.Namespace) -> None:
        self.watch, self.options = watch, options
        self.drift: Drift | None = None
        self.alarms: list[Alarm] = []
        self._said: set[str] = set()

    def look(self, *, final: bool = False) -> bool:
        """Refresh, say what is new, write --out; whether there is an alarm."""
        from sarm_core.watch.folder import NothingLogged

        try:
            with encoding_of(self.options) as how:
                found = self.watch.refresh(how["progress"], note=self._once)
        except NothingLogged:
            if final:
                raise
            self._once(f"{self.options.source}: no completions yet, waiting")
            return False
        for name in self.watch.waiting:
            self._once(f"{name} is half-written: it is read when it is whole")
        for error in self.watch.bad:
            self._once(f"left out: {error}")
        if found is None:
            if final:
                raise SarmError(f"{self.options.source}: no completion that can be scored yet")
        elif found is not self.drift:
            self._new(found)
        return bool(self.alarms)

    def _new(self, found: Drift) -> None:
        from sarm_core.watch.words import alarm_in_words

        known = 0 if self.drift is None else len(self.drift)
        self.drift = found = self._named(found)
        if self.options.alarm is not None:
            kind, value = self.options.alarm
            self.alarms = found.alarms(**{kind: value})
        self._write()  # before it is said: whoever reads a line finds its figures
        if not self.options.once:
            for at in range(min(known, len(found) - 1), len(found)):
                self._once(_line(found, at))
        for alarm in self.alarms:
            self._once(f"alarm: {alarm_in_words(found, alarm)}")

    def _named(self, found: Drift) -> Drift:
        from dataclasses import replace

        if self.options.store is None:
            return found
        from feature_db import Store
        from sarm_core.cli.stores import store_errors

        fingerprint = self.watch.scorer.fingerprint
        with (
            store_errors(self.options.store, "cannot be read"),
            Store.open(self.options.store, fingerprint) as store,
        ):
            titles = store.titles([int(i) for i in found.features])
        return replace(found, names={i: name for i, title in titles.items() if (name := _name(title))})

    def _as_json(self) -> dict[str, Any]:
        from sarm_core.watch.words import drift_json

        assert self.drift is not None
        about = {
            "model": self.options.model,
            "fingerprint": self.watch.scorer.fingerprint,
            "source": str(self.options.source),
            "every": self.options.every,
            "window": self.options.window,
        }
        return drift_json(self.drift, about, self.watch.steering, self.alarms)

    def _write(self) -> None:
        from sarm_core.files import whole_file

        if self.options.out is not None:
            with whole_file(self.options.out) as file:
                json.dump(self._as_json(), file, allow_nan=False, ensure_ascii=False, indent=1)

    def _once(self, line: str) -> None:
        """Print a line that was not said before."""
        if line not in self._said:
            self._said.add(line)
            print(_shown(line), file=sys.stderr, flush=True)

    def end(self) -> None:
        """The sentence, the table, what was encoded, and --json."""
        from sarm_core.watch.words import headline

        if self.drift is None:
            return
        print(_shown(headline(self.drift)), file=sys.stderr)
        for line in _table(self.drift, self.options.top, self.options.feature):
            print(_shown(line), file=sys.stderr)
        for note in self.drift.notes:
            print(_shown(note), file=sys.stderr)
        watch = self.watch
        print(
            f"{len(self.drift)} points; {watch.read:,} answers read by the model, {watch.kept:,} kept from before"
            + (f"; written to {self.options.out}" if self.options.out else ""),
            file=sys.stderr,
        )
        if self.options.json:
            print(json.dumps(self._as_json(), allow_nan=False))


def _name(title: Any) -> str:
    """A name with what has to be said beside it; how a strong answer begins is none."""
    if not title or title.example or not title.text:
        return ""
    return f"{title.text} ({title.mark})" if title.mark else str(title.text)


def _shown(line: str) -> str:
    """Names come from files: what a terminal would obey is written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def _line(drift: Drift, at: int) -> str:
    from sarm_core.watch.words import headline

    point = drift.points[at]
    if at == 0:
        asked = f"{point.n} answers to {point.n_prompts} prompts"
        return f"step {point.title}: mean reward {point.reward.value:+.3f}, {asked}"
    return f"step {point.title}: {headline(drift, at)}"


def _table(drift: Drift, top: int, asked: Sequence[int]) -> list[str]:
    from sarm_core.watch.words import named

    if len(drift) < 2:
        return []
    lines = ["  change   interval           share   equally long   feature"]
    shown = [row for row, i in enumerate(drift.features) if row < top or int(i) in asked]
    for row in shown:
        low, high, share = drift.change_low[row, -1], drift.change_high[row, -1], drift.share[row, -1]
        span = "no interval" if low != low else f"{low:+.3f} to {high:+.3f}"
        part = "     " if share != share else f"{share:5.0%}"
        matched = drift.matched[row, -1]
        equal = "undefined" if matched != matched else f"{matched:+.3f}"
        name = named(drift, int(drift.features[row]))
        lines.append(f"  {drift.change[row, -1]:+.3f}   {span:17}  {part}   {equal:12}   {name}")
    rest = float(drift.points[-1].rise.value - drift.change[shown, -1].sum())
    lines.append(
        f"  {rest:+.3f}   all other features; the changes add up to the rise (error {drift.error:.0e})"
    )
    return lines
