"""The commands `train-sae` and `train-reward`: a YAML file in, a folder with weights and a report out."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import yaml
from scipy import sparse

from sarm_core.checkpoint import Shape, cut_backbone, load_sae
from sarm_core.errors import SarmError
from sarm_core.evaluate import load_benchmark
from sarm_core.features import FeatureMatrix
from sarm_core.model import SARM
from sarm_core.rows import Conversation
from sarm_core.sae import TopKSAE, standardise
from sarm_core.save import check_new, new_folder, sae_tensors, write_own
from sarm_core.training.activations import KINDS, Reader, collect, collect_cuts, joined, siblings
from sarm_core.training.card import card
from sarm_core.training.data import Pair, Text, prompt_key, read_pairs, read_texts
from sarm_core.training.reward import PairAccuracy, RewardConfig, accuracy, by_source, pick_head, train_blocks
from sarm_core.training.sae import SAEConfig, measure, never_firing, train_sae

__all__ = ["read_config", "run_reward", "run_sae"]

RESAMPLES = 2000
Config = TypeVar("Config", SAEConfig, RewardConfig)


def read_config(kind: type[Config], path: str | Path, changes: Sequence[str] = ()) -> Config:
    """A config from YAML with `changes` like "k=64" applied. Raises SarmError naming file and key."""
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        if not isinstance(data, dict):
            raise SarmError(f"{path}: expected settings, one `name: value` a line")
        for change in changes:
            key, _, value = change.partition("=")
            data[key] = yaml.safe_load(value)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SarmError(f"{path}: cannot be read as YAML ({str(error).splitlines()[0]})") from None
    known = {field.name: field for field in fields(kind)}
    unknown = sorted(str(key) for key in data if key not in known)
    if unknown:
        raise SarmError(f"{path}: unknown setting {unknown[0]!r}; known: {', '.join(known)}")
    default = kind()
    config = kind(**{name: _setting(path, name, data[name], getattr(default, name)) for name in data})
    if not config.data:
        raise SarmError(f"{path}: data is empty; list the training files")
    return config


def _setting(path: str | Path, name: str, value: Any, like: Any) -> Any:
    """A setting's value when it is of the kind of its default. YAML reads 5e-4 (without a dot) as text."""
    if isinstance(like, float) or (isinstance(like, list) and like and isinstance(value, list)):
        with suppress(TypeError, ValueError):
            return [float(v) for v in value] if isinstance(value, list) else float(value)
    names = {int: "a whole number", float: "a number", str: "a text", list: "a list", dict: "a mapping"}
    wanted = str if like is None else type(like)
    texts = [value] if wanted is str else value if wanted is list and not like else []
    if type(value) is not wanted and not (like is None and value is None):
        raise SarmError(f"{path}: {name} is {value!r}, not {names[wanted]}")
    if not all(isinstance(text, str | None) for text in texts):
        raise SarmError(f"{path}: {name} is {value!r}, not a list of texts")
    return value


def _check_parts(items: Sequence[Text] | Sequence[Pair], what: str) -> None:
    for part in ("train", "validation", "test"):
        if not any(item.split == part for item in items):
            raise SarmError(
                f"no {what} falls in the {part} part (a tenth of all prompts each for validation and test): "
                "give more prompts, fifty or so"
            )


def run_sae(config: SAEConfig) -> Path:
    """Collect activations, train, measure on the test part, and write `sae.safetensors` and `report.json`."""
    check_new(config.out)
    texts = [text for path in config.data for text in read_texts(path)]
    _check_parts(texts, "text")
    print(f"{len(texts):,} texts", file=sys.stderr)
    reader = Reader(config.backbone, config.layer)
    activations = collect(
        reader, texts, tokens_per_text=config.tokens_per_text, seed=config.seed, cache=Path(config.cache)
    )
    pairs = siblings(texts, activations) if config.difference_weight else None
    if config.cut_texts:
        cuts = collect_cuts(
            reader,
            texts,
            n_texts=config.cut_texts,
            cuts_per_text=config.cuts_per_text,
            seed=config.seed,
            cache=Path(config.cache),
        )
        activations = joined([activations, cuts])
    print(f"{len(activations.h):,} positions", file=sys.stderr)
    sae = train_sae(activations, config, pairs)
    report = {
        f"{part}/{kind}": asdict(measure(sae, activations, split=i, kind=kind))
        for i, part in ((1, "validation"), (2, "test"))
        for kind in ("scored", "sentence", "token")
        if ((activations.split == i) & (activations.kind == KINDS.index(kind))).any()
    }
    from safetensors.torch import save_file

    with new_folder(config.out) as folder:
        tensors = {name.removeprefix("sae."): t for name, t in sae_tensors(sae, torch.float16).items()}
        save_file(tensors, folder / "sae.safetensors", metadata={"format": "pt"})
        (folder / "report.json").write_text(
            json.dumps(
                {
                    "config": asdict(config),
                    "n_texts": len(texts),
                    "n_positions": len(activations.h),
                    "never_firing": never_firing(sae, activations),
                    "reconstruction": report,
                },
                indent=1,
            ),
            encoding="utf-8",
        )
    print(json.dumps(report, indent=1), file=sys.stderr)
    return Path(config.out)


