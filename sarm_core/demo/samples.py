"""Answers sampled from the embedded model to every corpus prompt: the texts, beside the corpus, of the demo store."""

from __future__ import annotations

import json
from pathlib import Path

from tqdm import trange

from sarm_core.demo import CORPUS
from sarm_core.demo.sampling import load_sampler
from sarm_core.files import whole_file
from sarm_core.text.row_files import read_rows

__all__ = ["write_samples"]

BATCH = 8  # prompts sampled together
NOT_SAMPLED = (
    "harmful"  # nothing that ships may be usable for harm, and nobody reads what a small model makes up
)


def write_samples(target: Path, *, per_prompt: int = 5, max_new_tokens: int = 96, seed: int = 0) -> int:
    """Write up to `per_prompt` distinct answers a prompt as JSONL rows, harmful requests left out; returns how many.

    Deterministic for a seed on one machine: batch i of 8 prompts is sampled with seed + i.
    """
    sampler, written = load_sampler(), 0
    prompts = [row for _, row in read_rows(CORPUS) if row["category"] != NOT_SAMPLED]
    with whole_file(target) as out:
        for i in trange(0, len(prompts), BATCH, desc="sampling", unit=" batches"):
            rows = prompts[i : i + BATCH]
            sampled = sampler.sample_each(
                [row["prompt"] for row in rows], per_prompt, max_new_tokens=max_new_tokens, seed=seed + i
            )
            for row, answers in zip(rows, sampled, strict=True):
                distinct = {answer.text: answer for answer in answers if answer.text}
                for number, answer in enumerate(distinct.values()):
                    sample = {
                        "id": f"{row['id']}/sample-{number}",
                        "category": row["category"],
                        "source": "sampled from SmolLM2-135M-Instruct",
                        "prompt": row["prompt"],
                        "response": answer.text,
                        "cut_off": not answer.finished,
                    }
                    out.write(json.dumps(sample, ensure_ascii=False) + "\n")
                    written += 1
    return written
