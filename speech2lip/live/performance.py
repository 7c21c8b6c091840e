"""A session at the pace of time, in threads of its own: one listens while another paints."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from ..background import Gathered, Worker
from ..model.device import Shares
from ..rendering.silence import HeardSpeech
from .session import MOMENT, LiveSession, Shown

_LATE = 0.3  # seconds that work may fall behind, before time stands still for it
_BEHIND = 2  # moments that may wait to be painted
_REMEMBERED = 15_000  # frames whose latency is kept: ten minutes of them


@dataclass(frozen=True)
class Pace:
    """How a session keeps up. seconds: since it began; frames that were shown; latency, latency95: seconds, median and 95th percentile
    of the last ten minutes (None: no frame yet); paused: seconds for which time stood still, because the machine could not
    follow; busy: share of the time in which the busier thread worked; waiting: seconds of sound that wait to be said."""

    seconds: float
    frames: int
    latency: float | None
    latency95: float | None
    paused: float
    busy: float
    waiting: float


class Performance:
    """Advances a session as time passes, and hands every frame on.

    opened: gives the session, which is opened at once, so that what cannot be opened is refused here (UserError); show: is called
    in a thread, with each frame; over: is called in a thread when all ends, with the error that ended it, or None. Where the
    machine cannot follow, time stands still: what waits to be said is said late, and not in pieces.
    """

    def __init__(
        self, opened: AbstractContextManager[LiveSession], show: Callable[[Shown], None],
        over: Callable[[BaseException | None], None] = lambda error: None,
    ):  # fmt: skip
        self._opened, self._show, self._over = opened, show, over
        self.session = opened.__enter__()
        self._ends, self._closed = threading.Event(), threading.Lock()
        self._latency: deque[float] = deque(maxlen=_REMEMBERED)
        self._began = time.monotonic()
        self._frames, self._paused, self._listened, self._painted = 0, 0.0, 0.0, 0.0
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Let time pass from now on."""
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True, name="speech2lip live")
        self._thread.start()

    def end(self) -> None:
        """Stop, and close the session. Not to be called in the thread itself."""
        self._ends.set()
        if self._thread is not None:
            self._thread.join()
        else:
            self._close(None)

    @property
    def running(self) -> bool:
        """Whether time passes: it has begun, and nothing ended it."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def pace(self) -> Pace:
        latency = np.array(self._latency)
        middle, most = np.percentile(latency, [50, 95]) if len(latency) else (None, None)
        passed = time.monotonic() - self._began if self._thread is not None else 0.0
        return Pace(
            passed,
            self._frames,
            middle,
            most,
            self._paused,
            max(self._listened, self._painted) / max(passed, 1e-9),
            self.session.speech.waiting,
        )

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._play()
        except BaseException as raised:
            error = raised
        self._close(error)

    def _play(self) -> None:
        """Listen; a second thread paints."""
        shares = Shares(1, 1)  # threads that share a frame wait for each other, and other sessions want a core too
        shares.begin()
        painter = Worker(_BEHIND)
        try:
            painter.do(shares.begin)
            waiting = Gathered(painter, self._paint)
            while not self._ends.is_set():
                late = time.monotonic() - self._began - self._paused - self.session.seconds
                if late < MOMENT:
                    self._ends.wait(MOMENT - late)
                    continue
                if late > _LATE:
                    self._paused += late - MOMENT
                begun = time.monotonic()
                heard = self.session.listen()
                self._listened += time.monotonic() - begun
                waiting.add(heard)
        finally:
            painter.abandon()

    def _paint(self, heard: list[HeardSpeech]) -> None:
        begun = time.monotonic()
        for shown in self.session.paint(HeardSpeech.joined(heard)):
            self._latency.append(shown.latency)
            self._frames += 1
            self._show(shown)
        self._painted += time.monotonic() - begun

    def _close(self, error: BaseException | None) -> None:
        with self._closed:
            if self._opened is None:
                return
            opened, self._opened = self._opened, None  # type: ignore[assignment]
            opened.__exit__(None, None, None)
        self._over(error)
