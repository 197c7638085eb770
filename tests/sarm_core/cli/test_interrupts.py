"""A Ctrl-C ends the program, wherever it comes while it starts."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SWALLOWED = """
import gc, os, signal, sys, time, weakref
from sarm_core.cli.interrupts import interrupts_kept

def ask(*_):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass

class Dies:
    def __del__(self):
        ask()

class Held:
    pass

def caught():
    try:
        ask()
    except:
        pass

def replaced():
    try:
        ask()
    except BaseException:
        try:
            raise ValueError
        except ValueError:
            pass

def referred():
    held = Held()
    kept = weakref.ref(held, ask)
    del held

def deleted():
    Dies()

began = time.monotonic()
try:
    with interrupts_kept():
        {how}()
        while time.monotonic() < began + 20:
            time.sleep(0.001)
        print("lost")
except KeyboardInterrupt:
    print("kept")
time.sleep(0.1)  # and nothing comes later
assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
print("ended")
"""


def heeding() -> None:
    """For a process to be: whatever runs in a shell's background ignores Ctrl-C, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("how", ["caught", "replaced", "referred", "deleted"])
def test_an_interrupt_that_is_swallowed_comes_again(how):
    code = SWALLOWED.replace("{how}", how)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, preexec_fn=heeding
    )
    assert (done.stdout.split(), done.stderr) == (["kept", "ended"], "")


def test_an_interrupt_that_is_on_its_way_out_is_raised_once():
    """What is put in order meanwhile is not disturbed, and an ignored signal stays ignored."""
    code = """
import os, signal, time
from sarm_core.cli.interrupts import interrupts_kept
try:
    with interrupts_kept():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        finally:
            time.sleep(0.2)
            print("put in order")
except KeyboardInterrupt:
    print("left")
signal.signal(signal.SIGINT, signal.SIG_IGN)
with interrupts_kept():
    os.kill(os.getpid(), signal.SIGINT)
    print("ignored")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, preexec_fn=heeding
    )
    assert (done.stdout.splitlines(), done.stderr) == (["put in order", "left", "ignored"], "")


AT_AN_IMPORT = """
import os, runpy, signal, sys

module, how, *words = sys.argv[1:]
sys.argv = ["sarm", *words]

class Dies:  # as the callback of a weak reference that every import runs
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass

def imports(event, values):
    global module
    if event == "import" and values[0] == module:
        module = None
        if how == "in a callback":
            Dies()
        else:
            os.kill(os.getpid(), signal.SIGINT)

sys.addaudithook(imports)
runpy.run_module("sarm_core", run_name="__main__")
"""


@pytest.mark.parametrize("how", ["plain", "in a callback"])
@pytest.mark.parametrize("module", ["sarm_core.cli.parser", "sarm_core.train.build", "numpy", "yaml"])
def test_a_build_ends_by_an_interrupt_at_any_import_of_its_start(module, how, tmp_path):
    words = ["build", "absent.jsonl", "--backbone", "demo", "--sae", "absent", "--out", str(tmp_path / "out")]
    command = [sys.executable, "-c", AT_AN_IMPORT, module, how, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, preexec_fn=heeding)
    if module == "sarm_core.cli.parser":  # before there is anything to put in order
        assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
    else:
        assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert not done.stdout and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_build_ends_by_an_interrupt_at_any_time_of_its_start(tmp_path):
    words = ["build", "absent.jsonl", "--backbone", "demo", "--sae", "absent", "--out", str(tmp_path / "out")]
    for delay in (0.0, 0.05, 0.1, 0.2, 0.4, 0.8):
        with subprocess.Popen(
            [sys.executable, "-m", "sarm_core", *words],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heeding,
        ) as running:
            try:
                running.wait(delay)
            except subprocess.TimeoutExpired:
                running.send_signal(signal.SIGINT)
            said = running.communicate(timeout=60)[1]
        own = (running.returncode, said) in ((-signal.SIGINT, ""), (130, "interrupted\n"))
        assert own or "KeyboardInterrupt" in said, (
            delay,
            running.returncode,
            said,
        )  # or Python's, before ours runs
    assert not list(tmp_path.iterdir())
