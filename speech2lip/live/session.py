"""One face, live: sound in as it comes, frames and the same sound out in step, at the clip's own rate.

The session has no clock. `advance` lets a moment pass: so much sound is taken from what waits, and silence where nothing does.
So frames never stop: while nobody speaks, the clip goes on, and its mouth rests.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..config import Settings
from ..media.sound import SAMPLE_RATE
from ..media.yuv import Overlay
from ..rendering.hearing import LiveHearing, live_painter
from ..rendering.label import label_overlay, labelled
from ..rendering.paste import Rendered
from ..rendering.predictor import LivePainter, Predictor
from ..rendering.silence import HeardSpeech
from .speech import SpeechQueue

MOMENT = 0.02  # seconds that `advance` lets pass by default
_AHEAD = 0.2  # seconds before sound from which the mouth is its own: it opens before it sounds
_HELD = 0.15  # seconds after sound until which it is
# That share changes so much per second: towards speech, to rest, and to rest when interrupted.
_RISES, _FALLS, _STOPS = 12.5, 5.0, 10.0
_FADE = SAMPLE_RATE // 100  # samples over which interrupted sound ends


@dataclass(frozen=True)
class Shown:
    """A frame and its sound.

    number: of the frame, from 0; sound: float32 [samples], 16 kHz, of the frame's duration; spoken: whether any of it came from
    outside, and is no silence in between; latency: seconds from the moment at which the frame's first sample was taken.
    """

    number: int
    frame: Rendered
    sound: np.ndarray
    spoken: bool
    latency: float
    overlay: Overlay | None = None

    @cached_property
    def image(self) -> np.ndarray:
        """RGB uint8 [H, W, 3], with the mark where one is wanted (`render.label`)."""
        image = labelled(self.frame.image, self.overlay)
        assert isinstance(image, np.ndarray)
        return image


class LiveSession:
    """Frames for sound, while it comes. One thread advances it (or one listens and one paints); others may `say`, `hear` and `interrupt`."""

    def __init__(
        self, hearing: LiveHearing, painter: LivePainter, fps: float, size: tuple[int, int], overlay: Overlay | None = None
    ):  # fmt: skip
        """fps, size (width, height): of the frames; overlay: a mark on each of them. See `open_session`."""
        self.fps, self.size = fps, size
        self.speech = SpeechQueue()
        self._hearing, self._painter, self._overlay = hearing, painter, overlay
        self._sound, self._dropped = np.zeros(0, np.float32), 0  # dropped: samples before the first of `_sound`
        self._spoken: deque[tuple[int, int]] = (
            deque()
        )  # [start, end) samples that came from outside, as long as they count
        self._number = self._decided = 0  # frames that left, and those whose presence is decided
        self._share, self._stops = 0.0, 0  # how far the mouth is its own; frames until when it is closed quickly
        self._interrupted = False
        self._lock = threading.Lock()  # of sound that was taken and is not shown yet

    @property
    def seconds(self) -> float:
        """That have passed."""
        return self._hearing.seconds

    def say(self, sound: np.ndarray) -> None:
        """As of `SpeechQueue.say`."""
        self.speech.say(sound)

    def hear(self, sound: np.ndarray) -> None:
        """As of `SpeechQueue.hear`."""
        self.speech.hear(sound)

    def interrupt(self) -> float:
        """Say nothing more: what waits is forgotten, and the mouth is at rest within a few frames. Returns the seconds of sound
        that were left out."""
        left = self.speech.clear()
        self._interrupted = True
        return left

    def advance(self, seconds: float = MOMENT) -> Iterator[Shown]:
        """Let time pass; the frames that became ready. They are ready `lookahead` of the features after their moment."""
        return self.paint(self.listen(seconds))

    def listen(self, seconds: float = MOMENT) -> HeardSpeech:
        """The first half of `advance`: what is to be painted. One thread may listen while another paints what was heard before."""
        with self._lock:
            if self._interrupted:
                self._interrupted = False
                self._break_off()
            taken, real = self.speech.take(round(seconds * SAMPLE_RATE))
            at = self._dropped + len(self._sound)
            if real:
                self._remember(at, at + real)
            self._sound = np.concatenate([self._sound, taken])
        heard = self._hearing.push(taken)
        with self._lock:
            own = self._presence(len(heard))
        return HeardSpeech(heard.windows, np.minimum(heard.presence, own))

    def paint(self, heard: HeardSpeech) -> Iterator[Shown]:
        """The second half."""
        for frame in self._painter.paint(heard):
            with self._lock:
                shown = self._shown(frame)
            yield shown

    def close(self) -> None:
        self._painter.close()

    def _remember(self, start: int, end: int) -> None:
        if self._spoken and self._spoken[-1][1] == start:
            start = self._spoken.pop()[0]
        self._spoken.append((start, end))

    def _break_off(self) -> None:
        """What was taken and is not shown yet is silent from now on, after a short fade."""
        count = min(_FADE, len(self._sound))
        self._sound[:count] *= np.linspace(1, 0, count, dtype=np.float32)
        self._sound[count:] = 0
        self._spoken.clear()
        self._stops = self._decided + round(self.fps)

    def _presence(self, count: int) -> np.ndarray:
        """How far the next `count` frames belong to sound that came from outside, [count] in 0..1."""
        out = np.empty(count, np.float32)
        for k in range(count):
            first, last = ((self._decided / self.fps + d) * SAMPLE_RATE for d in (-_HELD, _AHEAD))
            wanted = float(any(start < last and end > first for start, end in self._spoken))
            falls = _STOPS if self._decided < self._stops else _FALLS
            low, high = self._share - falls / self.fps, self._share + _RISES / self.fps
            out[k] = self._share = min(max(wanted, low), high)
            self._decided += 1
        return out

    def _shown(self, frame: Rendered) -> Shown:
        start, stop = (round(number / self.fps * SAMPLE_RATE) for number in (self._number, self._number + 1))
        sound = self._sound[start - self._dropped : stop - self._dropped]
        spoken = any(first < stop and last > start for first, last in self._spoken)
        self._sound, self._dropped = self._sound[stop - self._dropped :].copy(), stop
        while self._spoken and self._spoken[0][1] < stop - 2 * _HELD * SAMPLE_RATE:
            self._spoken.popleft()
        self._number += 1
        latency = time.monotonic() - self._hearing.arrival(start / SAMPLE_RATE)
        return Shown(self._number - 1, frame, sound, spoken, latency, self._overlay)


@contextmanager
def open_session(
    model: Path, root: Path | None = None, device: str = "auto", first: int = 0, settings: Settings | None = None
) -> Iterator[LiveSession]:
    """A session with a person. While the block runs, nobody writes the subject's folder.

    first: source frame to begin on; settings: keys of section `render` to change. UserError for models whose features need
    the whole sound.
    """
    with Predictor.reading(model, root, device, settings) as predictor:
        hearing = LiveHearing.of(predictor, "train")
        painter, _ = live_painter(predictor, first)
        overlay = label_overlay(predictor.config.render.label, predictor.subject.size)
        with closing(LiveSession(hearing, painter, predictor.subject.fps, predictor.subject.size, overlay)) as session:
            yield session
