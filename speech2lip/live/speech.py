"""What a face is to say: sound that waits, of a voice or a microphone, and is taken at the pace of time."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

from ..errors import UserError
from ..media.sound import SAMPLE_RATE

LONGEST = 900.0  # seconds of sound that may wait to be said
BEHIND = 0.3  # seconds of a microphone that may wait; older sound is left out
_QUIET = 1e-3  # of full scale, below which a microphone hears nothing: it is muted


def as_samples(sound: np.ndarray) -> np.ndarray:
    """float32 [N] in [-1, 1] of mono sound that is float [N] in [-1, 1] or int16 [N].

    UserError for other shapes and types, and for what is no number.
    """
    sound = np.asarray(sound)
    if sound.ndim != 1 or not (sound.dtype == np.int16 or sound.dtype.kind == "f"):
        raise UserError(
            f"live sound is {sound.dtype} of shape {list(sound.shape)}: give mono samples at {SAMPLE_RATE} Hz, [N] of int16 or float"
        )
    samples = sound.astype(np.float32) / (32768 if sound.dtype == np.int16 else 1)
    if not np.isfinite(samples).all():
        raise UserError("live sound holds samples that are no numbers: give floats in [-1, 1]")
    return np.clip(samples, -1, 1)


class SpeechQueue:
    """Sound on its way into a session. Threads may share it.

    What is said (`say`) comes first, whole. A microphone (`hear`) is heard while nothing else is said, and never late.
    """

    def __init__(self) -> None:
        self._said, self._heard = _Samples(), _Samples()
        self._lock = threading.Lock()

    def say(self, sound: np.ndarray) -> None:
        """16 kHz sound, see `as_samples`, to be said after what waits already. UserError for more than `LONGEST` at once."""
        samples = as_samples(sound)
        with self._lock:
            waiting = (self._said.count + len(samples)) / SAMPLE_RATE
            if waiting > LONGEST:
                raise UserError(
                    f"{waiting:.0f} s of sound would wait to be said, and {LONGEST:.0f} s may: interrupt first, or wait"
                )
            self._said.add(samples)

    def hear(self, sound: np.ndarray) -> None:
        """16 kHz sound of a microphone, see `as_samples`."""
        samples = as_samples(sound)
        with self._lock:
            self._heard.add(samples)
            self._heard.drop(self._heard.count - round(BEHIND * SAMPLE_RATE))

    def clear(self) -> float:
        """Forget what waits; returns how many seconds it was."""
        with self._lock:
            left = (self._said.count + self._heard.count) / SAMPLE_RATE
            for samples in (self._said, self._heard):
                samples.drop(samples.count)
        return left

    @property
    def waiting(self) -> float:
        """Seconds of sound that wait to be said."""
        with self._lock:
            return self._said.count / SAMPLE_RATE

    def take(self, count: int) -> tuple[np.ndarray, int]:
        """The next `count` samples, silence where none wait, and how many of them were not: 0 also of a muted microphone."""
        with self._lock:
            taken = self._said.take(count)
            real = len(taken)
            if real:
                self._heard.drop(count)  # time goes on for the microphone, too
            else:
                taken = self._heard.take(count)
                real = len(taken) if np.abs(taken).max(initial=0) > _QUIET else 0
        return np.pad(taken, (0, count - len(taken))), real


class _Samples:
    """Samples in pieces: first in, first out."""

    def __init__(self) -> None:
        self._pieces: deque[np.ndarray] = deque()
        self.count = 0

    def add(self, samples: np.ndarray) -> None:
        if len(samples):
            self._pieces.append(samples)
            self.count += len(samples)

    def take(self, count: int) -> np.ndarray:
        """At most `count` samples."""
        out: list[np.ndarray] = []
        wanted = min(count, self.count)
        self.count -= wanted
        while wanted > 0:
            piece = self._pieces.popleft()
            out.append(piece[:wanted])
            if len(piece) > wanted:
                self._pieces.appendleft(piece[wanted:])
            wanted -= len(out[-1])
        return np.concatenate([np.zeros(0, np.float32), *out])

    def drop(self, count: int) -> None:
        self.take(max(count, 0))
