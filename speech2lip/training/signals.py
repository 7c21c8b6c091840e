"""Ctrl-C and SIGTERM end training after the current step instead of killing it."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class StopRequest:
    """While its block runs, `number` is the signal that asked to stop, or None."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._previous: dict[int, Any] = {}

    def _request(self, number: int, _: FrameType | None) -> None:
        self.number = number

    def __enter__(self) -> StopRequest:
        try:
            self._previous = {n: signal.signal(n, self._request) for n in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: whoever runs us there handles signals
            self._previous = {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
