"""`sarm study`: the paper's comparison at any scale. SARM beside a scalar head, random directions, a token-level SAE.

The backbone reads each text and each answer once, for all arms and seeds. Each seed trains the dictionaries that the
arms need; every arm's heads are fitted on the same pairs, with penalties chosen on the same validation part. What is
finished lies in the study's folder: a study that was killed goes on there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from sarm_core.errors import SarmError
from sarm_core.files import check_new, whole_file
from sarm_core.model.dictionaries.loading import load_sae
from sarm_core.model.sae import SAE
from sarm_core.prove.benchmarks.benchmark import Benchmark
from sarm_core.prove.benchmarks.registry import benchmark_of
from sarm_core.provenance import file_facts, versions
from sarm_core.text.answers import Reader as RowReader
from sarm_core.train.activations import Corpus, Reader
from sarm_core.train.data import Preferences, check_parts, prompt_key, read_all_pairs, said_of
from sarm_core.train.encoded_answers import Answers, tensors_digest
from sarm_core.train.pair_study import PairStudy
from sarm_core.train.positions import SPLITS, Positions
from sarm_core.train.progress import Stages, counting, say
from sarm_core.train.sae_config import SAEConfig, resolved
from sarm_core.train.sae_run import opened_reader, read_positions, reader_of, train_into
from sarm_core.train.study_arms import Measured, Record, given_dictionary, natural_mix
from sarm_core.train.study_config import DICTIONARIES, StudyConfig, check_study
from sarm_core.train.study_figures import Figures
from sarm_core.train.study_tables import tables, write_tables

__all__ = ["run_study"]

SCHEMA = "sarm-study/1"
FREE = ("out", "cache", "checkpoint_every", "log_every", "tensorboard")
"""Settings that change no figure"""


def run_study(config: StudyConfig, rows: RowReader | None = None, *, resume: bool = False) -> Path:
    """Train, fit and measure all arms over all seeds; returns the folder, whose `study.json` has every figure.

    Beside it lie `study.md`, `study.csv` and `study.html`, the dictionaries in `stage1/` and each arm's heads in
    `heads/`. With `resume` what is there stays. Raises SarmError in one line, before anything is read by the backbone,
    for settings and files that no study can have.
    """
    check_study(config)
    config = replace(config, backbone_dtype=resolved(config).backbone_dtype)
    out = Path(config.out)
    if not resume:
        check_new(out)
    benchmarks = {kind: benchmark_of(kind).read(config.files_of(kind)) for kind in config.benchmarks}
    read = read_all_pairs(config.pairs, rows, config.parts, ties=config.ties, strength=config.strength)
    check_parts(read.pairs, config.parts)
    corpus = Corpus(config.data, rows, config.parts)
    given = given_dictionary(config) if config.sae else None
    facts = _facts(config, given)
    if config.trained:
        backbone, counted = opened_reader(config, corpus)
    else:
        backbone, counted = reader_of(config), Counter()
    if given is not None and given.width != backbone.width:
        raise SarmError(
            f"{config.sae} does not belong to {config.backbone}: it reads vectors of {given.width} numbers, "
            f"the backbone's are {backbone.width} wide"
        )
    _begin(out, facts)
    positions = read_positions(config, backbone, corpus, counted) if config.trained else None
    work = _Work(config, out, benchmarks, read, backbone, positions, corpus, given)
    found = work.all()
    whole = {
        "schema": SCHEMA,
        "versions": versions(),
        **facts,
        "seeds": config.seeds,
        "backbone": work.reader.key,
        "positions": {split: positions.count(split) for split in SPLITS} if positions else None,
        "pairs": work.counts(),
        "benchmarks": work.seen(),
        **found,
    }
    with whole_file(out / "study.json") as file:
        json.dump(whole, file, indent=1, allow_nan=False)
    if not write_tables(out, whole):
        say("plotly is not installed (pip install plotly): there is no study.html")
    say(tables(whole))
    return out


def _facts(config: StudyConfig, given: SAE | None) -> dict[str, Any]:
    """What decides the figures, as JSON holds it: settings, and files and a given dictionary by their sha256."""
    settings = {name: value for name, value in asdict(config).items() if name not in FREE}
    listed = {"data": config.data, "pairs": config.pairs}
    # A benchmark may be of the kind "pairs".
    listed |= {f"benchmarks/{kind}": config.files_of(kind) for kind in config.benchmarks}
    files = {name: [file_facts(Path(path)) for path in paths] for name, paths in listed.items()}
    if given is not None:
        files["sae"] = [{"name": Path(config.sae).name, "sha256": tensors_digest(given)}]
    return json.loads(json.dumps({"settings": settings, "files": files}, allow_nan=False))


def _begin(out: Path, facts: Mapping[str, Any]) -> None:
    """Write down what the folder is of, or see that it is of the same. Raises SarmError."""
    file = out / "settings.json"
    if file.exists():
        try:
            begun = json.loads(file.read_text(encoding="utf-8"))
            was, now = begun["settings"], facts["settings"]
            files = begun["files"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SarmError(f"{file}: damaged ({error}); name another out") from None
        for name in now:
            if was.get(name) != now[name]:
                raise SarmError(
                    f"{out}: was begun with {name} {was.get(name)!r}, not {now[name]!r}; "
                    "set it back, or name another out"
                )
        for name, listed in facts["files"].items():
            if files.get(name) != listed:
                raise SarmError(f"{out}: was begun with other files under {name}; name another out")
        return
    check_new(out)
    out.mkdir(parents=True, exist_ok=True)
    with whole_file(file, remedy="name another out") as opened:
        json.dump(facts, opened, indent=1, allow_nan=False)


class _Work:
    """A study whose backbone has read its texts: what is left is to read the answers, to train and to fit."""

    def __init__(
        self,
        config: StudyConfig,
        out: Path,
        benchmarks: Mapping[str, Benchmark],
        read: Preferences,
        reader: Reader,
        positions: Positions | None,
        corpus: Corpus,
        given: SAE | None,
    ):
        self.config, self.out, self.benchmarks, self.read = config, out, benchmarks, read
        self.pairs = pairs = read.pairs
        self.reader, self.positions, self.corpus, self.given = reader, positions, corpus, given
        say(f"{said_of(pairs)}; reading answers that are not kept")
        conversations = [side for pair in pairs for side in (pair.chosen, pair.rejected)]
        places = [pair.place for pair in pairs for _ in range(2)]
        at = {}
        for kind, benchmark in benchmarks.items():
            at[kind] = slice(len(conversations), len(conversations) + len(benchmark.conversations))
            conversations += benchmark.conversations
            places += benchmark.places
        self.answers = Answers(
            reader, conversations, Path(config.cache), places=places, progress=counting("answers read")
        )
        row_of = self.answers.row_of
        self.study = PairStudy(pairs, row_of[: 2 * len(pairs)], config.seed, config.resamples)
        self.study.check()
        of_benchmarks = {kind: row_of[where] for kind, where in at.items()}
        self.measured = Measured(self.answers, self.study, of_benchmarks, config.features or None)
        n_seeds, drawn = len(config.seeds), len(config.drawn)
        heads = len(config.arms) - drawn + drawn * n_seeds
        self.stages = Stages({"stage 1": len(config.trained) * n_seeds, "heads": heads})

    def all(self) -> dict[str, Any]:
        """Every arm and seed, then what they came to."""
        records: dict[str, list[Record]] = {arm: [] for arm in self.config.arms}
        makers = {"scalar_head": self.measured.scalar_head, "length": self.measured.length}
        if self.given is not None:
            makers["sarm"] = partial(self.measured.of_dictionary, self.given)
        for arm in self.config.arms:
            if arm not in self.config.drawn:
                records[arm].append(self._fitted(arm, None, makers[arm]))
        for seed in self.config.seeds if self.config.drawn else ():
            ours = self._trained("sarm", seed) if self.given is None else self.given
            for arm in self.config.drawn:
                if arm == "random_encoder":
                    made = partial(self.measured.random, ours, seed)
                else:
                    sae = ours if arm == "sarm" else self._trained(arm, seed)
                    made = partial(self.measured.of_dictionary, sae)
                records[arm].append(self._fitted(arm, seed, made))
        figures = Figures(records, self.study.held_out["test"], self.benchmarks)
        return {
            "arms": {
                arm: {
                    "seeds": self.config.seeds if arm in self.config.drawn else None,
                    "dictionaries": [record["dictionary"] for record in of] if arm in DICTIONARIES else None,
                    **figures.arm(arm),
                }
                for arm, of in records.items()
            },
            "differences": {
                arm: figures.difference("sarm", arm) for arm in self.config.arms if arm != "sarm"
            },
            "bootstrap": {
                "unit": "prompt",
                "resamples": self.config.resamples,
                "confidence": 0.95,
                "seed": self.config.seed,
            },
        }

    def counts(self) -> dict[str, int]:
        """Pairs, prompts and answers, and the pairs of each part."""
        study = self.study
        return {
            **study.counts(self.read.ties),
            "answers": len(np.unique(np.concatenate([study.chosen, study.rejected]))),
        }

    def seen(self) -> dict[str, dict[str, int]]:
        """Of each benchmark: its items, its prompts, and those that pairs or texts hold which were learned from."""
        learned = {prompt_key(pair.chosen) for pair in self.pairs if pair.split != "test"}
        keys = {
            kind: {prompt_key(conversation) for conversation in benchmark.conversations}
            for kind, benchmark in self.benchmarks.items()
        }
        every = set().union(*keys.values())
        if every:  # of the texts only those prompts are remembered
            texts = (text for text in self.corpus.texts() if text.split == "train")
            learned |= every & {prompt_key(text.conversation) for text in texts}
        for kind, prompts in keys.items():
            if prompts & learned:
                say(
                    f"warning: {len(prompts & learned):,} of {len(prompts):,} prompts of {kind} were trained on"
                )
        return {
            kind: {
                "items": len(benchmark.items),
                "prompts": len(keys[kind]),
                "prompts_trained_on": len(keys[kind] & learned),
            }
            for kind, benchmark in self.benchmarks.items()
        }

    # -- one thing after the other -------------------------------------------------------------------------

    def _trained(self, arm: str, seed: int) -> SAE:
        """The dictionary of an arm and seed, as its folder holds it."""
        folder, positions = self.out / "stage1" / f"{arm}-seed-{seed}", self.positions
        assert positions is not None
        there = folder.exists()
        with self.stages.stage("stage 1", f"stage 1 of {arm}, seed {seed}", there=there):
            if not there:
                config = replace(_stage1(self.config), seed=seed, out=str(folder), pairs=[])
                if arm == "token_sae":  # differences are of scored positions
                    config = replace(config, mix=self._token_mix, difference_weight=0.0)
                train_into(config, self.reader, positions, resume=True)
        return load_sae(folder, layer=self.config.layer).sae

    @cached_property
    def _token_mix(self) -> dict[str, float]:
        """The positions of the token-level dictionaries. Unless it is stated, the texts are tokenised for it once."""
        assert self.positions is not None
        return self.config.token_mix or natural_mix(self.reader, self.corpus, self.positions)

    def _fitted(self, arm: str, seed: int | None, make: Callable[[], Record]) -> Record:
        """The record of an arm and seed: read where it is finished, else made and written."""
        name = arm if seed is None else f"{arm}-seed-{seed}"
        file = self.out / "heads" / f"{name}.json"
        there = file.exists()
        with self.stages.stage("heads", f"heads of {name}", there=there):
            if not there:
                file.parent.mkdir(exist_ok=True)
                with whole_file(file, remedy="make room, and go on with --resume") as opened:
                    json.dump(make(), opened, allow_nan=False)
        try:
            record = dict(json.loads(file.read_text(encoding="utf-8")))
            margins = np.array(record["heads"]["ridge"]["test_margins"])
            accuracy = self.study.held_out["test"].share_right(margins)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SarmError(f"{file}: damaged ({error}); delete it and go on with --resume") from None
        say(f"  {accuracy:.3f} of the held-out pairs in order")
        return record


def _stage1(config: StudyConfig) -> SAEConfig:
    """The settings of stage 1 alone."""
    return SAEConfig(**{name: getattr(config, name) for name in SAEConfig.__dataclass_fields__})
