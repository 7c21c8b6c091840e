"""Rendering while the audio arrives: frames leave a bounded time after their sound."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..audio.live import LiveFeatures
from ..audio.voice_activity import LiveAttention
from ..background import Gathered, Worker
from ..config import Settings
from ..errors import UserError
from ..media.encode import LiveWriter
from ..media.yuv import Overlay
from ..model.device import Shares
from .hearing import LiveHearing, live_painter
from .label import label_overlay, labelled
from .output import check_output
from .predictor import LivePainter, Predictor
from .silence import HeardSpeech

_BEHIND = 2  # pieces of sound that may wait for being painted
REMEMBERED = 90_000  # frames whose latency is kept: an hour of them


@dataclass(frozen=True)
class LiveReport:
    """frames; busy: seconds of work, without waiting, of whoever has more of it, listening or painting; latency [N] of the
    last hour's frames: seconds from the arrival of the sound at the frame's time to the frame's leaving; dropped: frames whose
    sound had come and that were not painted, because of an interruption; interrupted: by Ctrl-C."""

    frames: int
    busy: float
    latency: np.ndarray
    dropped: int = 0
    interrupted: bool = False

    def __str__(self) -> str:
        dropped = f", {self.dropped} dropped" if self.interrupted else ""
        if not self.frames:
            return f"0 frames{dropped}"
        middle, most = np.percentile(self.latency, [50, 95]) * 1000
        return (
            f"{self.frames} frames{dropped}, latency {middle:.0f} ms (95 % within {most:.0f} ms), "
            f"able to sustain {self.frames / max(self.busy, 1e-9):.0f} frames per second"
        )


def render_live(
    model: Path, root: Path | None, sound: Iterable[np.ndarray], out: str, device: str = "auto", first: int = 0,
    settings: Settings | None = None,
) -> LiveReport:  # fmt: skip
    """Paint frames for `sound` (16 kHz pieces, as they arrive) into `out` (see `LiveWriter`).

    Ctrl-C ends the video after the last painted frame; a second one ends at once. Time per frame and memory do
    not depend on how long it has run. Only mel and Moonshine features can be made while sound arrives; others
    need the whole file. settings: keys of section `render` to change. What is written so has no content credentials: a
    signature is of a whole file, and the reader of a stream has its beginning already.
    """
    with Predictor.reading(model, root, device, settings) as predictor:
        check_output(Path(out), *predictor.read, live=True)
        predictor.check_start(first)
        return _render_live(predictor, sound, out, first)


def _render_live(predictor: Predictor, sound: Iterable[np.ndarray], out: str, first: int) -> LiveReport:
    hearing = LiveHearing.of(predictor, "render without --stream, or train")
    fps = predictor.subject.fps
    shares = Shares.of(predictor.device, at_most=2)  # one listens, one paints
    painter, note = live_painter(predictor, first)
    if note:
        print(note, file=sys.stderr)
    with closing(painter), shares.restored():
        shares.begin()
        overlay = label_overlay(predictor.config.render.label, predictor.subject.size)
        painting = _Painting(fps, painter, shares, overlay)
        try:
            with LiveWriter(out, fps, colour=predictor.colour) as writer:
                buffer = _SoundBuffer(sound, hearing.features, writer, hearing.attention)
                painting.run(writer, buffer)
                started = time.monotonic()
        except (UserError, OSError):  # an encoder that the same Ctrl-C ended, or that got no frame
            if not painting.interrupted:
                raise
    return painting.report(buffer, time.monotonic() - started)


class _Painting:
    """Frames on their way to the writer, painted in a thread while the next sound is listened to, and what is known of them."""

    def __init__(self, fps: float, painter: LivePainter, shares: Shares, overlay: Overlay | None):
        self._fps, self._painter, self._shares, self._overlay = fps, painter, shares, overlay
        self._latency: deque[float] = deque(maxlen=REMEMBERED)
        self.frames, self.interrupted, self._busy = 0, False, 0.0

    def run(self, writer: LiveWriter, ears: _SoundBuffer) -> None:
        """Until the sound ends, or Ctrl-C."""
        worker = Worker(_BEHIND)
        try:
            try:
                worker.do(self._shares.begin)
                heard = Gathered(worker, partial(self._paint, writer, ears))
                for windows in ears.windows():
                    heard.add(windows)
                worker.finish()
            except KeyboardInterrupt:
                self.interrupted = True
                writer.hurry()
                worker.finish()  # what was heard is painted, also then
        finally:
            worker.abandon()

    def _paint(self, writer: LiveWriter, ears: _SoundBuffer, heard: list[HeardSpeech]) -> None:
        begun = time.monotonic()
        for frame in self._painter.paint(HeardSpeech.joined(heard)):
            writer.write(labelled(frame.written, self._overlay))
            self._latency.append(time.monotonic() - ears.arrival(self.frames / self._fps))
            self.frames += 1
        self._busy += time.monotonic() - begun

    def report(self, ears: _SoundBuffer, closing_time: float) -> LiveReport:
        heard = round(ears.seconds * self._fps)
        dropped = max(heard - self.frames, 0) if self.interrupted else 0
        busy = max(ears.busy, self._busy) + closing_time
        return LiveReport(self.frames, busy, np.array(self._latency), dropped, self.interrupted)


class _SoundBuffer:
    """Passes sound on to who hears it and to the writer.

    attention: None where silence is like any other sound.
    """

    def __init__(
        self,
        sound: Iterable[np.ndarray],
        features: LiveFeatures,
        writer: LiveWriter,
        attention: LiveAttention | None = None,
    ):
        self._sound, self._writer, self._hearing = iter(sound), writer, LiveHearing(features, attention)
        self.busy = 0.0

    @property
    def seconds(self) -> float:
        """Of sound so far."""
        return self._hearing.seconds

    @property
    def _arrivals(self) -> deque[tuple[int, float]]:
        return self._hearing.arrivals

    def windows(self) -> Iterator[HeardSpeech]:
        while True:
            piece = next(self._sound, None)
            now = time.monotonic()
            if piece is not None:
                self._writer.hear(piece)
                ready = self._hearing.push(piece, now)
            else:
                ready = self._hearing.finish()
            self.busy += time.monotonic() - now
            yield ready
            if piece is None:
                return

    def arrival(self, seconds: float) -> float:
        """When the sound at a time of the stream came; times are asked for in their order."""
        return self._hearing.arrival(seconds)
