"""How every benchmark reports: a small table with the limit beside the figure, and JSON with the machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Figure", "arguments", "publish"]


@dataclass(frozen=True)
class Figure:
    """One measured figure; `limit` is (comparison, value) as stated in the design, or None."""

    name: str
    value: float
    unit: str
    limit: tuple[str, float] | None = None

    @property
    def within(self) -> bool | None:
        """Whether the limit holds; None without one."""
        if self.limit is None:
            return None
        sign, bound = self.limit
        return self.value >= bound if sign == ">=" else self.value <= bound


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with --out for the JSON."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    return parser


def publish(figures: list[Figure], out: Path | None, **context: object) -> None:
    """Print the table and write the JSON."""
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        limit = f"limit {figure.limit[0]} {figure.limit[1]:g}" if figure.limit else ""
        verdict = {True: "ok", False: "FALLS SHORT", None: ""}[figure.within]
        print(f"{figure.name:<{width}}  {figure.value:12,.3f} {figure.unit:<10} {limit:<16} {verdict}")
    if out is not None:
        machine = {
            "date": time.strftime("%Y-%m-%d"),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        }
        body = {"machine": machine, **context, "figures": [asdict(f) | {"within": f.within} for f in figures]}
        out.write_text(json.dumps(body, indent=1), encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
