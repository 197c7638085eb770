"""A real store filled through `import_harvest`, with generated statistics, texts and examples.

    python -m tests.app.store_builder CHECKPOINT FOLDER

makes the store that the app opens for that checkpoint when SARM_DATA is FOLDER.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_db import (
    EncodingRecord,
    ExampleRecord,
    FeatureRecord,
    ModelRecord,
    Store,
    SuggestionRecord,
    TextRecord,
)
from feature_db.label.labels import Labels

HOSTILE = (
    '<script>document.body.dataset.hacked = 1</script><img src=x onerror="document.body.dataset.hacked=1">'
)
POSITIONS = 4_000
DEAD, DENSE, FEW, HOSTILE_FEATURE, LABELLED = 1, 2, 3, 4, 5
"""Features with a part to play; every other one is ordinary."""

_QUESTIONS = (
    "Is it safe to mix bleach and vinegar?",
    "Write a short poem about rain.",
    "How do I sort a list in Python?",
    "My friend is upset with me. What should I say?",
    "Explain photosynthesis to a child.",
)
_ANSWERS = (
    "I'm sorry, but I can't help with that. Please speak to a professional who can look at your case.",
    "Rain on the window, soft and slow,\nit says the things we used to know.",
    "Use sorted(items) to get a new list, or items.sort() to change the one you have.\n\n- sorted keeps the old\n"
    "- sort changes it in place",
    "Tell them that you are sorry, and ask what would help. Then listen: that is most of it.",
    "Plants eat light! They take in water and air, and the sun gives them the strength to make sugar.",
)


def _texts(n: int, answers: int) -> list[TextRecord]:
    texts = []
    for i in range(n):
        case = i if answers == 1 else i // (5 * answers)
        question = f"{_QUESTIONS[i % 5]} (case {case})"
        answer = f"{_ANSWERS[i % 5]} {_ANSWERS[(i // 5) % 5] * (1 + i % 3)}"
        if i == 0:
            answer = HOSTILE + " & so it ends."
        pieces = ["<|im_start|>", "user", "\n", *_pieces(question), "<|im_end|>", "\n", "<|im_start|>"]
        pieces += ["assistant", "\n", *_pieces(answer), "<|im_end|>"]
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        category = ("safety", "chat", "code", "chat", "science")[i % 5]
        texts.append(TextRecord(turns, None, pieces, "generated.jsonl", category))
    return texts


def _pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [words[0], *(f" {word}" for word in words[1:])]


def _values(rng: np.random.Generator, length: int, peak: float) -> npt.NDArray[np.float32]:
    values = np.zeros(length, dtype=np.float32)
    near = rng.integers(length // 2, length, size=min(6, length // 2))
    values[near] = rng.uniform(0.1, 0.9, size=len(near)).astype(np.float32) * peak
    values[-1] = peak
    return values


def _examples(
    rng: np.random.Generator, feature: int, texts: list[TextRecord], top: float
) -> list[ExampleRecord]:
    order = rng.permutation(len(texts))
    if feature == HOSTILE_FEATURE:
        order = np.concatenate([[0], order[order != 0]])
    if feature == FEW:
        order = order[:2]
    limits = top / np.sqrt(2.0) ** np.arange(4)  # limits[b + 1] <= z < limits[b] in band b
    out: list[ExampleRecord] = []

    def add(text: int, kind: str, rank: int, z: float, band: int | None = None) -> None:
        length = len(list(texts[text].tokens or ()))
        values = _values(rng, length, z) if kind != "silent" else np.zeros(length, dtype=np.float32)
        purpose = "check" if rank % 2 and feature not in (FEW, HOSTILE_FEATURE) else "label"
        low, high = (None, None) if band is None else (float(limits[band + 1]), float(limits[band]))
        peak = length - 1 if kind != "silent" else None
        out.append(ExampleRecord(feature, text, kind, rank, purpose, z, peak, values, band, low, high))

    at = 0
    for rank, text in enumerate(order[: min(14, len(order))].tolist()):
        add(text, "top", rank, float(top * 0.97**rank))
        at += 1
    for band in range(3):
        for rank, text in enumerate(order[at : at + 4].tolist()):
            add(text, "band", rank, float(rng.uniform(limits[band + 1], limits[band] * 0.999)), band)
        at += 4
    for rank, text in enumerate(order[at : at + 4].tolist()):
        add(text, "random", rank, float(rng.uniform(0.1, 1.0) * top))
    for rank, text in enumerate(order[at + 4 : at + 8].tolist()):
        add(text, "silent", rank, 0.0)
    return out


def make_harvest(
    head: npt.NDArray[np.floating], *, n_texts: int = 60, with_examples: int = 400, answers: int = 1
) -> dict[str, list[Any]]:
    """Records for `import_harvest`; the first `with_examples` features have texts, `answers` to each prompt."""
    rng = np.random.default_rng(11)
    n = len(head)
    texts = _texts(n_texts, answers)
    counts = np.minimum(np.exp(rng.normal(3.0, 1.2, size=n)).astype(int) + 6, POSITIONS // 12)
    counts[DEAD], counts[DENSE], counts[FEW] = 0, POSITIONS * 4 // 5, 2
    features = []
    for i in range(n):
        count = int(counts[i])
        z = np.exp(rng.normal(0.4, 0.5, size=max(count, 1)))
        edges = 2.0 ** (np.arange(np.floor(np.log2(z.min()) * 4), np.floor(np.log2(z.max()) * 4) + 2) / 4)
        features.append(
            FeatureRecord(
                i,
                head_weight=float(head[i]),
                firing_count=count,
                denominator=POSITIONS,
                mean=float(z.mean()) if count else None,
                max=float(z.max()) if count else None,
                histogram_edges=edges if count else None,
                histogram_counts=np.histogram(z, edges)[0] if count else None,
                neighbours=[((i + step) % n, 0.9 / step) for step in range(1, 10)],
                cofiring=[((i + step) % n, max(1, count // step)) for step in range(10, 16)] if count else (),
            )
        )
    examples = []
    for record in features[:with_examples]:
        if record.firing_count:
            assert record.max is not None
            examples += _examples(rng, record.id, texts, record.max)
    encodings = [
        EncodingRecord(
            i, np.sort(rng.choice(n, 5, replace=False)), rng.exponential(size=5).astype(np.float32)
        )
        for i in range(n_texts)
    ]
    return {"features": features, "texts": texts, "encodings": encodings, "examples": examples}


def build_store(path: Path, fingerprint: str, head: npt.NDArray[np.floating], **sizes: int) -> Path:
    """The store of a model with these head weights, with a few labels and suggestions."""
    with Store.open(path, create=ModelRecord(fingerprint, "generated", len(head))) as store:
        store.import_harvest(**make_harvest(head, **sizes))
        store.replace_suggestions(
            "log-odds",
            [
                SuggestionRecord(i, "log-odds", text)
                for i, text in (
                    (0, "ends in “can't help with that”"),
                    (LABELLED, "sorry, professional; refusal"),
                    (7, "Python, sorted; has code"),
                    (HOSTILE_FEATURE, f"**bold** {HOSTILE}"),
                )
            ],
        )
        ann, bo = Labels(store, "ann"), Labels(store, "bo")
        ann.label(LABELLED, "refusal wording", category="safety", verdict=4, confidence=0.8)
        bo.label(LABELLED, "apologies", category="style", verdict=2)
        bo.label(HOSTILE_FEATURE, HOSTILE)
    return path


def store_for(checkpoint: Path, folder: Path, **sizes: int) -> Path:
    """The store that the app opens for `checkpoint` when SARM_DATA is `folder`."""
    from sarm_core.score.scorer import load_sarm

    scorer = load_sarm(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    return build_store(folder / f"{scorer.fingerprint[:16]}.db", scorer.fingerprint, scorer.head, **sizes)


if __name__ == "__main__":
    print(store_for(Path(sys.argv[1]), Path(sys.argv[2])))
