"""Rendering while the audio arrives: frames leave a bounded time after their sound."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio.features import backend_from_params
from ..audio.live import LiveFeatures, can_be_live
from ..errors import UserError
from ..media.encode import LiveWriter
from ..media.sound import SAMPLE_RATE, stream_audio
from .predictor import Predictor


@dataclass(frozen=True)
class LiveReport:
    """frames; seconds of work, without waiting for sound; latency [N] of every frame: seconds from the
    arrival of the sound at the frame's time to the frame's leaving."""

    frames: int
    busy: float
    latency: np.ndarray

    def __str__(self) -> str:
        middle, most = np.percentile(self.latency, [50, 95]) * 1000
        return (
            f"{self.frames} frames, latency {middle:.0f} ms (95 % within {most:.0f} ms), "
            f"able to sustain {self.frames / max(self.busy, 1e-9):.0f} frames per second"
        )


def render_live(
    model: Path, root: Path | None, sound: Iterable[np.ndarray], out: str, device: str = "auto", first: int = 0
) -> LiveReport:
    """Paint frames for `sound` (16 kHz pieces, as they arrive) into `out` (see `LiveWriter`).

    Only mel and Moonshine features can be made while sound arrives; others need the whole file.
    """
    predictor = Predictor.open(model, root, device)
    backend = backend_from_params(dict(predictor.metadata.audio))
    if not can_be_live(backend):
        raise UserError(
            f"audio.backend={predictor.metadata.audio['backend']} needs the whole file: render without --stream, or train with "
            "audio.backend=mel+moonshine"
        )
    fps = predictor.subject.fps
    latency: list[float] = []
    with LiveWriter(out, fps) as writer:
        ears = _SoundBuffer(sound, LiveFeatures(backend, fps, stream_audio(predictor.layout.audio)), writer)
        loop, begin = predictor.walk(first, 2 * predictor.subject.frames)  # without end
        for number, frame in enumerate(predictor.render_live(ears.windows(), begin, loop)):
            writer.write(frame.image)
            latency.append(time.monotonic() - ears.arrival(number / fps))
        started = time.monotonic()
    busy = ears.busy + time.monotonic() - started
    return LiveReport(len(latency), busy, np.array(latency))


class _SoundBuffer:
    """Passes sound on to the features and to the writer, and remembers when it came."""

    def __init__(self, sound: Iterable[np.ndarray], features: LiveFeatures, writer: LiveWriter):
        self._sound, self._features, self._writer = iter(sound), features, writer
        self._samples: list[int] = []
        self._times: list[float] = []
        self.busy = 0.0

    def windows(self) -> Iterator[np.ndarray]:
        while True:
            piece = next(self._sound, None)
            now = time.monotonic()
            if piece is not None:
                self._writer.hear(piece)
                ready = self._features.push(piece)
                self._samples.append(self._features.samples)
                self._times.append(now)
            else:
                ready = self._features.finish()
            yield ready
            self.busy += time.monotonic() - now
            if piece is None:
                return

    def arrival(self, seconds: float) -> float:
        """When the sound at a time of the stream came."""
        place = min(bisect_left(self._samples, seconds * SAMPLE_RATE), len(self._times) - 1)
        return self._times[place]
