"""Vectors on disk survive kills, damage and other writers; what is not whole counts as absent."""

import hashlib

import numpy as np
import pytest

from sarm_core.errors import SarmError
from sarm_core.train.kept_rows import KeptRows


def digests(*names):
    return [hashlib.sha256(name.encode()).digest() for name in names]


def test_vectors_come_back_bit_by_bit_in_any_order(tmp_path):
    path = tmp_path / "cache" / "rows"
    kept = KeptRows(path, 3, np.float32)
    assert len(kept) == 0 and digests("a")[0] not in kept
    rows = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    kept.add(digests("a", "b", "c"), rows)
    again = KeptRows(path, 3, np.float32)
    np.testing.assert_array_equal(again.rows(digests("c", "a", "c")), rows[[2, 0, 2]])
    assert again.rows([]).shape == (0, 3)


def test_a_torn_record_costs_itself_and_no_other(tmp_path):
    path = tmp_path / "rows"
    KeptRows(path, 2, np.float16).add(digests("a", "b"), np.ones((2, 2)))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size - 3)  # killed while it wrote
    kept = KeptRows(path, 2, np.float16)
    assert digests("a")[0] in kept and digests("b")[0] not in kept
    kept.add(digests("c"), np.full((1, 2), 7))
    assert path.stat().st_size == size
    np.testing.assert_array_equal(KeptRows(path, 2, np.float16).rows(digests("c", "a")), [[7, 7], [1, 1]])


def test_a_damaged_vector_is_absent(tmp_path):
    path = tmp_path / "rows"
    KeptRows(path, 2, np.float32).add(digests("a", "b"), np.ones((2, 2)))
    whole = bytearray(path.read_bytes())
    whole[40] ^= 1
    path.write_bytes(whole)
    kept = KeptRows(path, 2, np.float32)
    assert digests("a")[0] not in kept and digests("b")[0] in kept


def test_two_writers_see_each_other(tmp_path):
    one, two = (KeptRows(tmp_path / "rows", 1, np.float32) for _ in range(2))
    one.add(digests("a"), np.array([[1.0]]))
    two.add(digests("b"), np.array([[2.0]]))
    np.testing.assert_array_equal(two.rows(digests("a", "b")), [[1.0], [2.0]])


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    kept = KeptRows(tmp_path / "other" / "rows", 1, np.float32)
    kept.path = tmp_path / "file" / "rows"
    with pytest.raises(SarmError, match=r"cannot be written .*choose another --cache"):
        kept.add(digests("a"), np.zeros((1, 1)))
