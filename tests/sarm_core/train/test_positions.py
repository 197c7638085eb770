"""Positions on disk: what a process wrote before it was killed is there, what it had not committed is not."""

import json
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sarm_core.errors import SarmError
from sarm_core.train import activations
from sarm_core.train.activations import Corpus, Reader, Taken, collect
from sarm_core.train.data import read_texts
from sarm_core.train.positions import RECORD, SPLITS, Positions, PositionWriter, Siblings
from tests.sarm_core.tiny_models import backbone, chatml

D = 8


def texts(n):
    return [
        {"prompt": f"Question {i % (n // 2)}?", "response": f"It is {i}. That is all. " * (1 + i % 3)}
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("positions")
    backbone("llama").save_pretrained(folder / "tiny")
    chatml().save_pretrained(folder / "tiny")
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts(60)))
    return folder


@pytest.fixture(scope="module")
def reader(place):
    return Reader(str(place / "tiny"), 2, torch.float32)


def contents(folder):
    """Every file but the locks, as bytes."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def written_at(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_every_collected_position_lies_in_its_answer_and_in_its_part(place, reader, tmp_path):
    positions = collect(reader, Corpus([place / "texts.jsonl"]), Taken(3), tmp_path)
    found = list(read_texts(place / "texts.jsonl"))
    sequences = reader.format.tokens([text.conversation for text in found])
    wanted = reader.encoder.hidden(
        [s.input_ids for s in sequences], [np.array([s.scored]) for s in sequences]
    )
    for part in SPLITS:
        (h,) = positions.spread((part, "scored"), 1000)
        mine = [i for i, text in enumerate(found) if text.split == part]
        np.testing.assert_allclose(h, wanted[mine], atol=2e-2, rtol=2e-3)
    assert positions.done == len(found) and len(positions) > 3 * len(found)


def test_positions_are_read_once_and_belong_to_their_backbone(place, reader, tmp_path):
    corpus, cache = Corpus([place / "texts.jsonl"]), tmp_path / "cache"
    first = collect(reader, corpus, Taken(2), cache)
    stamps = written_at(first.folder)
    again = collect(Reader(str(place / "tiny"), 2, torch.float32), corpus, Taken(2), cache)
    assert again.folder == first.folder and written_at(first.folder) == stamps
    twin = tmp_path / "elsewhere" / "tiny"  # same name, other weights
    backbone("llama", seed=5).save_pretrained(twin)
    chatml().save_pretrained(twin)
    assert collect(Reader(str(twin), 2, torch.float32), corpus, Taken(2), cache).folder != first.folder
    assert collect(reader, corpus, Taken(2, seed=1), cache).folder != first.folder


def test_long_texts_are_cut_on_the_left_at_the_stated_length(place, tmp_path):
    short = Reader(str(place / "tiny"), 2, torch.float32, max_length=24)
    (sequence,) = short.format.tokens([next(read_texts(place / "texts.jsonl")).conversation])
    assert len(sequence) == 24 and sequence.n_cut > 0
    assert len(collect(short, Corpus([place / "texts.jsonl"]), Taken(2), tmp_path)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("fails_after", [1, 3])
def test_a_collection_that_died_goes_on_to_the_same_bytes(place, reader, tmp_path, monkeypatch, fails_after):
    monkeypatch.setattr(activations, "TEXTS_AT_ONCE", 8)
    monkeypatch.setattr(activations, "SECONDS_BETWEEN_COMMITS", 0)
    corpus, taken = Corpus([place / "texts.jsonl"]), Taken(3, cut_texts=12, cuts_per_text=2)
    whole = collect(reader, corpus, taken, tmp_path / "whole")
    real, calls = PositionWriter.commit, 0

    def commit(self, done):
        nonlocal calls
        calls += 1
        if calls > fails_after:  # rows are appended, the index is not renamed: as a kill leaves it
            raise RuntimeError("killed")
        real(self, done)

    with monkeypatch.context() as patched:
        patched.setattr(PositionWriter, "commit", commit)
        with pytest.raises(RuntimeError):
            collect(reader, corpus, taken, tmp_path / "cut")
    assert Positions(tmp_path / "cut" / whole.folder.name).done == 8 * fails_after
    resumed = collect(reader, corpus, taken, tmp_path / "cut")
    assert contents(resumed.folder) == contents(whole.folder)


def test_a_plain_text_file_is_one_text(place, reader, tmp_path):
    files = [tmp_path / f"{i}.txt" for i in range(3)]
    for i, file in enumerate(files):
        file.write_text(f"A text of its own, number {i}. It has two sentences.")
    positions = collect(reader, Corpus(files), Taken(2), tmp_path / "cache")
    assert sum(positions.counts[part, "scored"] for part in SPLITS) == 3


def test_damaged_folders_are_refused_by_name(tmp_path):
    with PositionWriter(tmp_path, D, {}).opened() as writer:
        writer.append(("train", "token"), np.zeros((5, D), np.float16))
        writer.commit(1)
    rows = tmp_path / "train-token.float16"
    rows.write_bytes(rows.read_bytes()[:-1])
    with pytest.raises(SarmError, match="damaged"):
        Positions(tmp_path).rows(("train", "token"), np.array([0]))
    with pytest.raises(SarmError, match="shorter than its index"), PositionWriter(tmp_path, D, {}).opened():
        pass
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(SarmError, match=r"index\.json: damaged"):
        Positions(tmp_path)


def test_two_processes_do_not_write_into_one_folder(tmp_path):
    with (
        PositionWriter(tmp_path, D, {}).opened(),
        pytest.raises(SarmError, match="another process"),
        PositionWriter(tmp_path, D, {}).opened(),
    ):
        pass


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=30))
@settings(max_examples=40, deadline=None)
def test_siblings_are_every_pair_of_different_answers_to_one_prompt(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("siblings")
    records = np.array(rows, dtype=np.uint64).reshape(-1, 2)
    with PositionWriter(folder, D, {}).opened() as writer:
        writer.append(
            ("train", "scored"),
            np.zeros((len(rows), D), np.float16),
            np.array([tuple(row) for row in records.tolist()], dtype=RECORD),
        )
        writer.commit(len(rows))
    siblings = Siblings(Positions(folder))
    firsts: dict[tuple[int, int], int] = {}
    for i, row in enumerate(rows):
        if row[0]:  # 0: no prompt
            firsts.setdefault(row, i)
    wanted = {
        frozenset((i, j))
        for (p, i), (q, j) in combinations([(k[0], i) for k, i in firsts.items()], 2)
        if p == q
    }
    got = siblings.pairs(np.arange(len(siblings)))
    assert len(siblings) == len(wanted)
    assert {frozenset(pair) for pair in got.tolist()} == wanted
