"""Mel windows of sound that is still arriving."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np

from .features import LevelMeter, LogMel, standardise
from .mel import ROWS_PER_SECOND, MelStream, normalise
from .rows import FeatureWindows
from .waveform import SAMPLE_RATE

_MEMORY = round(30 * ROWS_PER_SECOND)  # rows whose statistics count
_PRIOR = round(3 * ROWS_PER_SECOND)  # rows of the subject's own sound to start from
_KEPT = 4.0  # seconds of rows that windows can still reach


class LiveMel:
    """Sound in, windows [n, rows, channels] of the frames that became ready out.

    A file is standardised by its own statistics; live sound by those of its last half
    minute, which begin as those of `known`, the subject's own sound (16 kHz pieces), and
    are replaced as the new voice is heard. A frame is ready `lookahead` seconds after its
    time.
    """

    def __init__(self, backend: LogMel, fps: float, known: Iterable[np.ndarray]):
        self._backend, self._fps = backend, fps
        self._stream = MelStream()
        self._meter = LevelMeter(memory_seconds=30.0)
        self._heard: deque[np.ndarray] = deque(self._first_rows(known), maxlen=_MEMORY)
        self._rows = np.zeros((0, backend.channels), np.float32)
        self._dropped = 0  # rows before the first of `_rows`
        self._frame = 0
        self.samples = 0

    @property
    def lookahead(self) -> float:
        """Seconds of sound after a frame's time that its window needs."""
        return float(self._backend.offsets[-1]) + 2 / ROWS_PER_SECOND + 400 / SAMPLE_RATE

    def push(self, wav: np.ndarray) -> np.ndarray:
        """More 16 kHz samples [N] in [-1, 1]."""
        self.samples += len(wav)
        self._meter.push(wav)
        self._add(self._stream.push(wav))
        last = (self._dropped + len(self._rows) - 1) / ROWS_PER_SECOND
        ready = int(np.floor((last - self._backend.offsets[-1]) * self._fps)) + 1
        return self._windows(max(ready, self._frame))

    def finish(self) -> np.ndarray:
        """The frames that are left when the sound ends; silence follows."""
        self._add(self._stream.finish())
        return self._windows(max(round(self.samples / SAMPLE_RATE * self._fps), self._frame))

    def _add(self, magnitudes: np.ndarray) -> None:
        if not len(magnitudes):
            return
        rows = normalise(magnitudes, self._meter.gain)
        self._heard.extend(rows)
        fresh = standardise(rows, self._backend.silence, np.stack(self._heard))
        self._rows = np.concatenate([self._rows, fresh])
        spare = len(self._rows) - round(_KEPT * ROWS_PER_SECOND)
        if spare > 0:
            self._rows, self._dropped = self._rows[spare:], self._dropped + spare

    def _windows(self, stop: int) -> np.ndarray:
        """Windows of frames [self._frame, stop)."""
        offsets = self._backend.offsets - self._dropped / ROWS_PER_SECOND
        rows = FeatureWindows(self._rows, ROWS_PER_SECOND, self._fps, stop, offsets, self._backend.silence)
        frames, self._frame = np.arange(self._frame, stop), stop
        return rows[frames]

    def _first_rows(self, known: Iterable[np.ndarray]) -> np.ndarray:
        """Rows of the subject's own sound, evenly spread; its level also starts the level meter."""
        stream, meter, parts = MelStream(), LevelMeter(), []
        for piece in known:
            meter.push(piece)
            parts.append(stream.push(piece).astype(np.float32))
        rows = normalise(np.concatenate(parts), meter.gain)
        self._meter.assume(meter.gain)
        return rows[np.linspace(0, len(rows) - 1, min(_PRIOR, len(rows))).astype(int)]
