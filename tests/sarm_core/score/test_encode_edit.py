"""A text that is being typed is read from where it changed, and scores as if it were read whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sarm_core import load_sarm
from tests.sarm_core.tiny_models import reference_checkpoint

RNG = np.random.default_rng(3)
WHOLE = RNG.integers(3, 90, 40).astype(np.int32)
TYPED = [
    WHOLE,
    WHOLE[:-1],
    np.append(WHOLE, 7),
    WHOLE,
    np.concatenate([WHOLE[:20], WHOLE[25:]]),
    np.concatenate([WHOLE[:1], RNG.integers(3, 90, 5)]),
    RNG.integers(3, 90, 12),
    WHOLE[:1],
    WHOLE,
]


def rows_read(scorer, monkeypatch):
    """Tokens of each pass."""
    read, real = [], type(scorer.model).hidden

    def hidden(self, ids, *arguments):
        read.append(ids.shape[1])
        return real(self, ids, *arguments)

    monkeypatch.setattr(type(scorer.model), "hidden", hidden)
    return read


@pytest.fixture(scope="module", params=["llama", "gemma2", "gpt2"])
def scorer(request, tmp_path_factory):
    return load_sarm(reference_checkpoint(tmp_path_factory.mktemp("m") / "m", request.param))


def test_each_text_scores_as_if_it_were_read_whole(scorer):
    for ids in TYPED:
        ids = ids.astype(np.int32)
        edit, whole = scorer.encode_edit(ids), scorer.encode([ids])
        assert np.array_equal(edit.csr.indices, whole.csr.indices)
        assert np.allclose(edit.csr.data, whole.csr.data, atol=2e-5)


def test_only_what_changed_is_read_again(tmp_path, monkeypatch):
    scorer = load_sarm(reference_checkpoint(tmp_path / "m"))
    read = rows_read(scorer, monkeypatch)
    for ids in TYPED[:5]:
        scorer.encode_edit(ids.astype(np.int32))
    assert read == [40, 1, 2, 1, 15]


def test_a_pass_that_failed_leaves_nothing_to_go_on_from(tmp_path, monkeypatch):
    scorer = load_sarm(reference_checkpoint(tmp_path / "m"))
    scorer.encode_edit(WHOLE)
    with monkeypatch.context() as patch:
        patch.setattr(
            type(scorer.model), "hidden", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError())
        )
        with pytest.raises(torch.OutOfMemoryError):
            scorer.encode_edit(np.append(WHOLE, 7).astype(np.int32))
    read = rows_read(scorer, monkeypatch)
    assert np.allclose(scorer.encode_edit(WHOLE).rewards, scorer.encode([WHOLE]).rewards, atol=1e-5)
    assert read[0] == 40
