"""Blocks of products find what one product of all columns finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sarm_core.dictionary import directions
from sarm_core.dictionary.directions import near_pairs, nearest


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directions, "BLOCK", 7)


def decoder(n: int, seed: int, d: int = 6) -> torch.Tensor:
    return torch.randn(d, n, generator=torch.Generator().manual_seed(seed))


def cosines(left: torch.Tensor, right: torch.Tensor) -> np.ndarray:
    one, other = (x.double().numpy() / np.linalg.norm(x.double().numpy(), axis=0) for x in (left, right))
    return one.T @ other


def test_near_pairs_are_those_of_the_whole_product():
    columns = decoder(30, 0)
    columns[:, 29] = 3 * columns[:, 2]
    found = near_pairs(columns, 0.6)
    whole = np.triu(cosines(columns, columns), 1)
    expected = set(zip(*(ids.tolist() for ids in np.nonzero(whole >= 0.6)), strict=True))
    assert set(zip(found.left.tolist(), found.right.tolist(), strict=True)) == expected
    assert found.total == len(expected) and (found.left[0], found.right[0]) == (2, 29)
    np.testing.assert_allclose(found.cosine, whole[found.left, found.right], atol=1e-5)
    assert (np.diff(found.cosine) <= 0).all() and found.cosine.max() <= 1


def test_of_too_many_pairs_the_nearest_are_kept_and_all_are_counted(monkeypatch):
    columns = decoder(40, 1)
    whole = near_pairs(columns, -1.0)
    monkeypatch.setattr(directions, "MOST_PAIRS", 9)
    some = near_pairs(columns, -1.0)
    assert some.total == whole.total == 40 * 39 // 2
    assert some.left.tolist() == whole.left[:9].tolist() and some.right.tolist() == whole.right[:9].tolist()


def test_a_column_of_zeros_is_near_to_none():
    columns = decoder(9, 2)
    columns[:, 4] = 0
    found = near_pairs(columns, 0.2)
    assert 4 not in found.left and 4 not in found.right


def test_the_nearest_both_ways_are_those_of_the_whole_product():
    left, right = decoder(23, 3), decoder(17, 4)
    found, whole = nearest(left, right), cosines(left, right)
    assert found.left.tolist() == whole.argmax(axis=1).tolist()
    assert found.right.tolist() == whole.argmax(axis=0).tolist()
    np.testing.assert_allclose(found.left_cosine, whole.max(axis=1), atol=1e-5)
    np.testing.assert_allclose(found.right_cosine, whole.max(axis=0), atol=1e-5)


def test_of_equal_columns_the_first_is_the_nearest():
    right = decoder(20, 5)
    right[:, 15] = right[:, 3]
    assert nearest(right[:, [15]], right).left.tolist() == [3]


def test_progress_counts_every_block_and_may_stop():
    told: list[tuple[int, int]] = []
    near_pairs(decoder(20, 6), 0.9, lambda done, of: told.append((done, of)))
    assert told == [(n, 6) for n in range(1, 7)]

    def stop(_done: int, _of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nearest(decoder(20, 6), decoder(20, 7), stop)


def test_two_widths_are_refused():
    with pytest.raises(ValueError, match="width 6 and 5"):
        nearest(decoder(3, 0), decoder(3, 0, d=5))
