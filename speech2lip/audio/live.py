"""Windows of sound that is still arriving."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

import numpy as np

from ..media.sound import SAMPLE_RATE
from ..nets.pretrained.moonshine import FIELD, FIRST, HOP
from . import moonshine
from .backend import FeatureBackend, Joined
from .level import LevelMeter
from .log_mel import LogMel, standardiser
from .mel import ROWS_PER_SECOND, MelStream, normalise
from .moonshine import Moonshine
from .rows import FeatureWindows, Rows

_MEMORY = round(30 * ROWS_PER_SECOND)  # rows whose statistics count
_PRIOR = round(3 * ROWS_PER_SECOND)  # rows of the subject's own sound to start from
_STEADY = round(0.2 * ROWS_PER_SECOND)  # rows for which statistics are not measured again
_KEPT = 4.0  # seconds of rows, more than a window of frames to come can reach back
_HEARD = 2 * SAMPLE_RATE // HOP * HOP  # samples that the speech recogniser hears for every new frame


class LiveFeatures:
    """Sound in, windows [n, rows, channels] of the frames that became ready out.

    A file's features are standardised by the whole file; live sound by the last half
    minute, which begins as `known`, the subject's own sound (16 kHz pieces), and is replaced
    as the new voice is heard; digital silence does not count. A frame is ready `lookahead` seconds after its time.

    early: seconds at the end of a window that are not waited for; the last row known stands for those that come later.
    """

    def __init__(self, backend: FeatureBackend, fps: float, known: Iterable[np.ndarray], early: float = 0.0):
        self._offsets, self._fps, self._early = backend.offsets, fps, early
        self._streams = _streams_of(backend)
        self._meter = LevelMeter(memory_seconds=30.0)
        self._frame = 0
        self.samples = 0
        self._remember(known)

    @property
    def lookahead(self) -> float:
        """Seconds of sound after a frame's time that are waited for."""
        return float(self._offsets[-1]) + max(stream.delay for stream in self._streams) - self._early

    def push(self, wav: np.ndarray) -> np.ndarray:
        """More 16 kHz samples [N] in [-1, 1]."""
        self.samples += len(wav)
        if np.any(wav):  # digital silence says nothing of a voice, however long it lasts
            self._meter.push(wav)
        for stream in self._streams:
            stream.push(wav, self._meter.gain)
        last = min(stream.last for stream in self._streams) + self._early
        ready = int(np.floor((last - self._offsets[-1]) * self._fps)) + 1
        return self._windows(max(ready, self._frame), more=True)

    def finish(self) -> np.ndarray:
        """The frames that are left when the sound ends; silence follows."""
        for stream in self._streams:
            stream.finish(self._meter.gain)
        return self._windows(max(round(self.samples / SAMPLE_RATE * self._fps), self._frame), more=False)

    def _windows(self, stop: int, more: bool) -> np.ndarray:
        """Windows of frames [self._frame, stop); more: the sound goes on."""
        frames, self._frame = np.arange(self._frame, stop), stop
        rows = tuple(replace(stream.rows(len(frames) > 0), holds=more) for stream in self._streams)
        return FeatureWindows(rows, self._fps, stop, self._offsets)[frames]

    def _remember(self, known: Iterable[np.ndarray]) -> None:
        meter = LevelMeter()
        for piece in known:
            meter.push(piece)
            for stream in self._streams:
                stream.remember(piece)
        self._meter.assume(meter.gain)
        for stream in self._streams:
            stream.begin(meter.gain)


def can_be_live(backend: FeatureBackend) -> bool:
    """Whether features can be made while sound arrives; others need the whole of it."""
    return all(isinstance(part, LogMel | Moonshine) for part in _parts(backend))


def _parts(backend: FeatureBackend) -> list[FeatureBackend]:
    return list(backend.parts) if isinstance(backend, Joined) else [backend]


def _streams_of(backend: FeatureBackend) -> list[_LiveStream]:
    return [_LiveMel() if isinstance(part, LogMel) else _LiveMoonshine() for part in _parts(backend)]


