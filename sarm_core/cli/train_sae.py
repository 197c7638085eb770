"""The command `train-sae`: stage 1, a sparse autoencoder on a backbone's hidden states."""

from __future__ import annotations

import argparse
import sys

from sarm_core.cli.command import Command
from sarm_core.cli.options import add_config_options, add_row_options, reader_of, say_reading

__all__ = ["TrainSAE"]


class TrainSAE(Command):
    """A YAML file of settings in, the folder of the run out."""

    name = "train-sae"
    help = "stage 1: pretrain the SAE"

    def add(self, parser: argparse.ArgumentParser) -> None:
        add_config_options(parser)
        parser.add_argument(
            "--resume", action="store_true", help="go on with a run that was stopped or killed"
        )
        add_row_options(parser)

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.train.runs import read_config
        from sarm_core.train.sae_config import SAEConfig
        from sarm_core.train.sae_run import run_sae
        from sarm_core.train.unfinished import Unfinished

        reader = reader_of(options)
        config = read_config(SAEConfig, options.config, options.changes)
        try:
            print(run_sae(config, reader, resume=options.resume))
        except KeyboardInterrupt:
            if Unfinished(config.out).file.exists():
                print("stopped: the same command with --resume goes on from here", file=sys.stderr)
            else:
                print("stopped: the same command goes on with what was collected", file=sys.stderr)
            raise
        say_reading(reader)
        return 0
