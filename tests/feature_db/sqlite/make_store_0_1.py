"""Made `store_0_1.db.xz`: a store with something in every table, written by version 0.1.0 (commit 804b273).

    git worktree add OLD 804b273
    PYTHONPATH=OLD python tests/feature_db/sqlite/make_store_0_1.py tests/feature_db/sqlite/store_0_1.db.xz

Kept for the record and for making such a file of a later version; nothing imports it, and it does not run with the code
beside it.
"""

from __future__ import annotations

import lzma
import sqlite3
import sys
import tempfile
from pathlib import Path

import numpy as np
from feature_db.label_tests import LabelTests
from feature_db.labels import Labels, set_categories
from feature_db.queues import Queues

from feature_db import (
    EncodingRecord,
    ExampleRecord,
    FeatureFilter,
    FeatureRecord,
    ModelRecord,
    Store,
    SuggestionRecord,
    TextRecord,
)
from feature_db.roles import People

M, N_TEXTS = 12, 24


def harvest(store: Store) -> None:
    """Ten texts are for labelling, fourteen for checking; half of those are silent."""
    rng = np.random.default_rng(0)
    texts = [
        TextRecord(
            [
                {"role": "user", "content": f"question {i}"},
                {"role": "assistant", "content": f"word{i} lists ü"},
            ],
            rng.integers(0, 99, 4),
            [f"word{i}", " lists", " ü", "."],
            "made up",
            "chat",
        )
        for i in range(N_TEXTS)
    ]
    features = [
        FeatureRecord(
            i,
            head_weight=float(rng.normal()),
            firing_count=3 + i,
            denominator=100,
            mean=0.5,
            max=2.0,
            histogram_edges=[0.1, 1.0, 10.0],
            histogram_counts=[2, 1 + i],
            neighbours=[((i + 1) % M, 0.75)],
            cofiring=[((i + 2) % M, 2)],
            cofiring_of=3 if i % 2 else None,
        )
        for i in range(M)
    ]
    examples = []
    for feature in range(M):
        for text in range(N_TEXTS):
            silent = text >= 17
            values = np.zeros(4, dtype=np.float32)
            if not silent:
                values[text % 4] = 1 + text
            examples.append(
                ExampleRecord(
                    feature,
                    text,
                    "silent" if silent else "top",
                    text - 17 if silent else text,
                    "label" if text < 10 else "check",
                    float(values.max()),
                    int(values.argmax()),
                    values,
                )
            )
    encodings = [EncodingRecord(i, [1, 3], [0.5, float(i)]) for i in range(N_TEXTS)]
    store.import_harvest(features, texts, encodings, examples, header={"run": "abc", "settings": {"top": 10}})
    store.add_suggestions([SuggestionRecord(i, "log-odds", f"lists {i}", {"share": 0.5}) for i in range(6)])
    store.replace_suggestions("auto-label: big", [SuggestionRecord(2, "", "says it lists", {"score": 4})])


def labelling(store: Store) -> None:
    """Every kind of event, drafts, queues with leases in every state, tests judged and not judged."""
    people = People(store)
    people.set_role(None, "root", "admin")
    people.set_role("root", "judge", "adjudicator")
    people.set_role("root", "*", "annotator")
    set_categories(store, "root", ["style", "safety", "tone"])
    ann, bo, judge = (Labels(store, name) for name in ("ann", "bo", "judge"))
    tests = LabelTests(store, "ann")
    drawn = tests.draw(1)
    tests.judge(drawn.id, "lists", [True] * len(drawn.examples))
    score = tests.score(1, "lists")
    tests.draw(2)
    first = ann.label(1, "lists", category="style", verdict=4, confidence=0.5, check=score)
    ann.label(1, "lists of things", verdict=5, note="clearer")
    theirs = bo.label(1, "enumerations", verdict=2, from_suggestion={"method": "log-odds", "text": "lists 1"})
    ann.vote(theirs, True)
    ann.vote(theirs, False, "too broad")
    judge.adjudicate(1, label=theirs, category="tone")
    judge.flag(3, "odd", None)
    bo.label(4, "=SUM(A1)", evidence=["a" * 64])
    bo.undo()
    bo.draft(5, {"text": "half", "verdict": 2})
    bo.skip(5, "unclear")
    ann.draft(6, {"text": "unsent ünicode", "verdict": 3})
    bo.draft(6, {"text": "other"})
    queues = Queues(store, "judge")
    queue = queues.make("first", FeatureFilter(), sort="id", limit=8, overlap=2)
    closed = queues.make("second", FeatureFilter(), sort="id", limit=2)
    queues.close(closed)
    mine = Queues(store, "bo")
    assignment = mine.claim(queue)
    mine.submit(assignment.id, "from a queue", verdict=3)
    mine.skip(mine.claim(queue).id, "unclear")
    mine.release(mine.claim(queue).id)
    Queues(store, "ann").claim(queue)
    assert first != theirs


def saved_work(store: Store) -> None:
    """Lists, steerings with versions, a session and a job."""
    store.bookmark(3, "ann")
    store.add_to_list(store.make_list("mine", "bo"), 4, "why", by="bo")
    store.save_steering("calm", '{"7": ["*", 0.5]}', note="first", author="ann")
    store.save_steering("calm", '{"7": ["*", 0.25]}')
    store.save_session({"answers": ["a <b>", "ü"]})
    store.update_job(store.start_job("harvest", total=3), done=2, resume={"row": 4})


def main(out: Path) -> None:
    """Write the store, packed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        with Store.open(path, create=ModelRecord("a" * 64, "tiny", M, {"layer": 3, "k": 2})) as store:
            harvest(store)
            labelling(store)
            saved_work(store)
        conn = sqlite3.connect(path)
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        conn.execute("VACUUM")
        conn.close()
        out.write_bytes(lzma.compress(path.read_bytes(), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
