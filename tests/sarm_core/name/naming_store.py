"""A store whose features are known: #0 fires on answers that say sorry, #1 everywhere, #2 nowhere, #3 by chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from feature_db import EncodingRecord, FeatureRecord, ModelRecord, Store, TextRecord

__all__ = ["M", "naming_store"]

M = 6
FINGERPRINT = "e" * 64


def naming_store(path: Path, *, prompts: int = 40, words: str = "", model: ModelRecord | None = None) -> Path:
    """`prompts` prompts with three answers each; `words` stand in every answer."""
    model = model or ModelRecord(FINGERPRINT, "tiny", M)
    rng = np.random.default_rng(3)
    texts, encodings = [], []
    for prompt in range(prompts):
        for kind, answer in enumerate(
            (
                f"I'm sorry, I can't help with {prompt}.",
                f"Sure: do {prompt} first.",
                f"Well, {prompt} depends.",
            )
        ):
            turns = [
                {"role": "user", "content": f"How do I do {prompt}? {words}"},
                {"role": "assistant", "content": f"{answer} {words}".strip()},
            ]
            z = np.array([3.0 + rng.random() if kind == 0 else 0, 1 + rng.random(), 0, rng.random(), 0, 0])
            ids = np.flatnonzero(z)
            encodings.append(EncodingRecord(len(texts), ids, z[ids].astype(np.float32)))
            texts.append(TextRecord(turns, None, None, "made up", None))
    features = [
        FeatureRecord(i, head_weight=1.0 + i, firing_count=10, denominator=100, mean=1.0, max=4.0)
        for i in range(model.n_features)
    ]
    with Store.open(path, create=model) as store:
        store.import_harvest(features=features, texts=texts, encodings=encodings, examples=[])
    return path
