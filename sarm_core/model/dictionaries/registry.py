"""The one list of formats. A new one is one file here and one line in `FORMATS`."""

from __future__ import annotations

from pathlib import Path

from sarm_core.model.dictionaries.bare import Bare
from sarm_core.model.dictionaries.base import Format
from sarm_core.model.dictionaries.dictionary_learning import DictionaryLearning
from sarm_core.model.dictionaries.gemma_scope import GemmaScope
from sarm_core.model.dictionaries.llama_scope import LlamaScope
from sarm_core.model.dictionaries.qwen_scope import QwenScope
from sarm_core.model.dictionaries.saelens import SAELens
from sarm_core.model.dictionaries.sparsify import Sparsify

__all__ = ["FORMATS", "weights_in"]

FORMATS: tuple[Format, ...] = (
    Bare(),
    SAELens(),
    Sparsify(),
    QwenScope(),
    GemmaScope(),
    LlamaScope(),
    DictionaryLearning(),
)
"""In the order in which they are asked whether a file is theirs."""


def weights_in(folder: Path) -> list[Path]:
    """Files of a folder that are named like a dictionary's weights."""
    found: dict[Path, None] = {}
    for pattern in (pattern for each in FORMATS for pattern in each.files):
        here = sorted(folder.glob(pattern)) if "*" in pattern else [folder / pattern]
        found |= dict.fromkeys(file for file in here if file.is_file())
    return list(found)
