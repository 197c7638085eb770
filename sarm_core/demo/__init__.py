"""The embedded model: its files, the corpus it is tried on, and the feature store that comes with it."""

from pathlib import Path

__all__ = ["CORPUS", "ENCODED", "SAMPLES", "STORE"]

CORPUS = Path(__file__).with_name("corpus.jsonl")
SAMPLES = Path(__file__).with_name("samples.jsonl")
ENCODED = Path(__file__).with_name("encoded")
"""What `make demo-encoded` writes: activations of corpus and samples, in a folder named by the encoding key"""
STORE = Path(__file__).with_name("store.db.xz")
"""What `make demo-store` builds, packed"""
