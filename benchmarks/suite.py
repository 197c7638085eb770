"""How long the tests take: `make test` and `make test-fast` of this checkout beside `make test` of another.

python benchmarks/suite.py [--other FOLDER] [--rounds 1]

Runs the test command that each checkout's own Makefile states, as `make -n` prints it, with the Python that runs this
program, so that setting up takes no part. The runs take turns; the lowest of the rounds counts, as whatever else runs
on the machine only adds. Goals: half of the other's wall time, and 60 s for the fast ones. A run here with a failed
test is no figure; of the other checkout the failed ones are counted, as it may be older than the machine.
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.report import Figure, arguments, publish

HERE = Path(__file__).resolve().parents[1]
FAST_SECONDS = 60.0


class Run(NamedTuple):
    """What one run of a checkout's tests took."""

    wall: float
    processor: float
    tests: int
    failed: int


def command(checkout: Path, target: str) -> list[str]:
    """The pytest command of a target, without the interpreter. Raises SystemExit when the Makefile shows none."""
    shown = subprocess.run(
        ["make", "-n", "-o", "setup-dev", "-o", "fetch", target], cwd=checkout, capture_output=True, text=True
    )
    for line in shown.stdout.splitlines():
        words = shlex.split(line)
        if words[1:3] == ["-m", "pytest"]:
            return words[1:]
    raise SystemExit(f"{checkout}: make {target} runs no pytest ({shown.stderr.strip()[-200:]})")


def run(checkout: Path, target: str) -> Run:
    """Run a target's tests once. Raises SystemExit when they do not come to an end, or one of this checkout fails."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    if "PYTHONDONTWRITEBYTECODE =" in (checkout / "Makefile").read_text(encoding="utf-8"):
        environment["PYTHONDONTWRITEBYTECODE"] = ""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command(checkout, target)],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in ((0,) if checkout == HERE else (0, 1)):
        raise SystemExit(f"{checkout}: make {target} failed:\n{done.stdout[-3000:]}")
    passed, failed = (re.findall(rf"(\d+) {how}", done.stdout)[-1:] or ["0"] for how in ("passed", "failed"))
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall, processor, int(passed[0]), int(failed[0]))


def main() -> None:
    """Measure and report."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--other", type=Path, help="a checkout to compare with")
    parser.add_argument("--rounds", type=int, default=1)
    chosen = parser.parse_args()
    measured: dict[tuple[str, str], list[Run]] = {}
    checkouts = {"other": chosen.other.resolve()} if chosen.other else {}
    for _ in range(chosen.rounds):
        for name, checkout in (checkouts | {"this": HERE}).items():
            for target in ("test",) if name == "other" else ("test", "test-fast"):
                measured.setdefault((name, target), []).append(run(checkout, target))
    goals = {("this", "test-fast"): FAST_SECONDS}
    if checkouts:
        goals["this", "test"] = min(r.wall for r in measured["other", "test"]) / 2
    figures = []
    for key, runs in measured.items():
        best, what = min(runs), f"{key[0]}: make {key[1]}"
        limit = ("<=", goals[key]) if key in goals else None
        figures += [
            Figure(what, best.wall, "s", limit),
            Figure(f"{what}, processor time", best.processor, "s"),
            Figure(f"{what}, passed", best.tests, "tests"),
            Figure(f"{what}, failed", best.failed, "tests"),
        ]
    publish(figures, chosen.out, load=os.getloadavg()[0])


if __name__ == "__main__":
    main()
