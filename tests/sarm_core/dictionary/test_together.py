"""Products of sparse blocks count and correlate as dense arithmetic does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sarm_core.dictionary import together as module
from sarm_core.dictionary.together import firing_together, most_alike, together


def answers(n: int, m: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((n, m)) < 0.2) * rng.exponential(size=(n, m)).astype(np.float32)


@pytest.fixture(params=[50, 4_000_000], ids=["many blocks", "one block"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_PAIRS", request.param)


@pytest.mark.usefixtures("blocks")
def test_what_fires_together_is_what_dense_counting_finds():
    z = answers(80, 20, 0)
    z[:, 19] = z[:, 2] * 2
    fires = z != 0
    both = fires.T.astype(int) @ fires.astype(int)
    count = fires.sum(axis=0)
    jaccard = both / (count[:, None] + count[None, :] - both)
    found = firing_together(sparse.csr_matrix(z), 0.3)
    expected = {
        (i, j)
        for i in range(20)
        for j in range(i + 1, 20)
        if jaccard[i, j] >= 0.3 and both[i, j] >= 5 and both[i, j] * 80 / (count[i] * count[j]) >= 2
    }
    assert set(zip(found.left.tolist(), found.right.tolist(), strict=True)) == expected
    assert (found.left[0], found.right[0], found.jaccard[0]) == (2, 19, 1.0)
    np.testing.assert_allclose(found.pmi[0], np.log2(80 / count[2]))


def test_what_is_always_on_is_not_together_with_everything():
    z = answers(60, 6, 1)
    z[:, 0] = z[:, 1] = 1.0
    assert len(firing_together(sparse.csr_matrix(z), 0.5).left) == 0


def test_the_counts_of_given_pairs():
    z = np.array([[1, 0, 2, 0], [1, 1, 0, 0], [0, 0, 3, 0]], dtype=np.float32)
    found = together(sparse.csr_matrix(z), np.array([0, 0, 0]), np.array([1, 2, 3]))
    assert found.both.tolist() == [1, 1, 0]
    np.testing.assert_allclose(found.jaccard, [1 / 2, 1 / 3, 0])
    np.testing.assert_allclose(found.pmi, [np.log2(3 / 2), np.log2(3 / 4), np.nan])


@pytest.mark.usefixtures("blocks")
def test_correlations_are_those_of_numpy():
    left, right = answers(90, 12, 2), answers(90, 15, 3)
    right[:, 7] = 3 * left[:, 4]
    right[:, 9] = 1.0  # constant: goes with nothing
    left[:, 5] = 0
    left[:3, 5] = 1.0  # fires too seldom to tell
    found = most_alike(sparse.csr_matrix(left), sparse.csr_matrix(right))
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = np.nan_to_num(np.corrcoef(left.T, right.T)[:12, 12:])
    whole[5] = 0
    for i in range(12):
        assert found.left_correlation[i] == pytest.approx(max(whole[i].max(), 0), abs=1e-6)
        if whole[i].max() > 0:
            assert found.left[i] == whole[i].argmax()
    assert found.left[4] == 7 and found.left_correlation[4] == pytest.approx(1)
    np.testing.assert_allclose(found.right_correlation, np.maximum(whole.max(axis=0), 0), atol=1e-6)


def test_other_answers_are_refused():
    with pytest.raises(ValueError, match="3 answers on the left, 4"):
        most_alike(sparse.csr_matrix((3, 2)), sparse.csr_matrix((4, 2)))
