"""What holds for every test: one thread a process where several share the cores, no deadline, a cache of this run.

On a busy machine an example of Hypothesis that is right may take its time.
"""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported, here or in a program that a test starts
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import gc
import shutil
import sys
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings

from sarm_core.files import cache_folder

settings.register_profile("sarm", deadline=None, max_examples=60)
settings.load_profile("sarm")

_OWN = "SARM_CACHE_OF_TESTS"
_LONGEST = (
    "test_resume.py",
    "test_harvest_resume.py",
    "test_compare_page.py",
    "test_harvest.py",
    "test_report.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Point SARM_CACHE to a folder of this run: the fetched backbone is found there, and nothing encoded before."""
    if _OWN in os.environ:  # a worker, or a program that a test starts
        return
    usual = cache_folder()
    own = tempfile.mkdtemp(prefix="sarm-tests-")
    for there in usual.iterdir() if usual.is_dir() else ():
        place = os.path.join(own, there.name)
        if there.name == "models":  # small, and added to by whatever loads one
            shutil.copytree(there, place)
        elif there.name != "encoded":
            os.symlink(there, place)
    os.environ["SARM_CACHE"] = os.environ[_OWN] = own
    config.add_cleanup(lambda: shutil.rmtree(own, ignore_errors=True))


def pytest_unconfigure() -> None:
    """End what the tests of this process started to fork others from."""
    if "tests.processes" in sys.modules:
        sys.modules["tests.processes"].end_forks()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported stays: nobody looks through it for rubbish, neither while it grows nor at each later look."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: one that came last would keep one process waiting for the other."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)
