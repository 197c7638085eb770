"""The command `train-sae`: stage 1, a sparse autoencoder on a backbone's hidden states."""

from __future__ import annotations

import argparse

from sarm_core.cli.command import Command
from sarm_core.cli.options import add_config_options, add_row_options, reader_of, say_reading

__all__ = ["TrainSAE"]


class TrainSAE(Command):
    """A YAML file of settings in, the folder of the run out."""

    name = "train-sae"
    help = "stage 1: pretrain the SAE"

    def add(self, parser: argparse.ArgumentParser) -> None:
        add_config_options(parser)
        add_row_options(parser)

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.train.runs import read_config, run_sae
        from sarm_core.train.sae import SAEConfig

        reader = reader_of(options)
        print(run_sae(read_config(SAEConfig, options.config, options.changes), reader))
        say_reading(reader)
        return 0
