"""What ships encoded: the corpus and the sampled answers, by the embedded model, in float32 on a CPU."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from sarm_core.demo import ENCODED, SAMPLES
from sarm_core.demo.corpus import answers
from sarm_core.score.cache import EncodedParts, Piece
from sarm_core.score.encoded import Progress, conversation_hash, encode_once
from sarm_core.score.scorer import load_sarm
from sarm_core.text.answer_sets import read_answers
from sarm_core.text.rows import Conversation

__all__ = ["encode_shipped", "shipped_conversations"]


def shipped_conversations() -> list[Conversation]:
    """Every answer of the corpus, then every sampled one; each once."""
    texts = [answer.conversation for answer in answers()]
    return list(dict.fromkeys([*texts, *read_answers([SAMPLES]).conversations]))


def encode_shipped(target: Path = ENCODED, progress: Progress | None = None) -> Path:
    """Read all of them anew, whatever is kept, into one part below `target`; parts of other models go.

    Raises SarmError where `target` cannot be written.
    """
    scorer = load_sarm("demo", device="cpu", dtype="float32")
    texts = shipped_conversations()
    encoded = encode_once(scorer, texts, use_cache=False, progress=progress)
    piece = Piece(tuple(map(conversation_hash, texts)), encoded.matrix.csr, encoded.n_cut)
    with tempfile.TemporaryDirectory() as work:
        parts = EncodedParts(Path(work), scorer)
        parts.add(piece)
        (part,) = parts.folder.glob("*.safetensors")
        shutil.rmtree(target, ignore_errors=True)
        placed = target / parts.folder.name / part.name
        placed.parent.mkdir(parents=True)
        shutil.copyfile(part, placed)
    return placed
