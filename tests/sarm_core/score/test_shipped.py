"""What ships encoded is what the model gives, and nobody waits for the corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sarm_core import load_sarm
from sarm_core.demo import ENCODED
from sarm_core.score.cache import EncodedParts, prune
from sarm_core.score.encoded import encode_once
from sarm_core.score.scorer import Scorer
from sarm_core.score.shipped import shipped_conversations

pytestmark = pytest.mark.slow
AGAIN = "the embedded model or its tokenizer has changed: run `make demo-encoded`"


@pytest.fixture(scope="module")
def demo() -> Scorer:
    return load_sarm("demo", device="cpu", dtype="float32")


def test_every_answer_of_the_corpus_and_every_sampled_one_is_there(demo: Scorer, tmp_path: Path):
    texts = shipped_conversations()
    found = encode_once(demo, texts, folder=tmp_path)
    assert (found.tokens_read, found.reused) == (0, len(texts)), AGAIN
    assert found.notes == ()


def test_they_are_what_the_model_gives(demo: Scorer, tmp_path: Path):
    texts = shipped_conversations()
    drawn = [texts[i] for i in np.random.default_rng(5).choice(len(texts), 12, replace=False)]
    kept = encode_once(demo, drawn, folder=tmp_path)
    fresh = encode_once(demo, drawn, use_cache=False)
    assert fresh.tokens_read > 0
    np.testing.assert_allclose(kept.matrix.rewards, fresh.matrix.rewards, atol=2e-5)
    np.testing.assert_allclose(kept.matrix.csr.toarray(), fresh.matrix.csr.toarray(), atol=2e-4)
    np.testing.assert_array_equal(kept.n_cut, fresh.n_cut)


def test_a_cleared_cache_has_them_again_and_another_model_never(demo: Scorer, tmp_path: Path):
    texts = shipped_conversations()[:3]
    encode_once(demo, texts, folder=tmp_path)
    assert prune(tmp_path).files == 1
    assert encode_once(demo, texts, folder=tmp_path).tokens_read == 0
    parts = EncodedParts(tmp_path, demo)
    parts.folder = tmp_path / "another"
    parts.model = "0" * 64
    parts.take(ENCODED)
    assert not parts.folder.exists() and parts.notes == []


def test_where_they_cannot_be_kept_it_is_said(demo: Scorer, tmp_path: Path):
    (tmp_path / demo.encoding_key[:16]).write_text("a file where the folder belongs")
    parts = EncodedParts(tmp_path, demo)
    parts.take(ENCODED)
    (note,) = parts.notes
    assert "cannot be written" in note and "encodes again" in note
