"""Search by meaning: vectors against a plain computation, ranking against sorting, and an index that forgets."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from sarm_core.errors import SarmError
from sarm_core.search import NameIndex, PieceVectors, best_rows, piece_vectors
from sarm_core.search.piece_vectors import FOLDER, PIECES, VECTORS

NAMES = (
    "refusal wording",
    "cooking recipe",
    '"def", "return"; has code; prompts of category code',
    "see a doctor",
    "poem, rhymed lines",
    "political opinion",
)


def longest_first(text: str, pieces: dict[str, int]) -> list[int]:
    """WordPiece by its definition, for plain lower-case words: the longest piece that fits, then the rest."""
    ids = []
    for word in text.split():
        start, found = 0, []
        while start < len(word):
            cuts = [c for c in range(len(word), start, -1) if ("##" * (start > 0)) + word[start:c] in pieces]
            if not cuts:
                found = [pieces["[UNK]"]]
                break
            found.append(pieces[("##" * (start > 0)) + word[start : cuts[0]]])
            start = cuts[0]
        ids += found
    return ids


@pytest.mark.parametrize(
    "text", ["refusal wording", "crisis line for people who want to die", "zxqv hyperbolically"]
)
def test_a_vector_is_the_plain_sum_of_its_pieces(text: str) -> None:
    held = load_file(str(FOLDER / VECTORS))
    pieces = {piece: i for i, piece in enumerate(json.loads((FOLDER / PIECES).read_text(encoding="utf-8")))}
    wanted = sum(
        held["vectors"][i].astype(np.float64) * held["scale"][i] for i in longest_first(text, pieces)
    )
    wanted /= np.linalg.norm(wanted)
    np.testing.assert_allclose(piece_vectors().embed([text])[0], wanted, atol=1e-5)


def test_what_is_meant_comes_first() -> None:
    prepared = NameIndex(piece_vectors()).prepare(NAMES)
    for query, wanted in (
        ("unwilling to answer", 0),
        ("food preparation", 1),
        ("programming", 2),
        ("physician", 3),
        ("verse", 4),
        ("elections", 5),
    ):
        similarities = prepared.similarities(query)
        assert similarities is not None
        assert int(np.argmax(similarities)) == wanted, query


@given(st.text())
@example("\ud800")
@example("\x00")
@example("'; DROP TABLE features; --")
@example("<script>" * 200)
def test_any_text_has_a_unit_vector_or_none(text: str) -> None:
    vector = piece_vectors().embed([text])[0]
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4) or not vector.any()
    similarities = NameIndex(piece_vectors()).prepare(NAMES).similarities(text)
    assert (similarities is None) == (not vector.any())


@pytest.mark.parametrize("query", ["", "   ", "\n", "漢字", "\u200b"])
def test_a_query_without_a_known_word_is_told_apart_from_one_that_finds_nothing(query: str) -> None:
    assert NameIndex(piece_vectors()).prepare(NAMES).similarities(query) is None


def test_a_name_without_a_known_word_is_never_a_result() -> None:
    similarities = NameIndex(piece_vectors()).prepare(["漢字", "refusal"]).similarities("refusal")
    assert similarities is not None and np.isnan(similarities[0]) and similarities[1] > 0.99
    assert best_rows(similarities, np.array([7, 8])).tolist() == [1]


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.5000001, float("nan")]), st.integers(0, 5)), max_size=30
    ),
    st.none() | st.sets(st.integers(0, 6)),
)
def test_ranking_is_sorting_each_feature_by_its_best_name(
    names: list[tuple[float, int]], allowed: set[int] | None
) -> None:
    values = np.array([value for value, _ in names], dtype=np.float32)
    features = np.array([feature for _, feature in names], dtype=np.int64)
    ids = None if allowed is None else np.array(sorted(allowed), dtype=np.int64)
    best: dict[int, int] = {}
    for row, feature in enumerate(features.tolist()):
        if np.isnan(values[row]) or (allowed is not None and feature not in allowed):
            continue
        if feature not in best or values[row] > values[best[feature]]:
            best[feature] = row
    wanted = sorted(best.values(), key=lambda row: (-values[row], row))
    assert best_rows(values, features, ids).tolist() == wanted


class Counting:
    """Vectors of length 4 from the text's letters, counting what it was asked."""

    key, dimensions = "counting", 4

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        rows = np.array([[ord(c) for c in text[:4].ljust(4)] for text in texts], dtype=np.float32).reshape(
            -1, 4
        )
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_only_new_names_are_embedded_and_old_ones_are_forgotten_in_time() -> None:
    embedder = Counting()
    index = NameIndex(embedder)
    first = index.prepare(["a", "b", "a"])
    assert embedder.asked == ["a", "b"] and len(first.places) == 3
    index.prepare(["b", "c"])
    assert embedder.asked == ["a", "b", "c"] and len(index) == 3
    index.prepare(["d"])
    assert len(index) < 4, "names no longer in use are dropped once they are the larger part"
    # What was prepared before still answers as it did.
    np.testing.assert_array_equal(
        first.similarities("a"), NameIndex(Counting()).prepare(["a", "b", "a"]).similarities("a")
    )


