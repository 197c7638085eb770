"""Stage 2 with moving blocks, modes 1 to 3, on Hugging Face's Trainer; it needs the extra `train` (accelerate, PEFT).

Devices, mixed precision, accumulation, FSDP and ZeRO (`accelerate launch -m sarm_core train-reward ...`), logging and
resuming are Trainer's. Ours is the objective (`objective.py`), the two learning rates, and what is written at the end.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from sarm_core.errors import SarmError
from sarm_core.files import whole_folder
from sarm_core.model.backbone import cut_backbone
from sarm_core.model.checkpoint import Shape
from sarm_core.model.sae import SAE
from sarm_core.model.sarm import SARM
from sarm_core.prove.benchmarks.rm_bench import RMBench
from sarm_core.score.encoder import Encoder
from sarm_core.ship.export import sae_tensors, write_own
from sarm_core.train.activations import Reader
from sarm_core.train.data import Pair
from sarm_core.train.objective import EncodedPair, PairObjective, batch_of
from sarm_core.train.processes import ALONE, Processes
from sarm_core.train.reward import RewardConfig, accuracy

if TYPE_CHECKING:
    from transformers import Trainer

__all__ = ["encoded", "run_stage2", "trainer_for"]

_SCORES = ("easy", "normal", "hard", "total")
_WATCHED = {"eval_loss", "eval_pair_accuracy", *(f"eval_rm_bench_{name}" for name in _SCORES)}
HEAD_RATE = 100
"""The head's learning rate, in those of the blocks: it starts at zero."""


def encoded(pairs: Sequence[Pair], reader: Reader, source_weights: Mapping[str, float]) -> list[EncodedPair]:
    """`pairs` as token ids. Weights are those of the pairs times those of their sources, scaled to a mean of 1.

    Raises SarmError for a weight that is no positive number, and for a source that no pair has.
    """
    for source, weight in source_weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < float("inf"):
            raise SarmError(f"source_weights: that of {source!r} is {weight!r}, not a positive number")
    unknown = sorted(set(source_weights) - {pair.source for pair in pairs})
    if unknown:
        there = ", ".join(sorted({pair.source for pair in pairs}))
        raise SarmError(f"source_weights: no pair comes from {unknown[0]!r}; sources: {there}")
    weights = np.array([pair.weight * source_weights.get(pair.source, 1.0) for pair in pairs])
    chosen = reader.format.tokens([pair.chosen for pair in pairs])
    rejected = reader.format.tokens([pair.rejected for pair in pairs])
    scaled = (weights / weights.mean()).tolist() if len(pairs) else []
    margins, ties = [pair.margin for pair in pairs], [pair.tie for pair in pairs]
    return [EncodedPair(*each) for each in zip(chosen, rejected, scaled, margins, ties, strict=True)]


