"""What the terminal shows: names of files are data, and must not move the cursor or change colours."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def safe_streams() -> Iterator[None]:
    """Within it, what is printed is `printable`; bars may return to the start of their line on standard error."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (s and _Shown(s, keep) for s, keep in zip(before, ("\n\t", "\n\t\r"), strict=True))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _Shown:
    """A text stream; all but `write` is the stream's own."""

    def __init__(self, stream: Any, keep: str):
        self._stream, self._keep = stream, keep

    def write(self, text: str) -> int:
        return int(self._stream.write(printable(text, self._keep)) or 0)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
