"""The engine's store: unpacked whole where hard links are possible and where they are not."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from app.session import engine


def refuse(_source: Path, _target: Path) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False])
def test_a_packed_store_is_unpacked_whole_and_never_over_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    packed, path = tmp_path / "store.xz", tmp_path / "store.db"
    packed.write_bytes(lzma.compress(b"harvested" * 1000))
    if not links:
        monkeypatch.setattr(engine.os, "link", refuse)
    engine._unpack(packed, path)
    assert path.read_bytes() == b"harvested" * 1000
    path.write_bytes(b"somebody's labels")
    engine._unpack(packed, path)
    assert path.read_bytes() == b"somebody's labels"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["store.db", "store.xz"]
