"""The command `report`: an evaluation on disk as one HTML file."""

from __future__ import annotations

import argparse
import shlex
import sys
from datetime import UTC, datetime

from sarm_core.files import written_whole
from sarm_core.provenance import file_facts
from sarm_core.report.html_report import FeatureNote, html_report, read_contrast, read_evaluation, steered_ids
from sarm_core.report.store_notes import notes_in_store

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Run the command with its parsed options (see `commands.report`). Raises SarmError."""
    evaluation = read_evaluation(options.evaluation)
    evidence = None
    if options.contrast is not None:
        evidence = read_contrast(
            options.contrast,
            title="Contrast of chosen and rejected answers",
            file=file_facts(options.contrast),
        )
    notes: dict[int, FeatureNote] = {}
    if options.store is not None:
        notes = notes_in_store(
            options.store, steered_ids(evaluation, evidence), evaluation["model"]["fingerprint"]
        )
    text = html_report(
        evaluation,
        question=options.question,
        title=options.title,
        author=options.author,
        time=options.date if options.date is not None else datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        evidence=evidence,
        notes=notes,
        trade_off=None if options.trade_off is None else tuple(options.trade_off),
        commands=[_command(options)],
        items=options.items,
    )
    with written_whole(options.out) as file:
        file.write(text)
    print(f"{len(text.encode()):,} bytes written to {options.out}", file=sys.stderr)
    return 0


def _command(options: argparse.Namespace) -> str:
    words = ["python", "-m", "sarm_core", "report", "--evaluation", str(options.evaluation)]
    for name in ("contrast", "store"):
        value = getattr(options, name)
        if value is not None:
            words += [f"--{name}", str(value)]
    for name in ("question", "title", "author"):
        value = getattr(options, name)
        if value:
            words += [f"--{name}", value]
    if options.trade_off is not None:
        words += ["--trade-off", *options.trade_off]
    return shlex.join([*words, "--out", str(options.out)])
