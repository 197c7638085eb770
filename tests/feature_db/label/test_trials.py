"""Names told apart and odd ones found: asked once, scored, kept for good."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from feature_db import Store, StoreError
from feature_db.errors import PermissionRefused
from feature_db.label.trials import ANSWERS, KINDS, Score, Trials
from feature_db.roles import People
from tests.app.store_builder import build_store


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    head = np.linspace(-1, 1, 24).astype(np.float32)
    return build_store(tmp_path_factory.mktemp("trials") / "a.db", "f" * 64, head)


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Iterator[Store]:
    path = tmp_path / "b.db"
    path.write_bytes(filled.read_bytes())
    with Store.open(path) as opened:
        yield opened


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_is_the_same_until_it_is_answered_and_never_comes_again(store: Store, kind: str) -> None:
    ann = Trials(store, "ann")
    asked = []
    while (trial := ann.next(kind)) is not None:
        again = Trials(store, "ann").next(kind)
        assert again is not None and again.answer == trial.answer
        assert [e.id for e in again.examples] == [e.id for e in trial.examples]
        assert len({e.text.id for e in trial.examples}) == len(trial.examples) == ANSWERS
        assert all(e.purpose == "label" for e in trial.examples), "texts kept for testing take no part"
        right = len(asked) % 2 == 0
        said = trial.answer if right else (trial.answer + 1) % len(trial.names or trial.examples)
        assert ann.keep(trial, said) == right
        with pytest.raises(StoreError, match="already"):
            ann.keep(trial, said)
        asked.append(trial.feature)
    assert asked and len(set(asked)) == len(asked)
    assert (ann.own(kind).right, ann.own(kind).of) == ((len(asked) + 1) // 2, len(asked))
    assert Trials(store, "bo").next(kind) is not None and Trials(store, "bo").own(kind).interval is None
    assert ann.of_feature(asked[0], kind) == Score(kind, 1, 1)
    assert ann.everybody() == [("ann", ann.own(kind))]


def test_the_answer_is_the_silent_text_and_the_feature_s_own_name(store: Store) -> None:
    odd = Trials(store, "ann").next("odd one out")
    assert [e.kind == "silent" for e in odd.examples] == [i == odd.answer for i in range(ANSWERS)]
    names = Trials(store, "ann").next("names")
    assert names.names[names.answer][0] == names.feature and len(names.names) == 2
    assert not set(names.names[0][1].split("; ")) & set(names.names[1][1].split("; "))


def test_what_was_not_offered_and_who_only_reads_is_refused(store: Store) -> None:
    People(store).set_role(None, "root", "admin")
    People(store).set_role("root", "rae", "reader")
    trial = Trials(store, "ann").next("odd one out")
    for said in (-1, ANSWERS, True, "0"):
        with pytest.raises(StoreError, match="choose one"):
            Trials(store, "ann").keep(trial, said)
    with pytest.raises(StoreError, match="trials are of"):
        Trials(store, "ann").next("x")
    with pytest.raises(PermissionRefused):
        Trials(store, "rae").next("names")
    Trials(store, "ann").keep(trial, 0)
    for change in ("DELETE FROM trials", "UPDATE trials SET said = answer"):
        with pytest.raises(sqlite3.IntegrityError, match="never changed"), store.write() as conn:
            conn.execute(change)


@pytest.mark.parametrize(
    ("right", "of", "low", "high"), [(8, 10, 0.490, 0.943), (0, 10, 0.0, 0.278), (3, 3, 0.439, 1)]
)
def test_the_interval_is_wilson_s(right: int, of: int, low: float, high: float) -> None:
    # Reference values: Newcombe (1998), method 3.
    assert Score("names", right, of).interval == pytest.approx((low, high), abs=1e-3)
