"""Writes what two versions say of each kind of file into formats.md, between its two marks.

    python docs/make_before_after.py OLD_CHECKOUT

Both run with the Python that runs this, on the embedded model: `score` on answers, `contrast` on pairs (its shares of
the margin sum to the mean margin). The old version is read from a checkout of its own; nothing of it is imported here.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from file_kinds import KINDS  # type: ignore[import-not-found]

BEGIN, END = "<!-- before and after: made -->\n", "<!-- before and after: end -->"
ROOT = Path(__file__).parents[1]
_RUN = """
import contextlib, io, json, sys
from sarm_core.__main__ import main
found = []
for words in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            code = main(words)
        except SystemExit as error:
            code = error.code
        except Exception as error:
            code, said = None, io.StringIO(type(error).__name__)
    found.append([code, said.getvalue()])
print(json.dumps(found))
"""


def outcomes(checkout: Path, folder: Path) -> list[str]:
    """What the version in `checkout` makes of every kind, in a few words."""
    calls, outs = [], []
    for number, kind in enumerate(KINDS):
        place = folder / str(number)
        place.mkdir(parents=True)
        (place / kind.file).write_bytes(kind.pack(kind.rows))
        outs.append(place / "out")
        two_sides = kind.pairs or kind.good
        command = ["contrast", "--resamples", "0", "--no-cache"] if two_sides else ["score", *kind.options]
        calls.append([*command, str(place / kind.file), "--model", "demo", "--out", str(outs[-1])])
    ran = subprocess.run(
        [sys.executable, "-c", _RUN],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(checkout)},
    )
    results = json.loads(ran.stdout.splitlines()[-1])
    found = [_words(*result, out) for result, out in zip(results, outs, strict=True)]
    told = [kind.said and kind.said in said for kind, (_, said) in zip(KINDS, results, strict=True)]
    return [
        f"{words}, said: {kind.said}" if tell else words
        for kind, words, tell in zip(KINDS, found, told, strict=True)
    ]


def _words(code: int | None, said: str, out: Path) -> str:
    if code is None:
        return f"a traceback ({said})"
    if code:
        return "refused: " + said.strip().splitlines()[-1].partition(f"{out.parent.name}/")[2][:150]
    lines = out.read_text(encoding="utf-8").splitlines()
    if lines[0].startswith("{"):
        return ", ".join(f"{json.loads(line)['reward']:+.3f}" for line in lines)
    rows: list[dict[str, Any]] = list(csv.DictReader(lines))
    return f"margin {round(sum(float(row['margin_share']) for row in rows), 3) + 0:+.3f}"


def section(before: list[str], after: list[str]) -> str:
    """The table."""
    lines = ["| file | 0.1.0 | now |", "|---|---|---|"]
    for kind, old, new in zip(KINDS, before, after, strict=True):
        lines.append(f"| {kind.name} | {_cell(old)} | {_cell(new)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def whole(page: str, made: str) -> str:
    """The page with the table in its place. Raises ValueError for a page without the two marks."""
    start, stop = page.index(BEGIN) + len(BEGIN), page.index(END)
    return page[:start] + made + page[stop:]


def main(old: Path) -> None:
    """Run both versions and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = (outcomes(root, Path(folder) / name) for root, name in ((old, "a"), (ROOT, "b")))
    path = Path(__file__).with_name("formats.md")
    path.write_text(whole(path.read_text(encoding="utf-8"), section(before, after)), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
