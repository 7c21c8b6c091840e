"""Files as the C2PA library reads and writes them: it calls back into Python, where no exception comes through."""

from __future__ import annotations

import os
import re
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

from .toolkit import SPOOLED, toolkit

_SYSTEM = re.compile(r"os error (\d+)")
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Watched:
    """A file that remembers why it could not be read or written, and takes no more once somebody asked to stop."""

    def __init__(self, stream: BinaryIO, stop: Stop):
        self._stream, self._stop, self.error = stream, stop, OSError()

    def readinto(self, buffer: Any) -> int:
        self._stop.check()
        return self._stream.readinto(buffer)  # type: ignore[attr-defined]

    def write(self, data: bytes) -> int:
        self._stop.check()
        try:
            return self._stream.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self.error = error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Nowhere:
    """Takes what is written and forgets it: the library copies a file also where its credentials stay beside it."""

    def __init__(self) -> None:
        self._at = self._end = 0

    def write(self, data: bytes) -> int:
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)

    def read(self, size: int = -1) -> bytes:
        raise OSError("nothing was kept")

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        pass


class Stop:
    """Whether Ctrl-C or a signal that ends us came, while it could not be raised."""

    def __init__(self) -> None:
        self.number = 0

    def check(self) -> None:
        if self.number:
            raise InterruptedError

    def ask(self, number: int, _: FrameType | None) -> None:
        self.number = number


@contextmanager
def uninterrupted() -> Iterator[Stop]:
    """Signals wait for the end of the block; an exception that came of them gives way to what they do."""
    stop = Stop()
    try:
        before = {n: signal.signal(n, stop.ask) for n in (getattr(signal, s, None) for s in _SIGNALS) if n is not None}
    except ValueError:  # not the main thread: no signal arrives here
        before = {}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if stop.number:
            signal.raise_signal(stop.number)


@contextmanager
def spooling_beside(target: Path, size: int) -> Iterator[None]:
    """While the block runs, the library's copies of a large file of `size` bytes go where the file goes: the usual place for temporary
    files often is memory. They have no name, and go with the process."""
    if size <= SPOOLED:
        yield
        return
    tempfile.gettempdir()  # Python's own choice is made before
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(target.parent.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


@contextmanager
def system_errors(target: Path, written: Watched | None = None) -> Iterator[None]:
    """An error of the library that stands for one of the system, such as a full disk, is an OSError of `target`."""
    try:
        yield
    except toolkit().C2paError as error:
        number = written.error.errno if written is not None else None
        found = _SYSTEM.search(str(error))
        if number is None and found:
            number = int(found[1])
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(target)) from error
