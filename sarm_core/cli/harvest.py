"""The command `harvest`: a corpus through the model into a feature store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sarm_core.cli.command import Command
from sarm_core.cli.options import add_model_options, add_row_options, count, loaded, reader_of, say_reading

__all__ = ["Harvest"]


class Harvest(Command):
    """Texts in, a store of what every feature fires on out; what was stopped goes on with --resume."""

    name = "harvest"
    help = "stream a corpus into a feature store"

    def add(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "sources",
            type=Path,
            nargs="+",
            metavar="IN",
            help="files of rows, or folders that datasets saved",
        )
        add_model_options(parser)
        add_row_options(parser)
        parser.add_argument("--db", type=Path, required=True, metavar="FILE", help="the store to write")
        parser.add_argument("--engine", choices=["local", "ray"], default="local")
        parser.add_argument("--workers", type=count, default=1, help="actors of the Ray engine")
        parser.add_argument("--resume", action="store_true", help="go on with a harvest that was stopped")
        parser.add_argument("--positions", choices=["scored", "sentences"], default="sentences")
        parser.add_argument("--top", type=count, default=20, help="strongest texts kept for each feature")
        parser.add_argument(
            "--per-band", type=count, default=4, help="texts sampled from each activation band"
        )
        parser.add_argument("--silent", type=count, default=40, help="texts in which a feature does not fire")
        parser.add_argument("--chunk", type=count, default=256, help="texts encoded together")
        parser.add_argument("--seed", type=int, default=0, help="of every sample")
        parser.add_argument(
            "--checkpoint-seconds",
            type=float,
            default=60.0,
            help="time between checkpoints; 0: after every chunk",
        )
        parser.add_argument("--skip-bad", action="store_true", help="leave bad rows out and list them")

    def run(self, options: argparse.Namespace) -> int:
        from sarm_core.cli.stores import harvest_into
        from sarm_core.errors import RowError
        from sarm_core.harvest.harvest import HarvestSettings, Workspace
        from sarm_core.harvest.settings import checked_seconds

        # Before the model is loaded, which takes a while.
        settings = HarvestSettings(
            positions=options.positions,
            top=options.top,
            per_band=options.per_band,
            random=min(HarvestSettings.random, options.per_band),
            silent=options.silent,
            seed=options.seed,
            chunk_texts=options.chunk,
        )
        checkpoint_seconds = checked_seconds(options.checkpoint_seconds)
        reader = reader_of(options)
        scorer = loaded(options)
        engine = None
        if options.engine == "ray":
            from sarm_core.harvest.ray_engine import run_on_ray

            engine = run_on_ray(scorer, options.workers)
        workspace = Workspace(options.db)
        try:
            header = harvest_into(
                options.db,
                scorer,
                options.sources,
                settings,
                engine=engine,
                resume=options.resume,
                checkpoint_seconds=checkpoint_seconds,
                skip_bad=options.skip_bad,
                reader=reader,
            )
        except KeyboardInterrupt:
            if workspace.state_file.exists():
                print("stopped: the same command with --resume goes on from here", file=sys.stderr)
            raise
        except RowError as error:
            if options.skip_bad or not workspace.state_file.exists():
                raise
            raise RowError(
                f"{error.reason}. Add --resume --skip-bad to go on without such rows; with a corrected file, delete "
                f"{workspace.folder} and start anew",
                source=error.source,
                row=error.row,
            ) from None
        if header is None:
            print("nothing to resume: this corpus is in the store already")
            return 0
        say_reading(reader)
        skipped = f", {header['skipped']} bad rows skipped" if header["skipped"] else ""
        print(
            f"{header['texts']} texts ({header['positions']} positions) harvested into {options.db}: "
            f"{header['kept_texts']} texts and {header['examples']} examples kept, "
            f"{header['suggestions']} suggestions and {header['names']} names{skipped}"
        )
        return 0
