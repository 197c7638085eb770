"""The command `train-sae`: settings in, a folder with a dictionary, its metrics and a report out."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from sarm_core.errors import SarmError
from sarm_core.files import check_new, whole_folder
from sarm_core.model.sae import SAE, standardise
from sarm_core.ship.export import sae_tensors
from sarm_core.text.answers import Reader as RowReader
from sarm_core.train.activations import Corpus, Reader, Taken, collect
from sarm_core.train.data import Pair, read_pairs
from sarm_core.train.encoded_answers import Answers
from sarm_core.train.head_fit import pick_head
from sarm_core.train.pair_study import PairStudy
from sarm_core.train.positions import KINDS, SPLITS, Positions
from sarm_core.train.processes import ALONE, Processes
from sarm_core.train.sae import train_sae
from sarm_core.train.sae_config import SAEConfig, check_settings, resolved
from sarm_core.train.sae_figures import measure, never_firing
from sarm_core.train.unfinished import Unfinished

__all__ = ["heads_on_reconstruction", "opened_reader", "read_positions", "reader_of", "run_sae", "train_into"]


def run_sae(
    config: SAEConfig,
    rows: RowReader | None = None,
    *,
    resume: bool = False,
    processes: Processes = ALONE,
) -> Path:
    """Collect activations, train, measure on the test part, and write the run's folder.

    It holds `sae.safetensors`, `report.json` and `metrics.jsonl`. Until then `OUT.unfinished` holds the last
    checkpoint, with which `resume` goes on; it is removed at the end. Of several `processes` only the first one writes
    there and measures; all have to see the cache. Raises SarmError.
    """
    with ExitStack() as stack:
        unfinished = board = None
        with processes.agreeing():
            check_settings(config)
            config = resolved(config)
            check_new(config.out)
            if processes.first:
                unfinished = stack.enter_context(Unfinished(config.out).opened(resume=resume))
                board = stack.enter_context(_board(config, unfinished))
            corpus = Corpus(config.data, rows)
            reader, counted = opened_reader(config, corpus, processes)
        positions = read_positions(config, reader, corpus, counted, processes)
        sae = train_sae(positions, config, unfinished=unfinished, board=board, processes=processes)
        if unfinished is not None:
            _finish(config, sae, reader, positions, rows, unfinished)
    return Path(config.out)


def opened_reader(
    config: SAEConfig, corpus: Corpus, processes: Processes = ALONE
) -> tuple[Reader, Counter[str]]:
    """The backbone of a config, and how many texts each part holds. Raises SarmError where one has none."""
    counted = corpus.counted()
    for part in SPLITS:
        if not counted[part]:
            raise SarmError(
                f"no text falls in the {part} part ({corpus.parts.words}): give more prompts, fifty or so"
            )
    if processes.first:
        print(f"{sum(counted.values()):,} texts", file=sys.stderr)
    return reader_of(config, processes), counted


def reader_of(config: SAEConfig, processes: Processes = ALONE) -> Reader:
    """The backbone of a config."""
    return Reader(
        config.backbone,
        config.layer,
        getattr(torch, config.backbone_dtype),
        rule=config.scored_token,
        max_length=config.max_length,
        device=processes.device_of(config.device),
    )


def read_positions(
    config: SAEConfig,
    reader: Reader,
    corpus: Corpus,
    counted: Mapping[str, int],
    processes: Processes = ALONE,
) -> Positions:
    """What the backbone makes of the texts: `collect` as the config has it."""
    taken = Taken(config.tokens_per_text, config.cut_texts, config.cuts_per_text, config.seed)
    cache = Path(config.cache)
    positions = collect(reader, corpus, taken, cache, counted=counted, log=True, processes=processes)
    if processes.first:
        print(f"{len(positions):,} positions", file=sys.stderr)
    return positions


def train_into(
    config: SAEConfig, reader: Reader, positions: Positions, *, resume: bool, rows: RowReader | None = None
) -> None:
    """Train on `positions`, measure, and write the run's folder, as `run_sae` does with what was read before."""
    with Unfinished(config.out).opened(resume=resume) as unfinished, _board(config, unfinished) as board:
        sae = train_sae(positions, config, unfinished=unfinished, board=board)
        _finish(config, sae, reader, positions, rows, unfinished)


def _finish(
    config: SAEConfig,
    sae: SAE,
    reader: Reader,
    positions: Positions,
    rows: RowReader | None,
    unfinished: Unfinished,
) -> None:
    """Measure, and write the run's folder."""
    report: dict[str, Any] = {
        "config": asdict(config),
        "kind": sae.kind,
        "n_texts": positions.done,
        "n_positions": len(positions),
        "never_firing": never_firing(sae, positions),
        "reconstruction": {
            f"{part}/{kind}": asdict(measure(sae, positions, split=part, kind=kind))
            for part in ("validation", "test")
            for kind in KINDS
            if positions.counts[part, kind]
        },
    }
    if config.pairs:
        pairs = [pair for path in config.pairs for pair in read_pairs(path, rows)]
        report["heads"] = heads_on_reconstruction(reader, sae, pairs, Path(config.cache))
    with whole_folder(config.out) as folder:
        tensors = {name.removeprefix("sae."): t for name, t in sae_tensors(sae, torch.float16).items()}
        save_file(tensors, folder / "sae.safetensors", metadata={"format": "pt"})
        (folder / "metrics.jsonl").write_bytes(unfinished.metrics.read_bytes())
        (folder / "report.json").write_text(json.dumps(report, indent=1, allow_nan=False), encoding="utf-8")
    unfinished.remove()
    print(json.dumps(report["reconstruction"], indent=1), file=sys.stderr)


@torch.no_grad()
def heads_on_reconstruction(reader: Reader, sae: SAE, pairs: list[Pair], cache: Path) -> dict[str, Any]:
    """Held-out pair accuracy of a linear head on x_hat beside one on x: what the dictionary lost of the preferences.

    Both are fitted on the same train pairs with the weight decay that the validation pairs prefer. Raises SarmError
    where a part has no pair.
    """
    sides = [side for pair in pairs for side in (pair.chosen, pair.rejected)]
    answers = Answers(reader, sides, cache)
    study = PairStudy(pairs, answers.row_of)
    for name, rows in study.rows.items():
        if not len(rows):
            raise SarmError(
                f"pairs: no pair falls in the {name} part (a tenth of all prompts): give more prompts"
            )
    x = standardise(torch.from_numpy(answers.hidden()))
    x_hat = torch.cat([sae(part)[0] for part in x.split(4096)])
    found: dict[str, Any] = {}
    for name, vectors in (("x", x), ("x_hat", x_hat)):
        parts = study.parts(vectors.numpy())
        fit = pick_head(parts["train"], parts["validation"])
        accuracy = study.held_out["test"].accuracy(parts["test"].margins(fit.w))
        found[name] = {"decay": fit.decay, **asdict(accuracy)}
    return found


@contextmanager
def _board(config: SAEConfig, unfinished: Unfinished) -> Iterator[Any]:
    """A TensorBoard writer where the settings ask for one. Raises SarmError when it is not installed."""
    if not config.tensorboard:
        yield None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise SarmError(
            "tensorboard is not installed: pip install tensorboard, or set tensorboard: no"
        ) from None
    folder = Path(config.out).with_name(Path(config.out).name + ".tensorboard")
    with SummaryWriter(str(folder)) as writer:
        yield writer
