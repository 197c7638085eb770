"""Dictionaries over every combination of some settings, with a table and a plot of what came out."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sarm_core.errors import SarmError
from sarm_core.files import check_new, whole_file
from sarm_core.text.answers import Reader as RowReader
from sarm_core.train.positions import KINDS
from sarm_core.train.processes import ALONE, Processes
from sarm_core.train.runs import config_of
from sarm_core.train.sae_config import SAEConfig, check_settings, resolved
from sarm_core.train.sae_run import run_sae

__all__ = ["SWEPT", "is_sweep", "run_sweep", "table"]

SWEPT = ("layer", "n_features", "k")
"""Settings that may be lists"""


def is_sweep(settings: Mapping[Any, Any]) -> bool:
    """Whether settings ask for several runs."""
    return any(isinstance(settings.get(name), list) for name in SWEPT)


def run_sweep(
    source: str | Path,
    settings: Mapping[Any, Any],
    rows: RowReader | None = None,
    *,
    resume: bool = False,
    processes: Processes = ALONE,
) -> Path:
    """Train every combination into a folder below `out`; write sweep.md, sweep.csv and sweep.html there.

    All settings are checked before the first run. With `resume`, finished runs stay, an unfinished one goes on.
    Several `processes` share each run. Raises SarmError, naming `source`, for a list that is empty or holds something
    twice.
    """
    with processes.agreeing():
        configs, out, swept = _combinations(source, settings)
        if not resume:
            check_new(out)
    found = []
    for number, (name, config) in enumerate(configs.items(), 1):
        report = out / name / "report.json"
        if not processes.of_first(report.exists()):
            if processes.first:
                print(f"run {number} of {len(configs)}: {name}", file=sys.stderr)
            run_sae(config, rows, resume=resume, processes=processes)
        if processes.first:
            said = json.loads(report.read_text(encoding="utf-8"))
            if said["config"] != asdict(resolved(config)):
                raise SarmError(f"{report}: is of other settings than {source}; name another out")
            found.append(_row(said))
    if processes.first:
        _write(out, found, swept)
    return out


def _combinations(
    source: str | Path, settings: Mapping[Any, Any]
) -> tuple[dict[str, SAEConfig], Path, list[str]]:
    """Settings of every run by its folder's name, the folder of all, and what is swept. Raises SarmError."""
    lists = {name: settings[name] for name in SWEPT if isinstance(settings.get(name), list)}
    for name, values in lists.items():
        if not values or len({repr(value) for value in values}) < len(values):
            raise SarmError(f"{source}: {name} is {values!r}: list different values, one at least")
    configs: dict[str, SAEConfig] = {}
    out = Path(config_of(SAEConfig, source, {**settings, **{n: v[0] for n, v in lists.items()}}).out)
    for values in itertools.product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        name = "-".join(f"{key}-{value}" for key, value in chosen.items())
        configs[name] = config_of(SAEConfig, source, {**settings, **chosen, "out": str(out / name)})
        check_settings(configs[name])
    return configs, out, list(lists)


def _row(report: Mapping[str, Any]) -> dict[str, Any]:
    config = report["config"]
    row: dict[str, Any] = {name: config[name] for name in SWEPT}
    for part in ("validation", "test"):
        for kind in KINDS:
            if f"{part}/{kind}" in report["reconstruction"]:
                row[f"unexplained {part} {kind}"] = report["reconstruction"][f"{part}/{kind}"][
                    "variance_unexplained"
                ]
    row["never firing"] = report["never_firing"] / config["n_features"]
    for name, of in (("accuracy on x", "x"), ("accuracy on x_hat", "x_hat")):
        if "heads" in report:
            row[name] = report["heads"][of]["accuracy"]
    return row


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown, a line for each run."""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for row in rows:
        cells = [f"{row[name]:.4f}" if isinstance(row[name], float) else f"{row[name]:,}" for name in names]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _write(out: Path, rows: Sequence[Mapping[str, Any]], swept: Sequence[str]) -> None:
    with whole_file(out / "sweep.csv") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    with whole_file(out / "sweep.md") as file:
        file.write(table(rows))
    print(table(rows), file=sys.stderr)
    try:
        from plotly import graph_objects
    except ImportError:
        print("plotly is not installed (pip install plotly): there is no sweep.html", file=sys.stderr)
        return
    with whole_file(out / "sweep.html") as file:
        file.write(_plot(rows, swept, graph_objects).to_html(include_plotlyjs=True))


def _plot(rows: Sequence[Mapping[str, Any]], swept: Sequence[str], graph_objects: Any) -> Any:
    """Variance unexplained against the last of the swept settings, a line for each of the others and kind."""
    along, others = swept[-1], swept[:-1]
    figure = graph_objects.Figure()
    kinds = [name for name in rows[0] if name.startswith("unexplained validation ")]
    for others_are in sorted({tuple(row[name] for name in others) for row in rows}):
        mine = [row for row in rows if tuple(row[name] for name in others) == others_are]
        mine.sort(key=lambda row: row[along])
        for kind in kinds:
            words = [f"{name} {value}" for name, value in zip(others, others_are, strict=True)]
            figure.add_scatter(
                x=[row[along] for row in mine],
                y=[row[kind] for row in mine],
                name=", ".join([*words, kind.removeprefix("unexplained validation ")]),
                mode="lines+markers",
            )
    figure.update_layout(
        xaxis_title=along,
        yaxis_title="variance unexplained, validation part",
        yaxis_rangemode="tozero",
        template="plotly_white",
    )
    return figure
