"""The command `study`: SARM beside other heads and other dictionaries, over seeds."""

from __future__ import annotations

import argparse
import os
import sys

from sarm_core.cli.command import Command
from sarm_core.cli.options import add_config_options, add_row_options, reader_of, say_reading
from sarm_core.errors import SarmError

__all__ = ["RunStudy"]


class RunStudy(Command):
    """A YAML file of settings in, the folder of the study out."""

    name = "study"
    help = "compare SARM, a scalar head, random directions and a token-level SAE"
    description = (
        "Trains and measures, on the same texts, pairs and parts and over several seeds: a SARM, a scalar head on h, a "
        "random encoder, a SARM whose dictionary saw every token, and the answers' length. OUT holds every figure "
        "(study.json), a table with paired intervals (study.md), one row a number (study.csv) and a plot "
        "(study.html). The backbone reads each text once for all of them."
    )

    def add(self, parser: argparse.ArgumentParser) -> None:
        add_config_options(parser)
        parser.add_argument(
            "--resume", action="store_true", help="go on with a study that was stopped or killed"
        )
        add_row_options(parser)

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.train.runs import read_config
        from sarm_core.train.study import run_study
        from sarm_core.train.study_config import StudyConfig

        if os.environ.get("WORLD_SIZE", "1") != "1":
            raise SarmError("study is one process: start it without torchrun or accelerate launch")
        reader = reader_of(options)
        config = read_config(StudyConfig, options.config, options.changes)
        try:
            print(run_study(config, reader, resume=options.resume))
        except KeyboardInterrupt:
            print("stopped: the same command with --resume goes on from here", file=sys.stderr)
            raise
        say_reading(reader)
        return 0