def trainer_for(
    objective: PairObjective,
    train: Sequence[EncodedPair],
    validation: Sequence[EncodedPair],
    config: RewardConfig,
    folder: Path,
    benchmark: Callable[[], dict[str, float]] | None = None,
) -> Trainer:
    """Hugging Face's Trainer for an objective, checkpoints in `folder`. Raises SarmError without accelerate.

    `benchmark` gives figures of the model as it is; they are logged with those of the validation part.
    """
    try:
        import accelerate  # noqa: F401
    except ImportError:
        raise SarmError(
            f"mode {config.mode} trains with Hugging Face's Trainer, which needs accelerate: "
            "pip install -r requirements-train.txt"
        ) from None
    from transformers import Trainer, TrainingArguments

    class PairTrainer(Trainer):
        """A loss that is a sum over pairs, divided by those of the whole step; two learning rates; an order by seed."""

        loss_is_scaled_for_ga = True

        def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
            here = sum((batch["weights"] > 0).sum() for batch in batch_samples).to(device)  # type: ignore[union-attr]
            return self.accelerator.gather(here).sum() if self.accelerator.num_processes > 1 else here

        def _get_train_sampler(self, train_dataset: Any = None) -> _Order:
            return _Order(len(train), devices * per_device if devices > 1 else 1, config.seed)

        def get_train_dataloader(self) -> torch.utils.data.DataLoader:
            loader = super().get_train_dataloader()
            if (
                devices > 1
            ):  # accelerate's shards do not tell the order its epoch where an epoch is gone on with
                loader.batch_sampler.set_epoch = loader.batch_sampler.batch_sampler.sampler.set_epoch  # type: ignore[union-attr]
            return loader

        def compute_loss(  # type: ignore[no-untyped-def]
            self, model, inputs, return_outputs: bool = False, num_items_in_batch=None
        ):
            outputs = model(**inputs)
            n = len(inputs["weights"]) if num_items_in_batch is None else num_items_in_batch
            shared = (
                1 if num_items_in_batch is None else self.accelerator.num_processes
            )  # gradients are averaged
            loss = outputs["loss"] / n * shared
            return (loss, outputs) if return_outputs else loss

        def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
            if self.optimizer is None:
                moving = [
                    (name, parameter)
                    for name, parameter in (model or objective).named_parameters()
                    if parameter.requires_grad
                ]
                head = [p for name, p in moving if name.endswith("score.weight")]
                others = [p for name, p in moving if not name.endswith("score.weight")]
                groups = [{"params": head, "lr": config.lr * HEAD_RATE}]
                groups += [{"params": others, "lr": config.lr}] if others else []
                self.optimizer = torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)
            return self.optimizer

        def prediction_step(  # type: ignore[no-untyped-def]
            self, model, inputs, prediction_loss_only, ignore_keys=None
        ):
            inputs = self._prepare_inputs(inputs)
            with torch.no_grad():
                outputs = model(**inputs)
            return None, outputs["margins"], outputs["losses"]

    often = "steps" if config.every else "no"
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=config.epochs,
        learning_rate=config.lr,
        lr_scheduler_type="cosine",
        warmup_steps=0.03,
        weight_decay=config.weight_decay,
        max_grad_norm=1.0,
        seed=config.seed,
        bf16=config.bfloat16,
        use_cpu=config.device == "cpu",
        activation_checkpointing=config.recompute,
        logging_strategy="steps",
        logging_steps=1,
        eval_strategy=often,
        eval_steps=config.every or None,
        save_strategy=often,
        save_steps=config.every or 500,
        save_total_limit=2,
        report_to=list(config.report_to),
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=torch.cuda.is_available(),
        ddp_find_unused_parameters=True,
        disable_tqdm=None,
    )
    devices = arguments.world_size
    if arguments.n_gpu > 1:
        raise SarmError(
            f"one process sees {arguments.n_gpu} GPUs: start one for each, torchrun --nproc-per-node {arguments.n_gpu} "
            "-m sarm_core train-reward ..., or show it one with CUDA_VISIBLE_DEVICES=0"
        )
    per_device = min(config.per_device, max(1, config.batch // devices))
    if config.batch % (per_device * devices):
        raise SarmError(
            f"batch {config.batch} is not a multiple of per_device {config.per_device}"
            + (f" on {devices} processes" if devices > 1 else "")
        )
    arguments.per_device_train_batch_size = arguments.per_device_eval_batch_size = per_device
    arguments.gradient_accumulation_steps = config.batch // (per_device * devices)

    def figures(prediction: Any) -> dict[str, float]:
        margins, losses = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
        found = {"loss": float(losses.mean()), "pair_accuracy": accuracy(margins).accuracy}
        return found if benchmark is None else {**found, **benchmark()}

    return PairTrainer(
        model=objective,
        args=arguments,
        train_dataset=[*train, _silent(train)],  # type: ignore[arg-type]
        eval_dataset=list(validation),  # type: ignore[arg-type]
        data_collator=batch_of,  # type: ignore[arg-type]
        compute_metrics=figures,
    )


def _last_whole(training: Path) -> str | None:
    """The last checkpoint that Trainer wrote to its end; a killed one may have left another behind it, torn."""
    steps = {
        int(path.name[11:]): path for path in training.glob("checkpoint-*") if path.name[11:].isdecimal()
    }
    for _, folder in sorted(steps.items(), reverse=True):
        with suppress(OSError, ValueError):
            json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))  # written last
            return str(folder)
    return None


