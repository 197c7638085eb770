"""Files and folders that are whole or absent, and the one folder for what can be made again.

Everything that is written for a person goes through here. (`feature_db` may not import this package, so its exchange
files have a small door of their own: `feature_db.exchange.foreign.written_beside`.)
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError

from sarm_core.errors import SarmError

__all__ = ["cache_folder", "check_new", "unfinished_folder", "whole_file", "whole_folder"]

_REFUSED_BY_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
_OS_ERROR = re.compile(r"os error (\d+)")
_MARK = ".sarm-explorer-writes"
"""In a hidden folder that a writer of ours made: the file it holds locked for as long as it lives"""


def cache_folder(*names: str) -> Path:
    """Where a thing is kept that can be made again, by its names below the one folder for all of them.

    That is $SARM_CACHE, else `sarm-explorer` in $XDG_CACHE_HOME, else in ~/.cache. It is not made here.
    """
    stated = os.environ.get("SARM_CACHE")
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sarm-explorer"
    return (Path(stated) if stated else usual).joinpath(*names)


@contextmanager
def whole_file(
    path: str | Path,
    *,
    binary: bool = False,
    keep_first: bool = False,
    durable: bool = True,
    remedy: str = "choose another --out",
) -> Iterator[IO[Any]]:
    """A file, text (UTF-8) or `binary`, that appears under `path` only when the block ends well.

    It is written beside its place and renamed, so whoever reads meanwhile, or after a kill, finds the old one; of two
    writers the later one's whole file stays, with `keep_first` the earlier one's. It keeps the permissions of the file
    it replaces. What is no plain file (a pipe, /dev/stdout) is written into as it is. Without `durable` a power cut
    may leave an empty file, which is enough for what carries a checksum. Raises SarmError, with `remedy`,
    when the place cannot be written or the disk is full.
    """
    path = Path(path)

    def refused(reason: object) -> SarmError:
        return SarmError(f"{path}: cannot be written ({reason}); {remedy}")

    if path.is_dir():
        raise refused("it is a folder")
    how: dict[str, Any] = {"mode": "wb"} if binary else {"mode": "w", "encoding": "utf-8", "newline": "\n"}
    try:
        if path.exists() and not path.is_file():
            with path.open(**how) as file:
                yield file
            return
        place = path.resolve()  # a link stays a link, and the file it leads to is replaced
        # A name of its own for each writer; cut, because the whole one may be as long as a name can be.
        name = f".{place.name[:80]}"
        beside = place.with_name(f"{name}.{os.getpid()}.{threading.get_ident()}.tmp")
        _remove_left_files(place.parent, name)
        file = beside.with_suffix(".new").open(**how)
        beside = _locked(file, beside)
    except OSError as error:
        raise refused(error.strerror) from None
    try:
        with file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            with suppress(FileNotFoundError):
                beside.chmod(stat.S_IMODE(place.stat().st_mode))
            if keep_first:
                _name_first(beside, place)
            else:
                os.replace(beside, place)
    except OSError as error:
        if error.errno in _REFUSED_BY_THE_DISK or error.filename == str(beside):
            raise refused(error.strerror) from None
        raise
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _name_first(beside: Path, path: Path) -> None:
    """Give the finished file its name, unless another process was faster. Raises OSError."""
    try:
        os.link(beside, path)  # fails when the name is taken, where a rename would replace what is there
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links; nobody had time to write into a file just made
        if not path.exists():
            os.replace(beside, path)


def check_new(target: str | Path) -> Path:
    """`target` when nothing would be overwritten; long work asks first. Raises SarmError."""
    target = Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SarmError(f"{target}: already exists and is not an empty folder; name another one")
    return target


@contextmanager
def whole_folder(
    target: str | Path, *, keep: Callable[[Path], bool] | None = None, remedy: str = "name another one"
) -> Iterator[Path]:
    """An empty folder of the target's name that becomes `target` when the block ends well, and vanishes otherwise.

    It lies in a hidden folder beside the target (its parent), where the block may put what it needs for a
    while. What writers to the same target left there when they were killed is removed first. Raises SarmError when
    `target` already holds files; with `keep`, what is there stays if `keep` says so of it, and is replaced otherwise.
    Of two writers the first one's folder stays. Raises SarmError when the place cannot be written or the disk is full.
    """
    target = Path(target)

    def refused(reason: object) -> SarmError:
        return SarmError(f"{target}: cannot be written ({reason}); {remedy}")

    if keep is None:
        check_new(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        name = f".{target.name[:80]}-"
        _remove_left_folders(target.parent, name)
        around = Path(tempfile.mkdtemp(prefix=name, dir=target.parent))
    except OSError as error:
        raise refused(error.strerror) from None
    lock = None
    try:
        lock = (around / f"{_MARK}.new").open("w")
        _locked(lock, around / _MARK)
        made = around / target.name
        made.mkdir()
        yield made
        _put_in_place(made, target, keep)
    except OSError as error:
        if error.errno in _REFUSED_BY_THE_DISK:
            raise refused(error.strerror) from None
        raise
    except SafetensorError as error:  # what it says of a full disk is no OSError
        if (found := _OS_ERROR.search(str(error))) and int(found[1]) in _REFUSED_BY_THE_DISK:
            raise refused(os.strerror(int(found[1]))) from None
        raise
    finally:
        shutil.rmtree(around, ignore_errors=True)
        if lock is not None:
            lock.close()


def _locked(file: IO[Any], path: Path) -> Path:
    """Lock the new `file` for this process, then call it `path`: under that name it is locked or left behind.

    On a disk that knows no locks it keeps its first name, and is never taken for left behind. Its name then.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(file.name, path)
    except OSError:
        return Path(file.name)
    return path