def test_the_file_gives_the_same_similarities_without_embedding_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("sarm_core.search.name_index.WORTH_KEEPING", 3)
    file = tmp_path / "names.npz"
    names = ["alpha", "beta", "gamma", "delta"]
    fresh = NameIndex(Counting(), file).prepare(names).similarities("beta")
    embedder = Counting()
    again = NameIndex(embedder, file).prepare(names[::-1]).similarities("beta")
    assert embedder.asked == ["beta"]  # the query
    assert fresh is not None and again is not None
    np.testing.assert_array_equal(fresh, again[::-1])
    assert [p.name for p in tmp_path.iterdir()] == ["names.npz"]


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "other embedder", "pickle", "nan"])
def test_a_file_that_is_not_ours_is_made_anew(tmp_path: Path, monkeypatch, damage: str) -> None:
    monkeypatch.setattr("sarm_core.search.name_index.WORTH_KEEPING", 3)
    file = tmp_path / "names.npz"
    names = ["alpha", "beta", "gamma", "delta"]
    wanted = NameIndex(Counting(), file).prepare(names).similarities("beta")
    whole = file.read_bytes()
    held = dict(np.load(file))
    if damage == "empty":
        file.write_bytes(b"")
    elif damage == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "noise":
        file.write_bytes(b"PK\x03\x04" + bytes(range(256)) * 4)
    elif damage == "other embedder":
        np.savez(file, **held | {"embedder": np.array("another")})
    elif damage == "pickle":
        np.savez(file, **held | {"keys": np.array([{}], dtype=object)})
    else:
        np.savez(file, **held | {"vectors": held["vectors"] * np.float16(np.nan)})
    embedder = Counting()
    again = NameIndex(embedder, file).prepare(names).similarities("beta")
    assert embedder.asked[:4] == names
    np.testing.assert_array_equal(wanted, again)


def test_a_place_that_cannot_be_written_costs_only_the_cache(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("sarm_core.search.name_index.WORTH_KEEPING", 1)
    index = NameIndex(Counting(), tmp_path / "absent" / "names.npz")
    assert index.prepare(["alpha"]).similarities("alpha") is not None


def test_threads_that_prepare_different_names_each_get_their_own() -> None:
    index = NameIndex(Counting())
    lists = [[f"{chr(97 + t)}{chr(97 + i % 26)}{i}" for i in range(200)] for t in range(4)]
    wrong = []

    def work(names: list[str]) -> None:
        for start in range(0, 200, 20):
            part = names[start : start + 20]
            got = index.prepare(part).similarities(part[3])
            if got is None or got[3] < 0.999:
                wrong.append(part)

    threads = [threading.Thread(target=work, args=(names,)) for names in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_progress_counts_only_what_is_new(monkeypatch) -> None:
    monkeypatch.setattr("sarm_core.search.name_index.AT_ONCE", 2)
    index = NameIndex(Counting())
    index.prepare(["a", "b"])
    steps: list[tuple[int, int]] = []
    index.prepare(["a", "b", "c", "d", "e"], lambda done, total: steps.append((done, total)))
    assert steps == [(2, 3), (3, 3)]


def test_damaged_vectors_are_named(tmp_path: Path) -> None:
    with pytest.raises(SarmError, match=VECTORS):
        PieceVectors.read(tmp_path)
    (tmp_path / VECTORS).write_bytes((FOLDER / VECTORS).read_bytes())
    (tmp_path / PIECES).write_text('["[UNK]", "a"]')
    with pytest.raises(SarmError, match="belong together"):
        PieceVectors.read(tmp_path)
