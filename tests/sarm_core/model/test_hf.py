"""Transformers is imported through one door, which a second thread waits at."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TWO_THREADS = """
import threading, time
failed = []
def importing(module, delay):
    time.sleep(delay)
    try:
        __import__(module, fromlist=["x"])
    except Exception as error:
        failed.append(f"{module} after {delay}: {error}")
modules = ("sarm_core.explain.occlusion", "sarm_core.demo.sampling", "sarm_core.ship.ship")
threads = [threading.Thread(target=importing, args=("sarm_core.score.scorer", 0))]
threads += [threading.Thread(target=importing, args=(m, d)) for d in (0.1, 0.6, 1.1) for m in modules]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(failed)
"""


@pytest.mark.slow
def test_threads_that_import_at_the_same_time_both_get_what_they_ask_for():
    done = subprocess.run([sys.executable, "-c", TWO_THREADS], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_nothing_else_of_the_engine_imports_transformers_as_it_is_imported():
    """Inside a function it may: by then the module around it has come through the door, or runs in a process alone."""
    wrong = []
    for path in sorted((ROOT / "sarm_core").rglob("*.py")):
        if path.name in (
            "hf.py",
            "modeling_sarm.py",
        ):  # the second ships with a model and knows nothing of us
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "transformers" for name in names):
                wrong.append(str(path))
    assert wrong == []
