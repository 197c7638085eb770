"""The one list of formats. A new one is one file here and one line in `FORMATS`."""

from __future__ import annotations

from sarm_core.model.dictionaries.bare import Bare
from sarm_core.model.dictionaries.base import Format
from sarm_core.model.dictionaries.dictionary_learning import DictionaryLearning
from sarm_core.model.dictionaries.gemma_scope import GemmaScope
from sarm_core.model.dictionaries.llama_scope import LlamaScope
from sarm_core.model.dictionaries.qwen_scope import QwenScope
from sarm_core.model.dictionaries.saelens import SAELens
from sarm_core.model.dictionaries.sparsify import Sparsify

__all__ = ["FORMATS"]

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