class _Order(torch.utils.data.Sampler[int]):
    """Every one of n pairs once, in an order that seed and epoch decide; then pair n, which is silent, until there are
    a multiple of `of`: processes then have as many batches each, and no pair twice."""

    def __init__(self, n: int, of: int, seed: int):
        self.n, self.of, self.seed, self.epoch = n, of, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n + -self.n % self.of

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.n)
        return iter([*order.tolist(), *[self.n] * (len(self) - self.n)])


def _silent(pairs: Sequence[EncodedPair]) -> EncodedPair:
    """A pair that costs nothing, and little to read."""
    return replace(min(pairs, key=lambda pair: len(pair.chosen) + len(pair.rejected)), weight=0.0)


def run_stage2(
    config: RewardConfig,
    shape: Shape,
    sae: SAE,
    pairs: Sequence[Pair],
    reader: Reader,
    stage1: dict[str, Any],
    processes: Processes = ALONE,
) -> Path:
    """Train on the train part of `pairs`, measure on its test part, write a whole checkpoint with report.

    Trainer's checkpoints lie in `<out>.training`; with `resume` the last of them is gone on with. Trainer divides the
    work among `processes`; the first one writes. Raises SarmError.
    """
    from transformers.integrations import is_deepspeed_zero3_enabled

    training = Path(f"{config.out}.training")
    fsdp_asked = os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"  # by `accelerate launch`
    with processes.agreeing():
        last = _last_whole(training)
        if config.resume and last is None:
            raise SarmError(f"{training}: holds no checkpoint to go on with; leave resume out to begin anew")
        if last is not None and not config.resume:
            raise SarmError(f"{training}: holds a run that was not finished: set resume, or delete it")
        model = _model(config, shape, sae, reader)
        objective = PairObjective(model, config.mode, config.reconstruction_weight)
        parts = {
            name: encoded(
                [pair for pair in pairs if pair.split == name],
                reader,
                config.source_weights,
            )
            for name in ("train", "validation", "test")
        }
        bench = RMBench.read(config.evaluate) if config.evaluate else None
        figures = partial(_rm_bench, model, reader, bench, processes) if bench else None
    with processes.agreeing():
        if fsdp_asked and os.environ.get("FSDP_VERSION") != "2":
            raise SarmError(
                "FSDP is tested in its version 2: accelerate launch --use_fsdp --fsdp_version 2 ..."
            )
        trainer = trainer_for(objective, parts["train"], parts["validation"], config, training, figures)
        refused = ""
        if is_deepspeed_zero3_enabled():
            refused = (
                "ZeRO 3 gives weights back in half precision: shard them with accelerate launch --use_fsdp "
                "--fsdp_version 2 ..., or use ZeRO 2"
            )
        if bench and trainer.is_fsdp_enabled:
            refused = (
                "evaluate: each process reads a share of the benchmark by itself, which it cannot with a share of the "
                "weights: leave it out under FSDP, and run `sarm evaluate` on what was trained"
            )
        if refused:
            with suppress(OSError):
                training.rmdir()  # which Trainer has made
            raise SarmError(refused)
    if processes.first and fsdp_asked and not trainer.is_fsdp_enabled:
        print("accelerate shards nothing on CPUs: each process holds all weights", file=sys.stderr)
    trainer.train(resume_from_checkpoint=last)
    tested = trainer.predict(parts["test"])  # type: ignore[arg-type]
    margins = np.asarray(tested.predictions)
    # Of sharded weights the processes gather the whole together; only the first gets it.
    whole = trainer.accelerator.get_state_dict(trainer.model_wrapped) if trainer.is_fsdp_enabled else None
    if not processes.first:
        return Path(config.out)
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    stage2: dict[str, Any] = {
        "config": asdict(config),
        "losses": [entry["loss"] for entry in history],
        "validation": [
            {"step": entry["step"], **{name[5:]: entry[name] for name in entry if name in _WATCHED}}
            for entry in trainer.state.log_history
            if "eval_loss" in entry
        ],
        "test": asdict(accuracy(margins)),
    }
    if bench:
        scores = tested.metrics or {}
        stage2["rm_bench_chat"] = {name: scores[f"test_rm_bench_{name}"] for name in _SCORES}
    if whole is not None:
        model = _model(config, shape, SAE(sae.width, sae.n_features, sae.of_kind), reader)
        model.load_state_dict({name.removeprefix("sarm."): tensor for name, tensor in whole.items()})
    model = model.cpu().eval()
    with whole_folder(config.out) as folder:
        if config.lora_rank:
            model.model.save_pretrained(folder / "adapter")  # type: ignore[operator]
            model.model = model.model.merge_and_unload()  # type: ignore[operator]
        _write(folder, config, shape, model, reader)
        (folder / "report.json").write_text(
            json.dumps({"stage1": stage1, "stage2": stage2}, indent=1), encoding="utf-8"
        )
    return Path(config.out)


