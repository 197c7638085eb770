"""Encoding speed: our encoder against the bare cut backbone, and prefix sharing against none.

Both ratios are measured in one run, the two sides in turn, and the median of the pairwise ratios is given,
so that a machine whose speed drifts does not decide.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.report import Figure, arguments, publish
from sarm_core import load_sarm
from sarm_core.score.encoder import padded, plan_batches

PROMPT, ANSWERS, ANSWER = 400, 16, 100


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def in_turn(a: Callable[[], object], b: Callable[[], object], rounds: int) -> tuple[list[float], list[float]]:
    """Times of a and b, measured alternately after one warm-up of each."""
    a()
    b()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        times[0].append(seconds(a))
        times[1].append(seconds(b))
    return times


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--texts", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    scorer = load_sarm(options.model)
    model, encoder = scorer.model, scorer.encoder
    rng = np.random.default_rng(0)
    vocabulary = model.model.get_input_embeddings().num_embeddings
    lengths = rng.integers(60, 400, options.texts)
    texts = [rng.integers(3, vocabulary, n).astype(np.int32) for n in lengths]
    tokens = int(lengths.sum())
    batches = plan_batches(
        [len(t) for t in texts], [(0, [i]) for i in range(len(texts))], encoder.pass_budget
    )

    @torch.inference_mode()
    def bare() -> None:
        for batch in batches:
            ids, mask = padded([texts[i] for i in batch.members], left=False, device=scorer.device)
            model.model(input_ids=ids, attention_mask=mask, use_cache=False)

    ours, backbone = in_turn(lambda: encoder.encode(texts, share_prefixes=False), bare, options.rounds)
    prompt = rng.integers(3, vocabulary, PROMPT)
    answers = [
        np.concatenate([prompt, rng.integers(3, vocabulary, ANSWER)]).astype(np.int32) for _ in range(ANSWERS)
    ]
    shared, apart = in_turn(
        lambda: encoder.encode(answers),
        lambda: encoder.encode(answers, share_prefixes=False),
        options.rounds,
    )
    publish(
        [
            Figure("bare cut backbone", tokens / statistics.median(backbone), "tokens/s"),
            Figure("encode (backbone + SAE + TopK)", tokens / statistics.median(ours), "tokens/s"),
            Figure(
                "encode / bare backbone",
                statistics.median(b / o for o, b in zip(ours, backbone, strict=True)),
                "ratio",
                (">=", 0.95),
            ),
            Figure(f"{ANSWERS} answers, prompt shared", statistics.median(shared) * 1e3, "ms"),
            Figure(f"{ANSWERS} answers, prompt repeated", statistics.median(apart) * 1e3, "ms"),
            Figure(
                "speed-up by sharing the prompt",
                statistics.median(a / s for s, a in zip(shared, apart, strict=True)),
                "ratio",
                (">=", 3.5),
            ),
        ],
        options.out,
        dtype=str(scorer.dtype),
        texts=options.texts,
        rounds=options.rounds,
    )


if __name__ == "__main__":
    main()
