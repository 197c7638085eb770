"""Options that commands share: the model, the cache, the progress bar, kinds of numbers."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sarm_core.prove.complement import ComplementAnswers
    from sarm_core.score.scorer import Scorer
    from sarm_core.steering import Steering
    from sarm_core.text.answers import Reader

__all__ = [
    "add_bootstrap_options",
    "add_cache_option",
    "add_complement_option",
    "add_computing_options",
    "add_config_options",
    "add_encoding_options",
    "add_model_options",
    "add_preference_options",
    "add_row_options",
    "add_seed_option",
    "complement_of",
    "count",
    "day",
    "days",
    "encoding_of",
    "loaded",
    "number",
    "reader_of",
    "say_reading",
    "share",
    "steering_of",
    "token_bar",
    "whole_number",
]


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """--model, --device, --dtype, --max-length, --date."""
    parser.add_argument("--model", default="demo", help='"demo", a checkpoint folder or a Hub id')
    add_computing_options(parser, longest="the checkpoint's")
    parser.add_argument(
        "--date",
        type=day,
        metavar="YYYY-MM-DD",
        help="the day told to a chat template that writes today's into conversations (default: 2024-07-26)",
    )


def add_computing_options(parser: argparse.ArgumentParser, longest: str) -> None:
    """--device, --dtype, --max-length: how a decoder reads."""
    parser.add_argument("--device", help="cpu, cuda, cuda:N; default: CUDA when there is one")
    parser.add_argument("--dtype", default="auto", help="float32, bfloat16, float16 or auto")
    parser.add_argument("--max-length", type=count, help=f"tokens kept, from the end (default: {longest})")


def add_cache_option(parser: argparse.ArgumentParser) -> None:
    """--cache."""
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where what a model made of answers is kept, for every command that asks for it again "
        "(default: $SARM_CACHE/encoded); `cache` shows and clears it",
    )


def add_seed_option(parser: argparse.ArgumentParser) -> None:
    """--seed."""
    parser.add_argument("--seed", type=whole_number, default=0, help="of what is drawn at random (default 0)")


def add_bootstrap_options(parser: argparse.ArgumentParser) -> None:
    """--resamples, --seed."""
    parser.add_argument(
        "--resamples", type=whole_number, default=1000, help="of the bootstrap (0: no intervals)"
    )
    add_seed_option(parser)


def add_encoding_options(parser: argparse.ArgumentParser) -> None:
    """Those of the model, and --cache, --no-cache."""
    add_model_options(parser)
    add_cache_option(parser)
    parser.add_argument("--no-cache", action="store_true", help="encode anew and keep nothing")


def add_row_options(parser: argparse.ArgumentParser) -> None:
    """--map, --ignore, --format: how rows are read."""
    rows = parser.add_argument_group("rows", "what files hold is recognised by their first bytes and keys")
    rows.add_argument(
        "--map",
        action="append",
        type=mapped,
        default=[],
        metavar="NAME=COLUMN",
        help="take COLUMN for prompt, response, chosen, rejected, system, ...; several with commas: "
        "prompt=question,chosen=good,rejected=bad",
    )
    rows.add_argument(
        "--ignore", action="append", default=[], metavar="KEY", help="leave out a column, or a key of turns"
    )
    rows.add_argument(
        "--format", metavar="FORMAT", help="read rows as this one of the formats that docs/formats.md lists"
    )


def reader_of(options: argparse.Namespace) -> Reader:
    """The reader of rows that the options ask for. Raises SarmError."""
    from sarm_core.errors import SarmError
    from sarm_core.text.answers import Reader

    pairs = [pair for given in options.map for pair in given]
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise SarmError("--map gives one name two columns: name each once")
    ignore = [key for given in options.ignore for key in given.split(",") if key]
    return Reader(mapping=mapping, ignore=ignore, form=options.format)


def say_reading(reader: Reader, written: Iterable[str] | None = None) -> None:
    """As what rows were read and what was not used (see `Reader.said`), on standard error."""
    for line in reader.said(written):
        print(line, file=sys.stderr)


def mapped(text: str) -> list[tuple[str, str]]:
    """NAME=COLUMN pairs, separated by commas."""
    pairs = []
    for part in text.split(","):
        name, found, column = part.partition("=")
        if not (name.strip() and found and column.strip()):
            raise argparse.ArgumentTypeError(f"{part!r} is not NAME=COLUMN, for example prompt=question")
        pairs.append((name.strip(), column.strip()))
    return pairs


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """A file of settings, and settings that replace its own."""
    parser.add_argument("config", type=Path, metavar="CONFIG.yaml")
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE", help="settings that replace the file's")


def add_preference_options(parser: argparse.ArgumentParser) -> None:
    """--ties, --strength: in the words of `train-reward`."""
    parser.add_argument(
        "--ties",
        choices=("out", "half"),
        default="out",
        help="two answers called equally good: left out, or half a win for each in the fit (default: out)",
    )
    parser.add_argument(
        "--strength",
        choices=("unused", "margin", "weight"),
        default="unused",
        help="how strong a preference is said to be (HelpSteer): nothing, or its pair's margin or weight in the loss "
        "(default: unused)",
    )


def loaded(options: argparse.Namespace) -> Scorer:
    """The model the options name; says where answers cannot share the work on their prompt. Raises CheckpointError."""
    from sarm_core.score.scorer import load_sarm

    scorer = load_sarm(
        options.model,
        device=options.device,
        dtype=options.dtype,
        max_length=options.max_length,
        date=options.date,
    )
    if scorer.encoder.why_not_shared:
        print(f"every answer reads its prompt anew: {scorer.encoder.why_not_shared}", file=sys.stderr)
    return scorer


def add_complement_option(parser: argparse.ArgumentParser) -> None:
    """--complement."""
    parser.add_argument(
        "--complement",
        type=Path,
        metavar="FILE",
        help='answers or pairs that the steering should leave alone, or "corpus" for the project\'s own',
    )


def complement_of(options: argparse.Namespace, reader: Reader) -> ComplementAnswers | None:
    """The answers that --complement names, read; the word "corpus" stands for the project's own, unless there is such
    a file. Raises SarmError."""
    from sarm_core.prove.complement import file_complement
    from sarm_core.prove.corpus import corpus_complement
    from sarm_core.text.answers import Reader

    if options.complement is None:
        return None
    if str(options.complement) == "corpus" and not options.complement.exists():
        return corpus_complement()
    return file_complement(options.complement, reader=Reader(ignore=reader.ignore))


def steering_of(options: argparse.Namespace) -> Steering | None:
    """The steering file the options name, None without one; says it when that changes nothing. Raises SteeringError."""
    from sarm_core.steering import Steering

    if not options.steering:
        return None
    steering = Steering.read(options.steering)
    if not steering:
        print(f"{options.steering} changes no feature: the model is as it was", file=sys.stderr)
    return steering


@contextmanager
def encoding_of(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Keyword arguments for `encode_once`, with a progress bar on a terminal."""
    with token_bar() as progress:
        yield {"folder": options.cache, "use_cache": not options.no_cache, "progress": progress}


@contextmanager
def token_bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar of the tokens that a model reads, on a terminal."""
    from tqdm import tqdm

    with tqdm(
        unit=" tokens", unit_scale=True, desc="encoding", disable=not sys.stderr.isatty(), leave=False
    ) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


def whole_number(text: str) -> int:
    """A whole number from 0 to 10^9."""
    if not (text.isascii() and text.isdigit()) or int(text) >= 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def count(text: str) -> int:
    """A whole number from 1 to 10^9."""
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def number(text: str) -> float:
    """A number from -10^6 to 10^6."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def day(text: str) -> datetime.date:
    """A day as YYYY-MM-DD."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2024-07-26") from None


def days(text: str) -> float:
    """A number of days, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days")
    return value


def share(text: str) -> float:
    """A number from 0 to below 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1")
    return value
