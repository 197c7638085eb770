"""Other answers to the prompt of an answer: those in which a feature is silent, or at least weaker."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from feature_db.features.evidence import TEXT_COLUMNS, StoredExample, StoredText, text_of
from feature_db.sqlite.blobs import unpack_sparse
from feature_db.sqlite.connection import Connection

__all__ = ["QuietAnswer", "quiet_answers"]

MOST_ANSWERS = 32
"""Of one prompt that are looked at, those of the same source first"""
CLEARLY_LESS = 0.5
"""An answer of the same source at most so strong is taken before a weaker one of another source."""

_COLUMNS = ", ".join(f"other.{column}" for column in TEXT_COLUMNS.split(", "))
# The texts of one feature's examples are a few dozen: read once. A text kept for testing labels must stay unseen.
_SQL = f"""
WITH known AS MATERIALIZED (
    SELECT text, max(abs(activation)) AS peak, max(purpose = 'check') AS kept_aside
    FROM examples WHERE feature = :feature GROUP BY text
),
pair AS MATERIALIZED (
    SELECT shown.id AS shown, other.id AS id, other.source IS shown.source AS alike, row_number() OVER (
        PARTITION BY shown.id ORDER BY other.source IS NOT shown.source, other.id
    ) AS place
    FROM json_each(:texts) AS wanted CROSS JOIN texts AS shown ON shown.id = wanted.value
    CROSS JOIN texts AS other ON other.prompt = shown.prompt
    WHERE other.id <> shown.id
    AND NOT EXISTS (SELECT 1 FROM known WHERE known.text = other.id AND kept_aside)
)
SELECT shown, alike, known.peak, encodings.z, {_COLUMNS}
FROM pair CROSS JOIN texts AS other ON other.id = pair.id
LEFT JOIN known ON known.text = other.id
LEFT JOIN encodings ON encodings.text = other.id
WHERE place <= {MOST_ANSWERS}
"""


@dataclass(frozen=True)
class QuietAnswer:
    """Another answer to the prompt of an example, in which its feature is silent or weaker."""

    text: StoredText
    activation: float
    """|z|: the largest that the store knows of in this answer; 0 where the feature is silent."""
    whole: bool
    """Whether that is known of every counted position; else of the scored one only, the end of the answer."""
    same_source: bool
    """Whether it came with the same corpus as the example"""


def quiet_answers(
    store: Connection, feature: int, examples: Iterable[StoredExample]
) -> dict[int, QuietAnswer]:
    """For each of `examples`, by text id, an answer to the same prompt in which `feature` is silent or weakest.

    The same prompt: all turns before the last are equal. Of the same source, as names are made (`sarm_core.harvest.
    pairwise`), where one is silent there or at most half as strong; else the weakest of any. An answer that is not
    weaker than the example, one that the store has no activation of, and one that is kept for testing labels of this
    feature are never given, so an example may have none. Activations are those of the harvest: at the scored position
    (encodings), and at the peak where the text is an example itself. One query; cost by the answers of the prompts
    shown, whatever the size of the store.
    """
    strength = {example.text.id: abs(example.activation) for example in examples if example.activation}
    if not strength:
        return {}
    rows = store.rows(_SQL, {"feature": store.check_feature(feature), "texts": json.dumps(list(strength))})
    found: dict[int, list[tuple[float, sqlite3.Row]]] = defaultdict(list)
    for row in rows:
        activation = _activation(row, feature)
        if activation is not None and activation < strength[row["shown"]]:
            found[row["shown"]].append((activation, row))
    quiet = {}
    for shown, others in found.items():
        limit = CLEARLY_LESS * strength[shown]
        activation, row = min(
            others,
            key=lambda other: (
                not (other[1]["alike"] and other[0] <= limit),
                other[0],
                not other[1]["alike"],
                other[1]["peak"] is None,
                other[1]["id"],
            ),
        )
        whole = row["peak"] is not None
        quiet[shown] = QuietAnswer(text_of(row), activation, whole, bool(row["alike"]))
    return quiet


def _activation(row: sqlite3.Row, feature: int) -> float | None:
    """The largest |z| that is known of a row's text; None where nothing is known."""
    known = [] if row["peak"] is None else [float(row["peak"])]
    if row["z"] is not None:
        features, values = unpack_sparse(row["z"])
        known.append(float(np.abs(values[features == feature]).sum()))
    return max(known, default=None)
