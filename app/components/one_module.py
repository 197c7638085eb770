"""Several ES modules as the one module that Streamlit loads for a component."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

__all__ = ["ELEMENTS", "OUTBOX", "one_module"]

_HERE = Path(__file__).parent
ELEMENTS = _HERE / "rerank" / "elements.js"
OUTBOX = _HERE / "outbox.js"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\.{1,2}/[\w/]+\.js";\n', re.MULTILINE)


def one_module(files: Sequence[Path]) -> str:
    """The text of `files`, the imported before the importing; imports among them fall away."""
    return "\n".join(_IMPORT.sub("", file.read_text(encoding="utf-8")) for file in files)
