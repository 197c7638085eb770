"""What a command did, in lines for a person."""

from __future__ import annotations

import sys

from feature_db.exchange.format import Report

__all__ = ["one_line", "show_report"]


def one_line(text: str) -> str:
    """`text` with parts of foreign files in it: what a terminal would obey, or could not print, is written out."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(text.split())
    )


def show_report(report: Report, done: str, would_be: str) -> None:
    """Print what was done and each feature that changes; notes go to standard error."""
    print(report.words(done, would_be))
    for feature, (before, after) in report.changed.items():
        stands, then = (one_line(" | ".join(lines)) or "unlabelled" for lines in (before, after))
        print(f"feature {feature}: {stands} -> {then}")
    for note in report.notes:
        print(f"note: {one_line(note)}", file=sys.stderr)
