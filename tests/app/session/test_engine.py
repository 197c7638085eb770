"""The engine: its store, and that no answer is encoded twice."""

from __future__ import annotations

import lzma
from pathlib import Path

from app.session import engine


def test_a_packed_store_is_unpacked_whole_and_never_over_another(tmp_path: Path) -> None:
    packed, path = tmp_path / "store.xz", tmp_path / "store.db"
    packed.write_bytes(lzma.compress(b"harvested" * 1000))
    engine._unpack(packed, path)
    assert path.read_bytes() == b"harvested" * 1000
    path.write_bytes(b"somebody's labels")
    engine._unpack(packed, path)
    assert path.read_bytes() == b"somebody's labels"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["store.db", "store.xz"]
