"""The command `dictionary`: whose names carry the reward, which features double, split, are dense or dead."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarm_core.cli.command import Command
from sarm_core.cli.options import (
    add_encoding_options,
    add_row_options,
    count,
    encoding_of,
    loaded,
    reader_of,
    say_reading,
    share,
)

if TYPE_CHECKING:
    from sarm_core.dictionary.look import Known
    from sarm_core.dictionary.side import Side
    from sarm_core.score.scorer import Scorer
    from sarm_core.text.rows import Conversation

__all__ = ["DictionaryReport"]


class DictionaryReport(Command):
    """A model in, a report out."""

    name = "dictionary"
    help = "what a dictionary holds: whose names carry the reward, features that double, split, are dense or dead"
    description = (
        "How much of the reward's mass (the sum of |w z|) falls on features with a name, by what the name rests on; "
        "features that double or split; dense, always-on and dead ones. The answers are those that --store keeps "
        "encoded, or those of IN. With --against, which features of two dictionaries of one backbone are the same."
    )

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "sources", nargs="*", type=Path, metavar="IN", help="rows of answers (default: those of --store)"
        )
        add_encoding_options(parser)
        add_row_options(parser)
        parser.add_argument(
            "--store", type=Path, metavar="STORE.db", help="names and densities of the features (only read)"
        )
        parser.add_argument(
            "--against",
            metavar="MODEL",
            help="another dictionary of the same backbone: a checkpoint folder or a Hub id",
        )
        parser.add_argument(
            "--most",
            type=count,
            default=2000,
            help="answers that two dictionaries are compared on (default 2,000)",
        )
        parser.add_argument(
            "--cosine",
            type=share,
            default=0.7,
            help="of decoder columns of nearly one direction (default 0.7)",
        )
        parser.add_argument(
            "--jaccard", type=share, default=0.5, help="of features on the same answers (default 0.5)"
        )
        parser.add_argument(
            "--correlation",
            type=share,
            default=0.7,
            help="of features alike in two dictionaries (default 0.7)",
        )
        parser.add_argument("--rows", type=count, default=50, help="features that a table lists (default 50)")
        parser.add_argument("--made", metavar="TEXT", help="when (default: now); fix it for identical bytes")
        parser.add_argument(
            "--out", type=Path, required=True, metavar="OUT.html|OUT.md|OUT.json", help="by its ending"
        )

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.dictionary.beside import beside
        from sarm_core.dictionary.look import Bounds, look
        from sarm_core.dictionary.words import headline
        from sarm_core.dictionary.written import ENDINGS, written
        from sarm_core.errors import SarmError
        from sarm_core.files import whole_file

        ending = options.out.suffix.lower()
        if ending not in ENDINGS:
            raise SarmError(f"{options.out}: end it in {', '.join(ENDINGS)}")
        if not options.sources and options.store is None:
            raise SarmError("name files of answers, or --store with a store that keeps some encoded")
        bounds = Bounds(options.cosine, options.jaccard, options.correlation, options.rows)
        with _opened(options.store) as store:
            side, other, answers = _sides(options, store)
            known = _known(store)
            with _bar("comparing directions") as progress:
                report = look(side, known, answers=answers, bounds=bounds, progress=progress)
            if other is not None:
                with _bar("comparing dictionaries") as progress:
                    report["against"] = beside(side, other, known, bounds=bounds, progress=progress)
        report["made"] = options.made or datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        text = written(report, ending)
        with whole_file(options.out) as file:
            file.write(text)
        print(headline(report))
        print(f"{len(text.encode()):,} bytes written to {options.out}", file=sys.stderr)
        return 0


def _sides(options: argparse.Namespace, store: Any) -> tuple[Side, Side | None, str]:
    """The dictionary, the other one where there is one, and which answers both are looked at on."""
    from sarm_core.dictionary.answers import conversations_of, in_store, other_on
    from sarm_core.dictionary.side import Side, check_comparable
    from sarm_core.model.checkpoint import open_checkpoint
    from sarm_core.score.encoded import encode_once
    from sarm_core.score.scorer import load_sarm

    checkpoint = open_checkpoint(options.model)
    if options.against is not None:
        check_comparable(checkpoint, open_checkpoint(options.against))
    scorer: Scorer | None = None
    if options.sources:
        conversations = _conversations(options)
        scorer = loaded(options)
        with encoding_of(options) as how:
            side = Side.of_scorer(scorer, encode_once(scorer, conversations, **how).matrix.csr)
        answers = "those of " + ", ".join(source.name for source in options.sources)
        _check_store(store, side.fingerprint)
    else:
        side = Side.of_checkpoint(checkpoint)
        _check_store(store, side.fingerprint)
        ids, z = in_store(store)
        answers = f"those kept in {options.store.name}"
        if options.against is not None:
            conversations, places = conversations_of(store, ids, options.most)
            z = z[places]
        side = side.on(z)
    if options.against is None:
        return side, None, answers
    right = load_sarm(
        options.against,
        device=options.device,
        dtype=options.dtype,
        max_length=options.max_length,
        date=options.date,
    )
    with encoding_of(options) as how:
        return side, other_on(scorer or loaded(options), right, conversations, **how), answers


def _conversations(options: argparse.Namespace) -> list[Conversation]:
    """The answers of the files, at most --most of them."""
    reader = reader_of(options)
    found = [
        answer.conversation
        for source in options.sources
        for _, item in reader.rows(source)
        for answer in reader.answers(item).answers
    ]
    say_reading(reader)
    return found[: options.most] if options.against is not None else found


@contextmanager
def _opened(path: Path | None) -> Iterator[Any]:
    """The store, only read; None without one. What it raises while it is read is said in one line."""
    if path is None:
        yield None
        return
    from feature_db import Store
    from sarm_core.cli.stores import store_errors

    with (
        store_errors(path, "cannot be used as a store; open it with the app once"),
        Store.read_only(path) as store,
    ):
        yield store


def _check_store(store: Any, fingerprint: str) -> None:
    """Raises SarmError for a store of another model."""
    from sarm_core.errors import SarmError

    if store is not None and store.model.fingerprint != fingerprint:
        raise SarmError(
            f"{store.path}: holds features of {store.model.name!r} (fingerprint {store.model.fingerprint[:12]}), the "
            f"model is another one ({fingerprint[:12]})"
        )


def _known(store: Any) -> Known:
    """What the store knows of the features."""
    from feature_db.features.evidence_kinds import EVIDENCE_KINDS, evidence_kinds
    from sarm_core.dictionary.look import Known, densities

    if store is None:
        return Known()
    return Known(evidence_kinds(store), EVIDENCE_KINDS, store.names, *densities(store))


@contextmanager
def _bar(words: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar of blocks, on a terminal."""
    from tqdm import tqdm

    with tqdm(unit=" blocks", desc=words, disable=not sys.stderr.isatty(), leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress
