"""What a command is: a name, a line of help, its options, and what it does with them."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from typing import ClassVar

__all__ = ["Command"]


class Command(ABC):
    """One command of `sarm`. A new one is a file with a subclass, and its line in `parser.COMMANDS`.

    A module with a command imports nothing but the standard library, `cli.command` and `cli.options` at its
    top: what the command needs (torch takes seconds) is imported in `run`, so that --help is there at once. What its
    options name may be imported in `add`, which is called where a call names the command.
    """

    name: ClassVar[str]
    """What is typed after `sarm`"""
    help: ClassVar[str]
    """One line in the list of commands"""
    description: ClassVar[str] = ""
    """More than the line, for the command's own --help and its reference"""
    takes_rest: ClassVar[bool] = False
    """Whether arguments it does not know are handed on to it, in `options.rest`, instead of refused"""

    @abstractmethod
    def add(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options to its parser."""

    @abstractmethod
    def run(self, options: argparse.Namespace) -> int:
        """Do it; returns the exit code. What is wrong with the input is a SarmError, which ends in one line."""
