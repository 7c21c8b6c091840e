"""Rendering while the audio arrives: frames leave a bounded time after their sound."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .audio.features import backend_from_params
from .audio.live import LiveFeatures, can_be_live
from .audio.waveform import SAMPLE_RATE, stream_audio
from .checkpoint import load_checkpoint
from .errors import UserError
from .layout import SubjectLayout
from .predictor import Predictor
from .video import LiveWriter

_READ = 1280  # bytes of 16-bit sound at once: one frame at 25 per second
_POLL = 0.01  # seconds between looks at a file that may grow
_RATE = SAMPLE_RATE.to_bytes(4, "little")


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
    checkpoint_path: Path, root: Path, sound: Iterable[np.ndarray], out: str, device: str = "auto", first: int = 0
) -> LiveReport:
    """Paint frames for `sound` (16 kHz pieces, as they arrive) into `out` (see `LiveWriter`).

    Only mel and Moonshine features can be made while sound arrives; others need the whole file.
    """
    predictor = Predictor(load_checkpoint(checkpoint_path), SubjectLayout(root), device)
    backend = backend_from_params(dict(predictor.facts.audio))
    if not can_be_live(backend):
        raise UserError(
            f"audio.backend={predictor.facts.audio['backend']} needs the whole file: render without --stream, or train with "
            "audio.backend=mel+moonshine"
        )
    fps = predictor.subject.fps
    latency: list[float] = []
    with LiveWriter(out, fps) as writer:
        ears = _Ears(sound, LiveFeatures(backend, fps, stream_audio(predictor.layout.audio)), writer)
        for number, frame in enumerate(predictor.render_live(ears.windows(), first)):
            writer.write(frame.image)
            latency.append(time.monotonic() - ears.arrival(number / fps))
        started = time.monotonic()
    busy = ears.busy + time.monotonic() - started
    return LiveReport(len(latency), busy, np.array(latency))


class _Ears:
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


# ---------------------------------------------------------------- where sound comes from


def sound_of_stream(descriptor: int) -> Iterator[np.ndarray]:
    """16-bit mono PCM at 16 kHz from a file descriptor (such as standard input), until its end."""
    rest = b""
    while data := os.read(descriptor, _READ):
        data = rest + data
        whole = len(data) // 2 * 2
        rest = data[whole:]
        yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768


def sound_of_growing_file(path: Path, patience: float = 2.0) -> Generator[np.ndarray, None, None]:
    """A 16 kHz, 16-bit mono WAV or raw PCM file that is still being written; it has ended when it has not
    grown for `patience` seconds."""
    try:
        stream = open(path, "rb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): give a growing file, or - for sound on standard input"
        ) from error
    with stream:
        grown, rest, started = time.monotonic(), b"", False
        while time.monotonic() - grown < patience:
            data = stream.read(_READ)
            if not data:
                time.sleep(_POLL)
                continue
            grown = time.monotonic()
            data = rest + data
            if not started and data[:4] == b"RIFF":
                if len(data) < 4096 and b"data" not in data:
                    rest = data
                    continue
                data = _after_header(data, path)
            started = True
            whole = len(data) // 2 * 2
            rest = data[whole:]
            if whole:
                yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768


def _after_header(data: bytes, path: Path) -> bytes:
    """What follows a WAV header, if its format is the one that streams have."""
    format_at, data_at = data.find(b"fmt "), data.find(b"data")
    if format_at < 0 or data_at < 0:
        raise UserError(f"{path} is no WAV file that can be read while it grows: write 16 kHz, 16-bit mono PCM")
    body = data[format_at + 8 :]
    if body[:2] != b"\x01\x00" or body[2:4] != b"\x01\x00" or body[4:8] != _RATE or body[14:16] != b"\x10\x00":
        rate, channels, bits = (int.from_bytes(b, "little") for b in (body[4:8], body[2:4], body[14:16]))
        raise UserError(
            f"{path} has {channels} channels of {bits} bits at {rate} Hz: live sound must be 16-bit mono at 16000 Hz "
            "(`ffmpeg -i SOURCE -f s16le -ar 16000 -ac 1 - | speech2lip render --stream --audio - ...`)"
        )
    return data[data_at + 8 :]