def run_reward(config: RewardConfig) -> Path:
    """Train the head (mode 0) or blocks and head (mode 1); write a checkpoint in the own layout, with report."""
    if config.mode not in (0, 1):
        raise SarmError(f"mode {config.mode} is not available: 0 (head) or 1 (blocks + head)")
    check_new(config.out)
    stage1 = _stage1(Path(config.sae))
    sae_config = stage1["config"]
    shape = Shape(sae_config["layer"], sae_config["n_features"], sae_config["k"])
    sae = load_sae(Path(config.sae) / "sae.safetensors", shape)
    pairs = [pair for path in config.data for pair in read_pairs(path)]
    _check_parts(pairs, "pair")
    print(f"{len(pairs):,} pairs", file=sys.stderr)
    reader = Reader(sae_config["backbone"], shape.layer)
    if config.mode == 1:
        return _run_mode_1(config, shape, sae, pairs, reader, stage1)
    stage2 = HeadStudy(reader, pairs, config)
    w, report = stage2.sarm(sae)
    for name, other in (
        ("scalar_head", stage2.scalar_head()),
        ("random_encoder", stage2.random_encoder(shape, config.seed)),
    ):
        other["paired_difference"] = stage2.paired_difference(report["test_margins"], other["test_margins"])
        report[name] = other
    with new_folder(config.out) as folder:
        write_own(
            folder,
            shape=shape,
            tensors=sae_tensors(sae, torch.float16),
            head=w.astype(np.float32),
            backbone=_found_from_anywhere(sae_config["backbone"]),
            rule=reader.format.rule,
            chat_template=reader.format.template,
            name=config.name,
        )
        whole = {"stage1": stage1, "stage2": {"config": asdict(config), **report}}
        (folder / "report.json").write_text(json.dumps(whole, indent=1), encoding="utf-8")
        (folder / "README.md").write_text(card(folder / "report.json"), encoding="utf-8")
    print((Path(config.out) / "README.md").read_text(encoding="utf-8"), file=sys.stderr)
    return Path(config.out)


def _found_from_anywhere(backbone: str) -> str:
    """A relative folder as an absolute one; "demo" and Hub ids as they are."""
    return backbone if backbone == "demo" or not Path(backbone).is_dir() else str(Path(backbone).resolve())