def _model(config: RewardConfig, shape: Shape, sae: SAE, reader: Reader) -> SARM:
    """The SARM that is trained, before a step."""
    model = SARM(cut_backbone(reader.folder, shape.layer, torch.float32), sae)
    if config.lora_rank:
        torch.manual_seed(config.seed)
        model.model = _with_lora(model.model, config.lora_rank)
    return model


def _write(folder: Path, config: RewardConfig, shape: Shape, model: SARM, reader: Reader) -> None:
    (folder / "backbone").mkdir()
    model.config.save_pretrained(folder / "backbone")
    blocks = {name: tensor.detach().contiguous() for name, tensor in model.model.state_dict().items()}
    save_file(blocks, folder / "backbone" / "model.safetensors", metadata={"format": "pt"})
    reader.format.tokenizer.save_pretrained(folder / "backbone")
    write_own(
        folder,
        shape=shape,
        tensors=sae_tensors(model.sae),
        head=model.score.weight[0].detach().numpy(),
        backbone="backbone",
        rule=reader.format.rule,
        chat_template=reader.format.template,
        max_length=reader.format.max_length,
        name=config.name,
    )


def _with_lora(backbone: torch.nn.Module, rank: int) -> torch.nn.Module:
    """The backbone with LoRA on every linear layer; only that moves. Raises SarmError without PEFT."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise SarmError("lora_rank needs PEFT: pip install -r requirements-train.txt") from None
    return get_peft_model(backbone, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))  # type: ignore[arg-type]


def _rm_bench(model: SARM, reader: Reader, bench: RMBench, processes: Processes) -> dict[str, float]:
    """Accuracies on RM-Bench's answers, by the model as it is now; each process reads some of them."""
    sequences = reader.format.tokens(list(bench.conversations))
    mine = processes.share(len(sequences))
    with torch.inference_mode():
        some = sequences[mine]
        h = Encoder(model).hidden([s.input_ids for s in some], [np.array([s.scored]) for s in some])
        at = next(model.sae.parameters()).device
        here = model.reward(model.codes(torch.from_numpy(h).to(at))).cpu()
    rewards = torch.zeros(len(sequences))
    rewards[mine] = here
    processes.add_up([rewards])
    scores = bench.result(rewards.numpy().astype(np.float64)).scores
    return {f"rm_bench_{name}": scores[name] for name in _SCORES}
