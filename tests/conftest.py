"""What holds for every test: one thread a process, and no deadline for Hypothesis.

The tests run in as many processes as there are cores; on a busy machine an example that is right may take its time.
"""

from __future__ import annotations

import os

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before torch is imported, here or in a program that a test starts
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from hypothesis import settings

settings.register_profile("sarm", deadline=None, max_examples=60)
settings.load_profile("sarm")
