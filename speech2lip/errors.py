"""The one exception that reaches a user as a sentence instead of a traceback."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from .terminal import printable, safe_streams


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one sentence that names what was found and in which file, what is
    needed, and what to do next. Entry points print it and exit with status 2.
    """


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends work as Ctrl-C does."""


def run_guarded(work: Callable[[], int]) -> int:
    """Turn UserError into one sentence and status 2, Ctrl-C into status 130, SIGTERM into 143, and a reader of
    our output that has left (`| head`) into status 141. What is printed is `printable`."""
    with safe_streams():
        return _guarded(work)


def _guarded(work: Callable[[], int]) -> int:
    try:
        with _terminable():
            status = work()
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        said = str(interrupt) or "interrupted; what was finished is kept, run the same command to continue"
        print(said, file=sys.stderr)
        return 143 if isinstance(interrupt, Terminated) else 130
    except BrokenPipeError:
        if not _reader_has_left():
            raise
        return 141


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM raises `Terminated`, so that temporary files are removed on the way out."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not the main thread: whoever runs us there handles signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _reader_has_left() -> bool:
    """Whether it is our standard output that broke; what waits in it is thrown away, or Python would complain at exit."""
    try:
        stdout, poll = sys.stdout.fileno(), select.poll()
    except (AttributeError, OSError):  # no such thing on Windows; no file where output is captured
        return False
    poll.register(stdout, 0)
    left = any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    if left:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)
    return left
