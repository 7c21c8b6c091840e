"""What the terminal shows: names of files are data, and must not move the cursor or change colours."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_JOINERS = "\u200c\u200d"  # of letters in some scripts, and of emoji


def printable(text: str, keep: str = "") -> str:
    """Text with everything that a terminal would obey written as an escape, such as \\x1b.

    Control characters, marks that turn the direction of writing, line separators, and bytes of a file name that
    are no text (`os.fsdecode`'s surrogates). keep: control characters that stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or c in _JOINERS else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # an undecodable byte
        return f"\\x{code - 0xDC00:02x}"
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character.encode("unicode_escape").decode("ascii")
    return character


def can_ask() -> bool:
    """Whether somebody sits at standard input, and sees this process before any other of the terminal."""
    try:
        return sys.stdin.isatty() and (not hasattr(os, "tcgetpgrp") or os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp())
    except (AttributeError, OSError, ValueError):  # no standard input, or a closed one
        return False


def says_yes(question: str) -> bool:
    """The answer to a question; the end of standard input is none."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def fill_closed() -> None:
    """Give standard streams that are closed a place that takes everything: a file that is opened would get their number,
    and what libraries print would go into it."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


@contextmanager
def safe_streams() -> Iterator[None]:
    """Within it, what is printed is `printable`; bars may return to the start of their line on standard error."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Shown(s, keep) for s, keep in zip(before, ("\n\t", "\n\t\r"), strict=True))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def lost_output() -> str | None:
    """Why not all that was printed has left by standard output; None where it has. Within `safe_streams`."""
    sys.stdout.flush()
    return getattr(sys.stdout, "lost", None)


class _Shown:
    """A text stream; all but `write` and `flush` is the stream's own.

    A stream that is closed or takes nothing does not end the work: what is printed is dropped, and `lost` says why.
    """

    def __init__(self, stream: Any, keep: str):
        self._closed = stream is None
        self._stream, self._keep = stream or open(os.devnull, "w"), keep  # noqa: SIM115 (as long as the process)
        self.lost: str | None = None

    def write(self, text: str) -> int:
        if self._closed and text:
            self.lost = "it is closed"
        with self._dropping():
            self._stream.write(printable(text, self._keep))
        return len(text)

    def flush(self) -> None:
        with self._dropping():
            self._stream.flush()

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            self.lost = error.strerror or str(error)
            with suppress(OSError, AttributeError):  # what waits in it is thrown away, or Python would complain at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
