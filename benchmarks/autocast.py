"""Pairs that bfloat16 autocast turns: the demo's export for Transformers, as TRL's trainers run it by default.

python -m benchmarks.autocast PAIRS.jsonl [--pairs 1128] [--out FILE.json]

A line of PAIRS.jsonl has "messages" (the prompt) and the texts "chosen" and "rejected"; the shortest are taken. The
export computes a reward of every answer in float32 and one under autocast. From the h of the second its dictionary and
head are computed again, in float64 by this script and in bfloat16 too, so that what each part turns is told apart.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.report import Figure, arguments, publish
from sarm_core import Steering, open_checkpoint
from sarm_core.ship import modeling_sarm  # noqa: F401  registers the model type
from sarm_core.ship.auto import export_auto

KINDS = ("float32", "autocast", "autocast, then float64", "all in autocast")
BATCH = 16  # answers; each pass under autocast casts the weights anew


def in_float64(model: Any, h: Tensor) -> Tensor:
    """The rewards [B] of h [B, d] by dictionary and head in float64."""
    v = h.double()
    x = (v - v.mean(-1, keepdim=True)) / (v.std(-1, keepdim=True) + 1e-6)
    a = (x - model.sae.pre_bias.double()) @ model.sae.encoder.weight.double().T + model.sae.latent_bias
    kept = a.argsort(-1, descending=True)[:, : model.config.k]
    return (model.score.weight[0].double()[kept] * a.gather(-1, kept)).sum(-1)


@torch.inference_mode()
def rewards(model: Any, batch: Any) -> npt.NDArray[np.float64]:
    """Rewards [B, 4] of a batch of token ids, one for each of KINDS."""
    kept: list[Tensor] = []
    compute = type(model)._rewards

    def keep(h: Tensor) -> Any:
        kept.append(h)
        return compute(model, h)

    model._rewards = keep
    whole = model(**batch).logits[:, 0]
    with torch.autocast("cpu", torch.bfloat16):
        cast = model(**batch).logits[:, 0]
        everything = compute(model, kept[1]).logits[:, 0]
    found = torch.stack([whole.double(), cast.double(), in_float64(model, kept[1]), everything.double()], 1)
    return found.numpy()


def turned(margins: npt.NDArray[np.float64], against: npt.NDArray[np.float64]) -> int:
    """How many margins [n] have another sign than `against` [n]; a tie is one."""
    return int((np.sign(margins) != np.sign(against)).sum())


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--pairs", type=int, default=1128)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = export_auto(open_checkpoint("demo"), Steering(), Path(name) / "auto")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    pairs = []
    for line in options.file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        answers = ({"role": "assistant", "content": row[side]} for side in ("chosen", "rejected"))
        pairs.append(
            [tokenizer.apply_chat_template([*row["messages"], answer], tokenize=False) for answer in answers]
        )
    pairs = sorted(pairs, key=lambda pair: sum(map(len, pair)))[: options.pairs]
    texts = [text for pair in pairs for text in pair]
    found = [
        rewards(model, tokenizer(texts[at : at + BATCH], return_tensors="pt", padding=True))
        for at in range(0, len(texts), BATCH)
    ]
    chosen, rejected = np.concatenate(found)[0::2], np.concatenate(found)[1::2]
    margins = dict(zip(KINDS, (chosen - rejected).T, strict=True))
    backbone = margins["autocast, then float64"]
    publish(
        [
            Figure("pairs", len(chosen), "pairs"),
            Figure("turned against float32", turned(margins["autocast"], margins["float32"]), "pairs"),
            Figure("turned by the backbone alone", turned(backbone, margins["float32"]), "pairs"),
            Figure(
                "turned by dictionary and head", turned(margins["autocast"], backbone), "pairs", ("<=", 0)
            ),
            Figure(
                "margin moved by dictionary and head, at most",
                float(np.abs(margins["autocast"] - backbone).max()),
                "reward",
            ),
            Figure(
                "margin moved by the backbone, median",
                float(np.median(np.abs(backbone - margins["float32"]))),
                "reward",
            ),
            Figure(
                "turned if they too were cast",
                turned(margins["all in autocast"], margins["float32"]),
                "pairs",
            ),
            Figure("tied if they too were cast", int((margins["all in autocast"] == 0).sum()), "pairs"),
        ],
        options.out,
    )


if __name__ == "__main__":
    main()
