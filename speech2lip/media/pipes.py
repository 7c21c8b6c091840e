"""Pipes that video is written into while it is made."""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import time
from contextlib import suppress

from ..errors import UserError
from ..waiting import Notice

_PATIENCE = 0.6  # seconds for which a reader that takes nothing is waited for after an interruption
_POLL = 0.05  # seconds between looks at the other end
_AT_ONCE = 4096  # bytes, for which a pipe that has room at all has room (PIPE_BUF of Linux; others have less, and wait)


class Pipe:
    """What the encoder writes bytes into. Its reader is waited for here: within ffmpeg no signal would end that."""

    def __init__(self, descriptor: int, own: bool):
        """own: close the descriptor at the end."""
        self._descriptor, self._own = descriptor, own
        self._hurried = False
        self._given_up = False

    def write(self, data: bytes) -> int:
        """All of `data`; TimeoutError where the reader takes nothing after `hurry`."""
        left = memoryview(data)
        while left:
            self._wait_for_room()
            left = left[os.write(self._descriptor, left[:_AT_ONCE]) :]
        return len(data)

    def hurry(self) -> None:
        """From now on, a reader that takes nothing for a moment is given up."""
        self._hurried = True

    def close(self) -> None:
        if self._own:
            os.close(self._descriptor)
            self._own = False

    def _wait_for_room(self) -> None:
        if self._given_up:  # ffmpeg goes on writing after an error: one wait is enough for all of it
            raise TimeoutError(errno.ETIMEDOUT, "its reader takes nothing")
        since: float | None = None
        while not select.select([], [self._descriptor], [], _POLL)[1]:
            if self._hurried:
                since = since or time.monotonic()
                if time.monotonic() - since > _PATIENCE:
                    self._given_up = True
                    raise TimeoutError(errno.ETIMEDOUT, "its reader takes nothing")


def pipe_to(out: str) -> Pipe | None:
    """Standard output for "-", or a named pipe, opened when its reader has come; None for anything else."""
    if out == "-":
        return Pipe(sys.__stdout__.fileno() if sys.__stdout__ else 1, own=False)
    with suppress(OSError):
        if stat.S_ISFIFO(os.stat(out).st_mode):
            notice = Notice(f"waiting for a program that reads the pipe {out}")
            while (descriptor := _open_now(out)) is None:
                notice.look()
                time.sleep(_POLL)
            return Pipe(descriptor, own=True)
    return None


def _open_now(pipe: str) -> int | None:
    """Open a named pipe for writing; None while it has no reader."""
    try:
        descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise UserError(f"cannot write {pipe} ({error.strerror}): choose a writable place") from error
    os.set_blocking(descriptor, True)
    return descriptor
