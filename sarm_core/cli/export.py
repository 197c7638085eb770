"""The command `export`: a checkpoint with a steering folded into its head, loaded again before it is kept."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from sarm_core.cli.command import Command
from sarm_core.cli.options import steering_of

__all__ = ["Export"]


class Export(Command):
    """A checkpoint and a steering in, the steered checkpoint out."""

    name = "export"
    help = "write a checkpoint with a steering folded into its head"

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--model", default="demo", help='"demo", a folder or a Hub id')
        parser.add_argument(
            "--steering", type=Path, metavar="S.json", help="without it the model leaves as it is"
        )
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
        parser.add_argument(
            "--layout",
            choices=["own", "reference", "auto"],
            default="own",
            help='"auto": for AutoModelForSequenceClassification, with its small class',
        )
        parser.add_argument("--device", help="where it is checked; default: CUDA when there is one")
        parser.add_argument("--dtype", default="float32", help="in which it is checked (default float32)")
        parser.add_argument(
            "--no-check",
            action="store_true",
            help="do not load the model to compare rewards: for one that does not fit this machine",
        )

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.files import check_new
        from sarm_core.model.checkpoint import Shape, open_checkpoint
        from sarm_core.ship.export import reference_name
        from sarm_core.ship.layouts import refuse_layout
        from sarm_core.ship.ship import FOLDED, README, ship
        from sarm_core.steering import Steering

        steering = steering_of(options) or Steering()
        checkpoint = open_checkpoint(options.model)
        check_new(options.out)
        # Refused before any model runs.
        refuse_layout(checkpoint.shape, options.layout)
        steering.fold(checkpoint.tensors.read("score.weight")[0].float().numpy())
        asked = None if options.no_check else _trial(options, steering)
        check = ship(
            checkpoint,
            steering,
            options.out,
            options.layout,
            asked,
            lambda text: print(text, file=sys.stderr),
        )
        if check is None:
            print("not loaded again: nobody has compared its rewards", file=sys.stderr)
        else:
            print(
                f"loaded again ({check.dtype}), the rewards of {len(check.wanted)} answers differ from the steered "
                f"ones by {check.error:.1e} at most ({check.allowed:.0e} is allowed); {check.n_fired} of the "
                f"{check.n_steered} steered features fire in them, and all weights of the head are the folded ones",
                file=sys.stderr,
            )
        print(f"what was folded, from which model, and how to load it: {README}, {FOLDED}", file=sys.stderr)
        if options.layout == "reference" and Shape.from_name(options.out.name) is None:
            print(
                "scripts of the reference repository read the sizes from the folder's name: for them call it like "
                f"{reference_name(checkpoint.shape)}",
                file=sys.stderr,
            )
        print(options.out)
        return 0


def _trial(options: argparse.Namespace, steering: Any) -> Any:
    """Scored here, so that the model is let go before the exported one is loaded."""
    from sarm_core.score.scorer import load_sarm
    from sarm_core.ship.check import trial
    from sarm_core.ship.ship import trial_rows

    scorer = load_sarm(options.model, device=options.device, dtype=options.dtype)
    return trial(scorer, trial_rows(scorer), steering)
