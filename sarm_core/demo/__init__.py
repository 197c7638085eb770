"""The embedded model: its files, the corpus it is tried on, and the feature store that comes with it."""

from pathlib import Path

__all__ = ["CORPUS", "STORE"]

CORPUS = Path(__file__).with_name("corpus.jsonl")
STORE = Path(__file__).with_name("store.db.xz")
"""What `make demo-store` builds, packed"""
