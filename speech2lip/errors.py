"""The one exception that reaches a user as a sentence instead of a traceback."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .terminal import lost_output, printable, safe_streams

_MOST_SHOWN = 100  # characters of a name that is too long


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one sentence that names what was found and in which file, what is
    needed, and what to do next. Entry points print it and exit with status 2.
    """


def run_guarded(work: Callable[[], int]) -> int:
    """Turn UserError into one sentence and status 2, Ctrl-C and SIGTERM into status 130, and a reader of our
    output that has left (`| head`) into status 141. What is printed is `printable`."""
    atexit.register(gc.freeze)  # nobody needs the garbage of a process that ends, and PyTorch's takes nearly a second
    with safe_streams():
        return _guarded(work)


def _guarded(work: Callable[[], int]) -> int:
    try:
        with _terminable():
            status = _finished(work)
        if lost := lost_output():
            print(f"error: cannot write to standard output ({lost}): what was printed is lost", file=sys.stderr)
        return 2 if lost else status
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        said = str(interrupt) or "interrupted; what was finished is kept, run the same command to continue"
        print(said, file=sys.stderr)
        return 130
    except BrokenPipeError:
        if not _reader_has_left():
            raise
        return 141
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # asked of a name in many places, before anybody opens it
            raise
        name = printable(str(error.filename))
        shown = name if len(name) <= _MOST_SHOWN else f"{name[:_MOST_SHOWN]}..."
        print(f"error: {shown} cannot be a file's name ({error.strerror}): give a shorter one", file=sys.stderr)
        return 2


def _finished(work: Callable[[], int]) -> int:
    """The status of work, which may end as `--help` does."""
    try:
        return work()
    except SystemExit as end:
        if end.code not in (0, None) or not lost_output():
            raise
        return 0  # the caller says what is lost


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does, so that temporary files go and programs that we started end."""

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # who asks twice means it
        name = signal.Signals(number).name
        raise KeyboardInterrupt(f"stopped by {name}; what was finished is kept, run the same command to continue")

    wanted = [s for s in (getattr(signal, "SIGTERM", None), getattr(signal, "SIGHUP", None)) if s is not None]
    try:
        before = {s: signal.signal(s, end) for s in wanted if signal.getsignal(s) == signal.SIG_DFL}
    except ValueError:  # not the main thread: whoever runs us there handles signals
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
