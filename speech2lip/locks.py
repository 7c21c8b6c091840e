"""Locks of folders: the kernel holds them, so that a killed process leaves none behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import UserError

try:
    import fcntl
except ImportError:  # Windows has neither these locks nor a need for them in most uses: folders are not guarded there
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"
_TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_MOST_TEXT = 200  # bytes of a lock's file that are read


def try_lock(handle: int, shared: bool = False) -> bool | None:
    """Lock an open file until it is closed: True, False when another holds it, None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _TAKEN else None  # some network file systems have no locks
    return True


@contextmanager
def writer_of(folder: Path, work: str) -> Iterator[None]:
    """While the block runs, nobody else reads or writes `folder`, which exists. work: what to call us.

    Raises UserError at once, naming the other process, when somebody does.
    """
    with _held(folder, work, shared=False):
        yield


@contextmanager
def reader_of(folder: Path, work: str) -> Iterator[None]:
    """While the block runs, nobody writes `folder`; others may read it. UserError as in `writer_of`."""
    with _held(folder, work, shared=True):
        yield


@contextmanager
def _held(folder: Path, work: str, shared: bool) -> Iterator[None]:
    handle = _opened(folder / NAME)
    try:
        if handle is not None and try_lock(handle, shared) is False:
            raise UserError(f"{folder} is in use by {_holder(handle)}: wait until it has finished, or stop it first")
        if handle is not None:
            _sign(handle, work)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _opened(path: Path) -> int | None:
    """The lock's file, made where it is missing; None where that is not possible, as in a read-only folder."""
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        with suppress(OSError):
            return os.open(path, flags, 0o666)
    return None


def _sign(handle: int, work: str) -> None:
    with suppress(OSError):  # it only serves the message of another
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{work} (process {os.getpid()})".encode(), 0)


def _holder(handle: int) -> str:
    """Who said last that it holds the lock."""
    try:
        text = os.pread(handle, _MOST_TEXT, 0).decode("utf-8", "replace")
    except OSError:
        text = ""
    return text if text.isprintable() and text else "another process"