def _remove_left_files(folder: Path, name: str) -> None:
    """Remove what killed writers left of the hidden file `name`."""
    for path in _named(folder, name, r"\.\d+\.\d+\.tmp"):
        with suppress(OSError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _remove_left_folders(folder: Path, name: str) -> None:
    """Remove what killed writers left of the hidden folder `name`; one without our mark is not ours."""
    for path in _named(folder, name, r"[a-z0-9_]{8}"):
        with suppress(OSError), (path / _MARK).open("r+b") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)


def _named(folder: Path, name: str, rest: str) -> list[Path]:
    """What is called `name` and then a match of `rest`, links left out."""
    wanted = re.compile(re.escape(name) + rest)
    try:
        with os.scandir(folder) as entries:
            return [Path(e.path) for e in entries if wanted.fullmatch(e.name) and not e.is_symlink()]
    except OSError:
        return []


def _put_in_place(made: Path, target: Path, keep: Callable[[Path], bool] | None) -> None:
    if target.exists():
        if keep is None:
            check_new(target).rmdir()
        elif not keep(target):
            os.replace(target, made.with_name(f"{made.name}.replaced"))
    try:
        os.rename(made, target)
    except OSError:
        if keep is None or not keep(target):  # else another process was faster
            raise


@contextmanager
def unfinished_folder(
    folder: Path, checkpoint: Path, *, resume: bool, work: str, remedy: str
) -> Iterator[None]:
    """Hold, for this process, the folder of work that has not ended ("harvest", "run"); `checkpoint` lies in it.

    What a killed writer left is removed; without a checkpoint at the end, the folder is. Raises SarmError when another
    process holds it, when the disk refuses (with `remedy`), or there is a checkpoint and `resume` is False.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise SarmError(f"{folder}: cannot be written ({error.strerror}); {remedy}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SarmError(f"{folder}: another {work} is going on there") from None
        if checkpoint.exists() and not resume:
            raise SarmError(
                f"{folder} holds an unfinished {work}: add --resume to go on with it, "
                "or delete the folder to start anew"
            )
        for left in folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)
        try:
            yield
        finally:
            if not checkpoint.exists():  # nothing to go on with
                shutil.rmtree(folder, ignore_errors=True)
