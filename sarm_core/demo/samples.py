"""Answers sampled from the embedded model to every corpus prompt: the texts, beside the corpus, of the demo store."""

from __future__ import annotations

import json
from pathlib import Path

from tqdm import tqdm

from sarm_core.demo.sampling import load_sampler
from sarm_core.files import written_whole
from sarm_core.row_files import read_rows

__all__ = ["CORPUS", "write_samples"]

CORPUS = Path(__file__).parent / "corpus.jsonl"


def write_samples(target: Path, *, per_prompt: int = 6, max_new_tokens: int = 128, seed: int = 0) -> int:
    """Write `per_prompt` distinct answers a prompt as JSONL rows; returns how many were written.

    Deterministic for a seed on one machine: prompt i is sampled with seed + i.
    """
    sampler, written = load_sampler(), 0
    with written_whole(target) as out:
        for i, (_, row) in enumerate(tqdm(list(read_rows(CORPUS)), desc="sampling", unit=" prompts")):
            answers = sampler.sample(row["prompt"], per_prompt, max_new_tokens=max_new_tokens, seed=seed + i)
            for number, text in enumerate(dict.fromkeys(a.text for a in answers if a.text)):
                finished = next(a.finished for a in answers if a.text == text)
                sample = {
                    "id": f"{row['id']}/sample-{number}",
                    "category": row["category"],
                    "source": "sampled from SmolLM2-135M-Instruct",
                    "prompt": row["prompt"],
                    "response": text,
                    "cut_off": not finished,
                }
                out.write(json.dumps(sample, ensure_ascii=False) + "\n")
                written += 1
    return written
