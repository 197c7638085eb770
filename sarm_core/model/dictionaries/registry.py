"""The one list of formats. A new one is one file here and one line in `FORMATS`."""

from __future__ import annotations

from sarm_core.model.dictionaries.bare import Bare
from sarm_core.model.dictionaries.base import Format
from sarm_core.model.dictionaries.saelens import SAELens
from sarm_core.model.dictionaries.sparsify import Sparsify

__all__ = ["FORMATS"]

FORMATS: tuple[Format, ...] = (Bare(), SAELens(), Sparsify())
"""In the order in which they are asked whether a file is theirs."""
