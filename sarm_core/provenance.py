"""What a figure was made from: files, model, versions. Written beside the figures, so that they can be repeated."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarm_core.errors import SarmError
from sarm_core.version import VERSION

if TYPE_CHECKING:
    from sarm_core.score.scorer import Scorer

__all__ = ["bytes_facts", "file_facts", "model_facts", "versions"]

PACKAGES = ("torch", "transformers", "numpy", "scipy")


def file_facts(path: Path) -> dict[str, str]:
    """Name and sha256 of a file. Raises SarmError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return {"name": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    except OSError as error:
        raise SarmError(f"{path}: cannot be read ({error.strerror})") from None


def bytes_facts(name: str, content: bytes) -> dict[str, str]:
    """The same for an upload."""
    return {"name": name, "sha256": hashlib.sha256(content).hexdigest()}


def model_facts(scorer: Scorer) -> dict[str, Any]:
    """Where the model came from, the fingerprint of its weights, and how it was run."""
    return {
        "source": scorer.checkpoint.source,
        "name": scorer.checkpoint.name,
        "fingerprint": scorer.fingerprint,
        "features": scorer.n_features,
        "dtype": str(scorer.dtype).removeprefix("torch."),
        "device": scorer.device.type,
        "max_length": scorer.max_length,
    }


def versions() -> dict[str, str]:
    """Versions of this tool, Python and the packages whose arithmetic the figures rest on."""
    found = {"sarm-explorer": VERSION, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
