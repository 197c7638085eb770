"""All commands, and the program that runs one: errors are one line and exit code 2."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import NoReturn

from sarm_core.cli.app import App
from sarm_core.cli.build import Build
from sarm_core.cli.cache import Cache
from sarm_core.cli.command import Command
from sarm_core.cli.contrast import Contrast
from sarm_core.cli.demo import Demo
from sarm_core.cli.dictionary import DictionaryReport
from sarm_core.cli.evaluate import Evaluate
from sarm_core.cli.export import Export
from sarm_core.cli.harvest import Harvest
from sarm_core.cli.inspect import Inspect
from sarm_core.cli.interrupts import interrupts_kept
from sarm_core.cli.keep import Keep
from sarm_core.cli.learn import Learn
from sarm_core.cli.name import NameFeatures
from sarm_core.cli.perturb import Perturb
from sarm_core.cli.propose import Propose
from sarm_core.cli.report import Report
from sarm_core.cli.score import Score
from sarm_core.cli.share import Share
from sarm_core.cli.study import RunStudy
from sarm_core.cli.suggest import Suggest
from sarm_core.cli.train_reward import TrainReward
from sarm_core.cli.train_sae import TrainSAE
from sarm_core.cli.watch import WatchRun
from sarm_core.errors import SarmError
from sarm_core.version import VERSION

__all__ = ["COMMANDS", "main", "parser_of"]

COMMANDS: list[Command] = [
    App(),
    Score(),
    Contrast(),
    Propose(),
    Learn(),
    Evaluate(),
    Perturb(),
    Report(),
    Share(),
    Export(),
    Harvest(),
    Inspect(),
    Suggest(),
    NameFeatures(),
    DictionaryReport(),
    Keep(),
    Build(),
    TrainSAE(),
    TrainReward(),
    RunStudy(),
    WatchRun(),
    Cache(),
    Demo(),
]
"""In the order of --help."""


def main(arguments: Sequence[str] | None = None, prog: str = "sarm") -> int:
    """Run one command; returns the exit code (0, 1 where `learn` proposes nothing, 2 for bad input, 3 for
    an alarm of `watch`, 130 interrupted).

    A call that cannot be parsed raises SystemExit with 2, after one line; --help and --version with 0.
    """
    words = sys.argv[1:] if arguments is None else arguments
    parser = parser_of(COMMANDS, prog, words)
    options, rest = parser.parse_known_args(words)
    command: Command = options.command
    if command.takes_rest:
        options.rest = rest
    elif rest:
        options.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        with interrupts_kept():
            return command.run(options)
    except SarmError as error:
        return _refused(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except OSError as error:  # a full disk, a folder that may not be written
        return _refused(f"{error.filename or 'writing'}: {error.strerror or error}")


def parser_of(
    commands: Iterable[Command], prog: str = "sarm", words: Collection[str] | None = None
) -> argparse.ArgumentParser:
    """The parser of `prog` with these commands; what it parses names the `command` and its `parser`.

    With the `words` of a call only a command that is among them gets its options, for which it may import something.
    """
    parser = _Parser(prog=prog, description="Score, explain, steer, prove and ship SARM reward models.")
    parser.add_argument("--version", action="version", version=f"sarm-explorer {VERSION}")
    added = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in commands:
        own = added.add_parser(
            command.name, help=command.help, description=command.description or command.help
        )
        own.set_defaults(command=command, parser=own)
        if words is None or command.name in words:
            command.add(own)
    return parser


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a call in one line, as every other mistake is said."""

    def error(self, message: str) -> NoReturn:
        sys.exit(_refused(f"{message}; see {self.prog} --help"))


def _refused(reason: str) -> int:
    """Names and texts of files may be in it: what a terminal would obey, a line break too, is written out."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in reason)
    print(f"error: {shown}", file=sys.stderr)
    return 2
