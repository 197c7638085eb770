"""A small, real store: 40 features with examples over 30 texts, the same every time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feature_db import EncodingRecord, ExampleRecord, FeatureRecord, ModelRecord, Store, TextRecord

M = 40
MODEL = ModelRecord("f" * 64, "tiny", M, {"layer": 15})


def make_harvest(n_texts: int = 30) -> dict[str, list[Any]]:
    rng = np.random.default_rng(7)
    texts = []
    for i in range(n_texts):
        words = [f"word{i}", *(str(w) for w in rng.choice(["refuse", "lists", "code", "hello"], 9))]
        texts.append(
            TextRecord(
                [
                    {"role": "user", "content": f"question {i}"},
                    {"role": "assistant", "content": " ".join(words)},
                ],
                rng.integers(0, 1000, 10),
                words,
                "made up",
                "chat" if i % 2 else "safety",
            )
        )
    encodings = [
        EncodingRecord(i, np.sort(rng.choice(M, 5, replace=False)), rng.normal(size=5).astype(np.float32))
        for i in range(n_texts)
    ]
    features = [
        FeatureRecord(
            i,
            head_weight=float(rng.normal()),
            firing_count=int(rng.integers(0, 300)),
            denominator=300,
            mean=min(float(rng.exponential()), 2.0),
            max=float(rng.exponential() + 2),
            histogram_edges=np.geomspace(0.01, 10, 6),
            histogram_counts=rng.integers(0, 60, 5),
            neighbours=[((i + 1) % M, 0.75), ((i + 2) % M, -0.5)],
            cofiring=[((i + 3) % M, 17)],
            cofiring_of=20 + i if i % 2 else None,
        )
        for i in range(M)
    ]
    examples = []
    for feature in range(M):
        order = rng.permutation(n_texts)
        for place in range(24):
            kind = ("top", "band", "silent")[place // 8]
            values = np.zeros(10, dtype=np.float32)
            if kind != "silent":
                values[rng.integers(0, 10, 2)] = rng.exponential(size=2)
            examples.append(
                ExampleRecord(
                    feature,
                    int(order[place]),
                    kind,
                    place % 8,
                    "check" if place % 2 else "label",
                    float(values.max()),
                    int(values.argmax()),
                    values,
                    *(
                        (place % 8 // 2, 0.5 * (place % 8 // 2), 0.5 * (place % 8 // 2) + 0.5)
                        if kind == "band"
                        else ()
                    ),
                )
            )
    return {"features": features, "texts": texts, "encodings": encodings, "examples": examples}


@pytest.fixture(scope="session")
def harvest() -> dict[str, list[Any]]:
    return make_harvest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, harvest: dict[str, list[Any]]) -> Path:
    """The harvested store as a file: copying it is faster than importing for every test."""
    path = tmp_path_factory.mktemp("template") / "store.db"
    with Store.open(path, create=MODEL) as opened:
        opened.import_harvest(**harvest)
    return path


@pytest.fixture
def store(path: Path, template: Path) -> Iterator[Store]:
    shutil.copy(template, path)
    with Store.open(path) as opened:
        yield opened
