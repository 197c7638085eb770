"""The command `train-reward`: stage 2, a reward head on a trained SAE."""

from __future__ import annotations

import argparse

from sarm_core.cli.command import Command
from sarm_core.cli.options import add_config_options, add_row_options, reader_of, say_reading

__all__ = ["TrainReward"]


class TrainReward(Command):
    """A YAML file of settings in, the folder of the checkpoint out."""

    name = "train-reward"
    help = "stage 2: train the reward"

    def add(self, parser: argparse.ArgumentParser) -> None:
        add_config_options(parser)
        add_row_options(parser)

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.train.processes import PeerEndedError, started
        from sarm_core.train.reward import RewardConfig
        from sarm_core.train.runs import read_config, run_reward

        with started() as processes:
            try:
                with processes.agreeing():
                    reader = reader_of(options)
                    config = read_config(RewardConfig, options.config, options.changes)
                out = run_reward(config, reader, processes=processes)
            except PeerEndedError:
                return 2
            if processes.first:
                print(out)
                say_reading(reader)
        return 0
