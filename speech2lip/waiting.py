"""Waiting for other programs, aloud."""

from __future__ import annotations

import sys
import time

_QUIET = 3.0  # seconds


class Notice:
    """A line on standard error, once, where something is waited for longer than a few seconds."""

    def __init__(self, text: str):
        self._text, self._since, self._said = text, time.monotonic(), False

    def look(self) -> None:
        if not self._said and time.monotonic() - self._since > _QUIET:
            self._said = True
            print(f"{self._text} (Ctrl-C ends)", file=sys.stderr, flush=True)