class HeadStudy:
    """Three heads on the same pairs, splits and weight-decay search: SARM, scalar head on h, random encoder.

    Activations at the scored tokens are read once, [texts, d].
    """

    def __init__(self, reader: Reader, pairs: Sequence[Pair], config: RewardConfig):
        self.pairs, self.config = list(pairs), config
        self.rm_bench = load_benchmark("rm-bench", config.evaluate) if config.evaluate else None
        bench = list(self.rm_bench.conversations) if self.rm_bench else []
        conversations: dict[Conversation, int] = {}
        for pair in self.pairs:
            for side in (pair.chosen, pair.rejected):
                conversations.setdefault(side, len(conversations))
        for side in bench:
            conversations.setdefault(side, len(conversations))
        sequences = reader.format.tokens(list(conversations))
        self.x = standardise(torch.from_numpy(reader.scored(sequences, Path(config.cache))))
        self.chosen = np.array([conversations[pair.chosen] for pair in self.pairs])
        self.rejected = np.array([conversations[pair.rejected] for pair in self.pairs])
        self.bench = np.array([conversations[side] for side in bench], dtype=np.int64)
        self.weights = np.array([pair.weight for pair in self.pairs])
        split = np.array([pair.split for pair in self.pairs])
        self.rows = {name: np.flatnonzero(split == name) for name in ("train", "validation", "test")}

    def fit(self, representation: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Fit on the train part, choose the decay on validation, report on test. `representation` [texts, F]."""
        differences = representation[self.chosen] - representation[self.rejected]
        part = {name: differences[rows] for name, rows in self.rows.items()}
        w, decay, loss = pick_head(
            part["train"],
            self.weights[self.rows["train"]],
            part["validation"],
            self.weights[self.rows["validation"]],
            self.config.decays,
        )
        w = w.astype(np.float32).astype(np.float64)
        margins = np.asarray(part["test"] @ w)
        report: dict[str, Any] = {
            "decay": decay,
            "validation_loss": loss,
            "train_accuracy": float(np.mean(part["train"] @ w > 0)),
            "test": {
                k: asdict(v)
                for k, v in by_source([self.pairs[i] for i in self.rows["test"]], margins).items()
            },
            "test_margins": [round(float(m), 5) for m in margins],
        }
        if self.rm_bench is not None:
            result = self.rm_bench.result(np.asarray(representation[self.bench] @ w))
            report["rm_bench_chat"] = {k: result.scores[k] for k in ("easy", "normal", "hard", "total")}
            report["rm_bench_chat"]["n"] = len(self.rm_bench.items)
        return w, report

    def paired_difference(self, ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
        """Accuracy of ours minus theirs on the test pairs, with a 95 % bootstrap interval over prompts."""
        keys = [prompt_key(self.pairs[i].chosen) for i in self.rows["test"]]
        _, prompt = np.unique(keys, return_inverse=True)
        better = (np.asarray(ours) > 0).astype(float) - (np.asarray(theirs) > 0)
        total, count = np.bincount(prompt, weights=better), np.bincount(prompt)
        rng = np.random.default_rng(self.config.seed)
        picks = rng.integers(0, len(count), (RESAMPLES, len(count)))
        low, high = np.percentile(total[picks].sum(1) / count[picks].sum(1), [2.5, 97.5])
        return {
            "difference": float(better.mean()),
            "low": float(low),
            "high": float(high),
            "resamples": RESAMPLES,
        }

    def sarm(self, sae: TopKSAE) -> tuple[np.ndarray, dict[str, Any]]:
        """The SARM's head on z."""
        print("SARM head", file=sys.stderr)
        return self.fit(_sparse_codes(sae, self.x))

    def scalar_head(self) -> dict[str, Any]:
        """Baseline (a): an ordinary scalar head on the same standardised h."""
        print("scalar head on the same h", file=sys.stderr)
        return self.fit(self.x.double().numpy())[1]

    def random_encoder(self, shape: Shape, seed: int) -> dict[str, Any]:
        """Baseline (b): the same SARM with a random encoder, centred like the trained one."""
        print("SARM with a random encoder", file=sys.stderr)
        generator = torch.Generator().manual_seed(seed)
        sae = TopKSAE(self.x.shape[1], shape.n_features, shape.k)
        with torch.no_grad():
            sae.encoder.weight.copy_(torch.randn(shape.n_features, self.x.shape[1], generator=generator))
            sae.encoder.weight.div_(sae.encoder.weight.norm(dim=1, keepdim=True))
            sae.pre_bias.copy_(self.x[torch.from_numpy(self.chosen[self.rows["train"]])].mean(0))
        return self.fit(_sparse_codes(sae, self.x))[1]


@torch.no_grad()
def _sparse_codes(sae: TopKSAE, x: torch.Tensor) -> sparse.csr_matrix:
    codes = [sae.encode(chunk) for chunk in x.split(1024)]
    indices = torch.cat([c.indices for c in codes]).numpy()
    values = torch.cat([c.values for c in codes]).numpy()
    return FeatureMatrix.from_topk(indices, values, np.zeros(sae.n_features)).csr.astype(np.float64)


def _stage1(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SarmError(f"{folder / 'report.json'}: cannot be read ({error}); run train-sae first") from None


def _run_mode_1(
    config: RewardConfig,
    shape: Shape,
    sae: TopKSAE,
    pairs: Sequence[Pair],
    reader: Reader,
    stage1: dict[str, Any],
) -> Path:
    from sarm_core.encoding import padded

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = SARM(cut_backbone(reader.folder, shape.layer, torch.float32), sae).to(device)
    sides = {
        name: [(pair.chosen, pair.rejected) for pair in pairs if pair.split == name]
        for name in ("train", "test")
    }

    def batches(rows: Sequence[tuple[Conversation, Conversation]]) -> list[tuple[torch.Tensor, ...]]:
        out = []
        for at in range(0, len(rows), config.batch):
            part = rows[at : at + config.batch]
            chosen = [s.input_ids for s in reader.format.tokens([c for c, _ in part])]
            rejected = [s.input_ids for s in reader.format.tokens([r for _, r in part])]
            out.append(
                (*padded(chosen, left=False, device=device), *padded(rejected, left=False, device=device))
            )
        return out

    losses = train_blocks(model, batches(sides["train"]), config)
    with torch.inference_mode():
        margins = [
            (model(b[0], b[1]).logits - model(b[2], b[3]).logits)[:, 0].cpu().numpy()
            for b in batches(sides["test"])
        ]
    held_out: PairAccuracy = accuracy(np.concatenate(margins) if margins else np.zeros(0))
    with new_folder(config.out) as folder:
        (folder / "backbone").mkdir()
        model.model.config.save_pretrained(folder / "backbone")
        from safetensors.torch import save_file

        blocks = {n: t.detach().cpu().contiguous() for n, t in model.model.state_dict().items()}
        save_file(blocks, folder / "backbone" / "model.safetensors", metadata={"format": "pt"})
        reader.format.tokenizer.save_pretrained(folder / "backbone")
        write_own(
            folder,
            shape=shape,
            tensors=sae_tensors(model.sae),
            head=model.score.weight[0].detach().cpu().numpy(),
            backbone="backbone",
            rule=reader.format.rule,
            chat_template=reader.format.template,
            name=config.name,
        )
        whole = {
            "stage1": stage1,
            "stage2": {"config": asdict(config), "losses": losses, "test": asdict(held_out)},
        }
        (folder / "report.json").write_text(json.dumps(whole, indent=1), encoding="utf-8")
    return Path(config.out)
