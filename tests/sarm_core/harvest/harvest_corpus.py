"""A small model and corpus for the harvest's tests, and a dump of a store's content without its times."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.sarm_core.tiny_models import chatml, reference_checkpoint

WORDS = [
    "safe",
    "mix",
    "air",
    "room",
    "never",
    "yes",
    "no",
    "list",
    "lamp",
    "oven",
    "water",
    "please",
    "thank",
    "sorry",
    "cannot",
    "help",
    "that",
    "maybe",
]


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(2, 6))) + rng.choice(".!?")


def answer(rng: random.Random) -> str:
    return " ".join(sentence(rng) for _ in range(rng.randint(1, 4)))


def write_model(folder: Path, **changes: Any) -> Path:
    return reference_checkpoint(folder, tokenizer=chatml(), **{"n_features": 48, "k": 24, **changes})


def write_corpus(path: Path, n: int = 60, seed: int = 0) -> Path:
    """Rows of every shape; some texts occur twice."""
    rng = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for i in range(n):
        prompt = sentence(rng)
        rows.append(
            [
                {"prompt": prompt, "response": answer(rng), "category": "one"},
                {"prompt": prompt, "chosen": answer(rng), "rejected": answer(rng), "source": "pairs"},
                {"prompt": prompt, "category": "two", "answers": [{"text": answer(rng)} for _ in range(3)]},
                {"text": answer(rng)},
                {
                    "messages": [
                        {"role": "user", "content": prompt},
                        {"role": "assistant", "content": answer(rng)},
                    ]
                },
                {"input_ids": [rng.randrange(300) for _ in range(rng.randint(1, 30))]},
            ][i % 6]
        )
        if i % 7 == 0:
            rows.append(rows[rng.randrange(len(rows))])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def content(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, blobs included, except for the columns that hold a time."""
    with sqlite3.connect(database) as conn:
        tables = [
            name
            for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            if not name.startswith(("sqlite_", "_sqlite"))
            and "migrations" not in name
            and "_fts_" not in name
        ]
        found = {}
        for table in tables:
            columns = [row[1] for row in conn.execute(f"PRAGMA table_info({table})")]
            kept = ", ".join(f'"{c}"' for c in columns if c not in ("created", "time", "applied_at"))
            found[table] = conn.execute(f"SELECT {kept} FROM {table} ORDER BY {kept}").fetchall()
    conn.close()
    return found


def spoilt_parquet(path: Path, **options: Any) -> Path:
    """Rows 2 and 4 of five cannot be read: damaged text, and a date of no calendar."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    texts = [b"one", b"\xff\xfe", b"three", b"four", b"five"]
    table = {
        "text": pyarrow.array(texts, pyarrow.binary()).view(pyarrow.string()),
        "when": pyarrow.array([0, 0, None, 2**62, 0], pyarrow.timestamp("us")),
    }
    parquet.write_table(pyarrow.table(table), path, **options)
    return path