class _LiveStream(Protocol):
    """One backend's rows as they become known; `last` is the second of the newest, `delay` how long a row takes."""

    delay: float

    @property
    def last(self) -> float: ...

    def remember(self, wav: np.ndarray) -> None: ...

    def begin(self, gain: float) -> None: ...

    def push(self, wav: np.ndarray, gain: float) -> None: ...

    def finish(self, gain: float) -> None: ...

    def rows(self, wanted: bool) -> Rows: ...


class _LiveMel:
    """Log-mel rows, standardised by what was heard last."""

    delay = 2 / ROWS_PER_SECOND + 400 / SAMPLE_RATE

    def __init__(self) -> None:
        self._stream, self._prior = MelStream(), MelStream()
        self._known: list[np.ndarray] = []
        self._heard: deque[np.ndarray] = deque(maxlen=_MEMORY)
        self._rows = np.zeros((0, LogMel.channels), np.float32)
        self._dropped = 0  # rows before the first of `_rows`
        self._unknown = _STEADY  # rows since `_standard` was measured
        self._standard: Callable[[np.ndarray], np.ndarray] = np.asarray

    @property
    def last(self) -> float:
        return (self._dropped + len(self._rows) - 1) / ROWS_PER_SECOND

    def remember(self, wav: np.ndarray) -> None:
        self._known.append(self._prior.push(wav).astype(np.float32))

    def begin(self, gain: float) -> None:
        """Start from rows of the subject's own sound, evenly spread."""
        rows = normalise(np.concatenate(self._known), gain)
        self._heard.extend(rows[np.linspace(0, len(rows) - 1, min(_PRIOR, len(rows))).astype(int)])
        self._known.clear()

    def push(self, wav: np.ndarray, gain: float) -> None:
        self._add(self._stream.push(wav), gain)

    def finish(self, gain: float) -> None:
        self._add(self._stream.finish(), gain)

    def rows(self, wanted: bool) -> Rows:
        rows = Rows(self._rows, ROWS_PER_SECOND, LogMel.silence, self._dropped / ROWS_PER_SECOND)
        spare = len(self._rows) - round(_KEPT * ROWS_PER_SECOND)
        if spare > 0:
            self._rows, self._dropped = self._rows[spare:], self._dropped + spare
        return rows

    def _add(self, magnitudes: np.ndarray, gain: float) -> None:
        if not len(magnitudes):
            return
        rows = normalise(magnitudes, gain)
        self._heard.extend(rows[magnitudes.any(1)])  # digital silence does not push the voice out of memory
        self._unknown += len(rows)
        if self._unknown >= _STEADY:
            self._standard, self._unknown = standardiser(np.stack(self._heard), LogMel.silence), 0
        self._rows = np.concatenate([self._rows, self._standard(rows)])


class _LiveMoonshine:
    """States of the last seconds."""

    delay = (FIELD - FIRST + 2 * HOP) / SAMPLE_RATE

    def __init__(self) -> None:
        moonshine.prepare()
        self._sound = np.zeros(0, np.float32)  # from sample `_first` on, a multiple of HOP
        self._first = 0
        self._gain = 1.0
        self._states = moonshine.RecentStates()

    @property
    def last(self) -> float:
        count = (self._first + len(self._sound) - FIELD) // HOP
        return (count * HOP + FIRST) / SAMPLE_RATE

    def remember(self, wav: np.ndarray) -> None:
        """Its features do not depend on what was heard before."""

    def begin(self, gain: float) -> None:
        self._gain = gain

    def push(self, wav: np.ndarray, gain: float) -> None:
        self._gain = gain
        self._sound = np.concatenate([self._sound, wav.astype(np.float32)])

    def finish(self, gain: float) -> None:
        self._sound = np.concatenate([self._sound, np.zeros(FIELD, np.float32)])

    def rows(self, wanted: bool) -> Rows:
        if not wanted or len(self._sound) < FIELD:
            return Rows(np.zeros((0, Moonshine.channels)), moonshine.ROWS_PER_SECOND, Moonshine.silence)
        states = self._states.hear(self._sound * np.float32(self._gain))
        rows = Rows(states, moonshine.ROWS_PER_SECOND, Moonshine.silence, (self._first + FIRST) / SAMPLE_RATE)
        spare = (len(self._sound) - _HEARD) // HOP
        if spare > 0:
            self._sound, self._first = self._sound[spare * HOP :], self._first + spare * HOP
            self._states.drop(spare)
        return rows
