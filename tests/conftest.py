"""What holds for every test: one thread where several processes share the cores, no deadline for Hypothesis, and a cache of this run.

The tests run in as many processes as there are cores; on a busy machine an example that is right may take its time.
"""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported, here or in a program that a test starts
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import shutil
import tempfile

import pytest
from hypothesis import settings

from sarm_core.files import cache_folder

settings.register_profile("sarm", deadline=None, max_examples=60)
settings.load_profile("sarm")

_OWN = "SARM_CACHE_OF_TESTS"


def pytest_configure(config: pytest.Config) -> None:
    """Point SARM_CACHE to a folder of this run: the fetched backbone is found there, and nothing encoded before."""
    if _OWN in os.environ:  # a worker, or a program that a test starts
        return
    usual = cache_folder()
    own = tempfile.mkdtemp(prefix="sarm-tests-")
    for there in usual.iterdir() if usual.is_dir() else ():
        if there.name != "encoded":
            os.symlink(there, os.path.join(own, there.name))
    os.environ["SARM_CACHE"] = os.environ[_OWN] = own
    config.add_cleanup(lambda: shutil.rmtree(own, ignore_errors=True))
