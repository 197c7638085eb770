"""The command `train-sae`: stage 1, a sparse autoencoder on a backbone's hidden states."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from sarm_core.cli.command import Command
from sarm_core.cli.options import add_config_options, add_row_options, reader_of, say_reading

__all__ = ["TrainSAE"]


class TrainSAE(Command):
    """A YAML file of settings in, the folder of the run out; of a sweep where k, n_features or layer is a list."""

    name = "train-sae"
    help = "stage 1: pretrain the SAE"
    description = (
        "Stage 1: pretrain the SAE. Where k, n_features or layer is a list, every combination is trained, into "
        "folders below OUT, with a table (sweep.md, sweep.csv) and a plot (sweep.html) of what came out. Several "
        "processes or GPUs train one dictionary together when torchrun or `accelerate launch` starts the command."
    )

    def add(self, parser: argparse.ArgumentParser) -> None:
        add_config_options(parser)
        parser.add_argument(
            "--resume", action="store_true", help="go on with a run that was stopped or killed"
        )
        add_row_options(parser)

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.train.processes import PeerEndedError, started
        from sarm_core.train.runs import config_of, read_settings
        from sarm_core.train.sae_config import SAEConfig
        from sarm_core.train.sae_run import run_sae
        from sarm_core.train.sae_sweep import is_sweep, run_sweep
        from sarm_core.train.unfinished import Unfinished

        config: SAEConfig | None = None
        with started() as processes:
            try:
                with processes.agreeing():
                    reader = reader_of(options)
                    settings = read_settings(options.config, options.changes)
                    if not is_sweep(settings):
                        config = config_of(SAEConfig, options.config, settings)
                how: dict[str, Any] = {"resume": options.resume, "processes": processes}
                if config is None:
                    out = run_sweep(options.config, settings, reader, **how)
                else:
                    out = run_sae(config, reader, **how)
            except PeerEndedError:
                return 2
            except KeyboardInterrupt:
                if not processes.first:
                    return 130
                if config is not None and Unfinished(config.out).file.exists():
                    print("stopped: the same command with --resume goes on from here", file=sys.stderr)
                elif config is not None:
                    print("stopped: the same command goes on with what was collected", file=sys.stderr)
                raise
            if processes.first:
                print(out)
                say_reading(reader)
        return 0
