"""Files and folders for a person are whole or absent, whatever happens while they are written."""

import errno
import fcntl
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sarm_core.errors import SarmError
from sarm_core.files import cache_folder, check_new, whole_file, whole_folder

ROOT = Path(__file__).parents[2]
HALF = """
import sys, time
from pathlib import Path
from sarm_core.files import whole_file, whole_folder
with {opened} as place:
    {write}
    print("half", flush=True)
    time.sleep(60)
"""


def killed(opened: str, write: str) -> None:
    """Run a writer in a process of its own and end it with SIGKILL when half of it is written."""
    program = HALF.format(opened=opened, write=write)
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stdout.readline() == b"half\n"
        running.send_signal(signal.SIGKILL)
    assert running.returncode == -signal.SIGKILL


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


# -- files -----------------------------------------------------------------------------------------------


def test_a_file_appears_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with whole_file(path) as file:
        file.write("néw\n")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_bytes() == "néw\n".encode()
    with whole_file(path, binary=True) as file:
        file.write(b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff" and list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as file:
        file.write("half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_kill_9_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    killed(f"whole_file({str(path)!r})", "place.write('new' * 100_000); place.flush()")
    assert path.read_text() == "old" and visible(tmp_path) == ["out.txt"]
    with whole_file(path) as file:
        file.write("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("keep_first", [False, True])
def test_of_two_writers_at_once_one_whole_file_stays(tmp_path, keep_first):
    path = tmp_path / "out.txt"
    both = threading.Barrier(2, timeout=30)

    def write(letter):
        with whole_file(path, keep_first=keep_first) as file:
            both.wait()
            file.write(letter * 200_000)
            file.flush()
            both.wait()

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_text() in ("a" * 200_000, "b" * 200_000)
    assert list(tmp_path.iterdir()) == [path]


def test_the_first_file_stays_where_that_is_asked(tmp_path, monkeypatch):
    path = tmp_path / "out.txt"
    for links in (True, False):
        if not links:

            def refuse(*_):
                raise PermissionError(1, "Operation not permitted")

            monkeypatch.setattr(os, "link", refuse)
        path.unlink(missing_ok=True)
        for text in ("first", "second"):
            with whole_file(path, keep_first=True) as file:
                file.write(text)
        assert path.read_text() == "first"


def test_a_replaced_file_keeps_its_permissions_and_a_link_stays_a_link(tmp_path):
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    with whole_file(link) as file:
        file.write("new")
    assert link.is_symlink() and real.read_text() == "new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


def test_a_pipe_is_written_into_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with whole_file(pipe) as file:
        file.write("through")
    reader.join(timeout=30)
    assert read == ["through"] and stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_name_as_long_as_a_name_can_be_is_written(tmp_path):
    path = tmp_path / ("n" * 255)
    with whole_file(path) as file:
        file.write("all")
    assert path.read_text() == "all"


def test_a_place_that_cannot_be_written_is_one_line_with_a_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "absent" / "out.txt", tmp_path / "file" / "out.txt"):
        with (
            pytest.raises(SarmError, match=r"cannot be written .*; choose another --out") as error,
            whole_file(path),
        ):
            pass
        assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.fixture
def full_disk():
    """No file of this process may grow beyond 4 KB: writing fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path, full_disk):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with (
        pytest.raises(SarmError, match=r"out\.txt: cannot be written \(File too large\); "),
        whole_file(path) as file,
    ):
        file.write("new" * 10_000)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


# -- folders ---------------------------------------------------------------------------------------------


def test_a_folder_is_whole_or_absent_and_never_overwrites(tmp_path):
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "x") as folder:
        (folder / "half").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "x").mkdir()  # an empty one is free to take
    with whole_folder(tmp_path / "x") as folder:
        (folder / "all").write_text("all")
        assert folder.name == "x" and not list((tmp_path / "x").iterdir())
    assert [p.name for p in tmp_path.rglob("*")] == ["x", "all"]
    with pytest.raises(SarmError, match="already exists"), whole_folder(tmp_path / "x"):
        pass
    with pytest.raises(SarmError, match="already exists"):
        check_new(tmp_path / "x")


def test_kill_9_in_the_middle_leaves_no_folder(tmp_path):
    target = tmp_path / "model"
    killed(f"whole_folder({str(target)!r})", "(place / 'half').write_text('half')")
    assert visible(tmp_path) == []
    with whole_folder(target) as folder:
        (folder / "all").write_text("all")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.fixture
def living():
    """Starts writers in processes of their own that write until they are told to end."""

    @contextmanager
    def living(opened: str, write: str) -> Iterator[None]:
        program = HALF.format(opened=opened, write=write).replace("time.sleep(60)", "sys.stdin.read()")
        how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": ROOT}
        with subprocess.Popen([sys.executable, "-c", program], **how) as running:
            assert running.stdout.readline() == b"half\n"
            yield
            running.stdin.close()
        assert running.returncode == 0

    return living


def test_the_next_writer_removes_what_the_killed_left_and_nothing_else(tmp_path, living):
    folder, file = tmp_path / "model", tmp_path / "out.txt"
    as_folder = f"whole_folder({str(folder)!r}, keep=lambda _: False)", "(place / 'half').write_text('half')"
    as_file = f"whole_file({str(file)!r})", "place.write('half'); place.flush()"
    killed(*as_folder)
    killed(*as_file)
    left = {path.name for path in tmp_path.iterdir()}
    assert len(left) == 2
    others = {".model-12345678", ".model-backup", ".models-12345678", ".model-abcdefgh", ".out.txt.1.tmp"}
    for name in others:  # nobody's of ours
        (tmp_path / name).mkdir()
        (tmp_path / name / "lock").write_text("")
    (tmp_path / ".model-link1234").symlink_to(tmp_path / ".model-backup")
    (tmp_path / ".other.txt.1.2.tmp").write_text("another target's")
    others |= {".model-link1234", ".other.txt.1.2.tmp"}
    with living(*as_folder), living(*as_file):
        assert len(alive := {path.name for path in tmp_path.iterdir()} - others) == 2
        assert not alive & left  # the new writers removed them
        with whole_folder(folder, keep=lambda _: False) as made:
            (made / "all").write_text("early")
        with whole_file(file) as opened:
            opened.write("early")
        assert {path.name for path in tmp_path.iterdir()} == others | alive | {"model", "out.txt"}
    assert {path.name for path in tmp_path.iterdir()} == others | {"model", "out.txt"}
    assert file.read_text() == "half" and (folder / "half").exists()


def test_a_disk_without_locks_has_nothing_that_is_taken_for_left_behind(tmp_path, monkeypatch):
    killed(f"whole_folder({str(tmp_path / 'model')!r})", "(place / 'half').write_text('half')")

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    left = set(tmp_path.iterdir())
    with whole_folder(tmp_path / "model") as folder, whole_file(tmp_path / "out.txt"):
        (folder / "all").write_text("all")
    assert set(tmp_path.iterdir()) == left | {tmp_path / "model", tmp_path / "out.txt"}


def test_of_two_writers_at_once_the_first_whole_folder_stays(tmp_path):
    with (
        pytest.raises(SarmError, match="already exists"),
        whole_folder(tmp_path / "x") as late,
    ):
        (late / "late").write_text("")
        with whole_folder(tmp_path / "x") as early:
            (early / "early").write_text("")
    assert [p.name for p in tmp_path.rglob("*")] == ["x", "early"]


def test_what_is_there_stays_when_it_is_good_and_goes_when_not(tmp_path):
    def good(folder):
        return (folder / "good").exists()

    for made, stays in (("bad", "bad"), ("good", "good"), ("later", "good")):
        with whole_folder(tmp_path / "x", keep=good) as folder:
            (folder / made).write_text("")
        assert [p.name for p in tmp_path.rglob("*")] == ["x", stays]


def test_a_full_disk_while_a_folder_is_written_is_one_line(tmp_path, full_disk):
    import torch
    from safetensors.torch import save_file

    def plain(folder):
        (folder / "a").write_bytes(b"0" * 10_000)

    def weights(folder):
        save_file({"a": torch.zeros(4_000)}, folder / "a.safetensors")

    for write in (plain, weights):
        with (
            pytest.raises(SarmError, match=r"x: cannot be written \(File too large\)"),
            whole_folder(tmp_path / "x") as x,
        ):
            write(x)
    assert list(tmp_path.iterdir()) == []


# -- the cache folder ------------------------------------------------------------------------------------


def test_the_cache_folder_follows_its_variables(monkeypatch, tmp_path):
    monkeypatch.delenv("SARM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("a") == tmp_path / "sarm-explorer" / "a"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "sarm-explorer"
    monkeypatch.setenv("SARM_CACHE", str(tmp_path / "mine"))
    assert cache_folder("a", "b") == tmp_path / "mine" / "a" / "b"
