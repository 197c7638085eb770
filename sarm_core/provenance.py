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
    """Name and sha256 of a file; of a folder that `datasets` saved the sha256 of its files' names and hashes.

    Raises SarmError when it cannot be read.
    """
    try:
        return {"name": path.name, "sha256": _folder_hash(path) if path.is_dir() else _file_hash(path)}
    except OSError as error:
        raise SarmError(f"{path}: cannot be read ({error.strerror})") from None


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folder_hash(folder: Path) -> str:
    """Over the folder and its splits, which are one level down."""
    digest = hashlib.sha256()
    for pattern in ("*.json", "*.arrow", "*/*.json", "*/*.arrow"):
        for path in sorted(folder.glob(pattern)):
            digest.update(f"{_file_hash(path)} {path.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()


def bytes_facts(name: str, content: bytes) -> dict[str, str]:
    """The same for an upload."""
    return {"name": name, "sha256": hashlib.sha256(content).hexdigest()}


def model_facts(scorer: Scorer) -> dict[str, Any]:
    """Where the model came from, the fingerprint of its weights, and how it was run."""
    facts = scorer.facts
    return {
        "source": facts.source,
        "name": facts.name,
        "fingerprint": facts.fingerprint,
        "features": facts.n_features,
        "dtype": facts.dtype,
        "device": facts.device,
        "max_length": facts.max_length,
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
