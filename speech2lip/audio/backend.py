"""What every kind of audio features is: `(wav, fps) -> [frames, window, channels]`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..media.sound import SAMPLE_RATE
from .rows import FeatureWindows, Rows, window_offsets


@dataclass(frozen=True)
class Stream:
    """Neighbouring channels that come from one source.

    spectral: they are frequency bands of unit variance, which training may disturb; weight:
    how much is believed of what they say, beside other streams.
    """

    channels: int
    spectral: bool
    weight: float = 1.0


class Collector(Protocol):
    """Hears a 16 kHz waveform in pieces, then gives its rows."""

    def push(self, wav: np.ndarray) -> None:
        """The next samples [N], float in -1..1."""

    def finish(self) -> Rows:
        """Rows of all that was heard: [rows, channels] at their own rate. Called once, at the end."""
        ...


class FeatureBackend(Protocol):
    """Turns sound into one window of features per video frame.

    `window` rows by `channels`, `offsets` [window] seconds from the frame's time; `silence`,
    one number or [channels], is a row of silence, used where a window reaches beyond a cut;
    `streams` divide the channels; `params()` identifies the features: a subject and a
    checkpoint carry it, and rendering refuses another. `rows` takes 16 kHz sound in pieces
    of any length, and gives rows for each stream.
    """

    window: int
    step: float
    channels: int

    @property
    def silence(self) -> float | np.ndarray:
        """What a row of silence holds: one number, or [channels] float32."""
        ...

    @property
    def streams(self) -> tuple[Stream, ...]:
        """What the channels consist of, in their order."""
        ...

    @property
    def offsets(self) -> np.ndarray:
        """[window] seconds from a frame's time to the rows of its window, float64."""
        ...

    def rows(self, pieces: Iterable[np.ndarray]) -> list[Rows]:
        """Rows of each stream, [rows, its channels] float32, of 16 kHz sound in pieces [N] of any length."""
        ...

    def __call__(self, wav: np.ndarray, fps: float) -> np.ndarray:
        """wav: float [samples] at 16 kHz -> float32 [frames, window, channels], frames = round(seconds * fps)."""
        ...

    def params(self) -> dict[str, Any]:
        """What identifies the features, as JSON holds it; `features.backend_from_params` is its inverse."""
        ...


class Backend:
    """What backends of one stream share."""

    name = ""
    channels = 0
    silence: float = 0.0
    spectral = False
    weight = 1.0

    def __init__(self, window: int, step: float):
        self.window, self.step = window, step
        self.ahead: float | None = None  # seconds to which windows reach after their frame; None: half of them

    @property
    def streams(self) -> tuple[Stream, ...]:
        return (Stream(self.channels, self.spectral, self.weight),)

    @property
    def offsets(self) -> np.ndarray:
        return window_offsets(self.window, self.step, ahead=self.ahead)

    def params(self) -> dict[str, Any]:
        found = {"backend": self.name, "window": self.window, "step": self.step, "channels": self.channels}
        return found if self.ahead is None else {**found, "ahead": self.ahead}

    def collector(self) -> Collector:
        return _Whole(self)

    def rows(self, pieces: Iterable[np.ndarray]) -> list[Rows]:
        collector = self.collector()
        for piece in pieces:
            collector.push(piece)
        return [collector.finish()]

    def rows_of_whole(self, wav: np.ndarray) -> Rows:
        """Rows of a waveform [N], for backends that need all of it."""
        raise NotImplementedError

    def __call__(self, wav: np.ndarray, fps: float) -> np.ndarray:
        """wav: float [samples] 16 kHz -> float32 [frames, window, channels], frames = round(seconds * fps)."""
        return FeatureWindows(tuple(self.rows([wav])), fps, frame_count(len(wav), fps), self.offsets)[:]


class Joined:
    """Several backends' features side by side, of the same windows.

    Each part stays a stream of its own, so that a model can ask each what it hears.
    """

    def __init__(self, parts: list[Backend]):
        self.parts = parts
        self.window, self.step = parts[0].window, parts[0].step
        self.channels = sum(part.channels for part in parts)
        self.silence = np.repeat(
            np.array([part.silence for part in parts], np.float32), [part.channels for part in parts]
        )

    @property
    def streams(self) -> tuple[Stream, ...]:
        return tuple(stream for part in self.parts for stream in part.streams)

    @property
    def offsets(self) -> np.ndarray:
        return self.parts[0].offsets

    def params(self) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for part in self.parts:
            merged |= part.params()
        return merged | {"backend": "+".join(part.name for part in self.parts), "channels": self.channels}

    def rows(self, pieces: Iterable[np.ndarray]) -> list[Rows]:
        collectors = [part.collector() for part in self.parts]
        for piece in pieces:
            for collector in collectors:
                collector.push(piece)
        return [collector.finish() for collector in collectors]

    __call__ = Backend.__call__  # the same windows of rows


class _Whole:
    """Keeps the sound until its end."""

    def __init__(self, backend: Backend):
        self._backend = backend
        self._pieces: list[np.ndarray] = []

    def push(self, wav: np.ndarray) -> None:
        self._pieces.append(wav)

    def finish(self) -> Rows:
        return self._backend.rows_of_whole(np.concatenate(self._pieces))


def frame_count(samples: int, fps: float) -> int:
    """Video frames that so many samples at 16 kHz last."""
    return round(samples / SAMPLE_RATE * fps)
