"""What is heard of sound that arrives, and who paints it: for videos that are written live, and for conversations."""

from __future__ import annotations

import time
from collections import deque

import numpy as np

from ..audio.features import backend_from_params
from ..audio.live import LiveFeatures, can_be_live
from ..audio.voice_activity import LiveAttention
from ..errors import UserError
from ..media.sound import SAMPLE_RATE, stream_audio
from .predictor import LivePainter, Predictor
from .silence import HeardSpeech


class LiveHearing:
    """16 kHz sound in as it comes, speech of the frames that became ready out.

    attention: None where silence is like any other sound.
    """

    def __init__(self, features: LiveFeatures, attention: LiveAttention | None = None):
        self.features, self.attention = features, attention
        self.arrivals: deque[tuple[int, float]] = deque()  # samples so far, and when they came

    @classmethod
    def of(cls, predictor: Predictor, otherwise: str) -> LiveHearing:
        """For a model. UserError where its features need the whole sound; otherwise: what can be done then, such as "train"."""
        backend = backend_from_params(dict(predictor.metadata.audio))
        if not can_be_live(backend):
            raise UserError(
                f"audio.backend={predictor.metadata.audio['backend']} needs the whole file: {otherwise} with audio.backend=mel+moonshine"
            )
        fps = predictor.subject.fps
        known = stream_audio(predictor.layout.audio)
        features = LiveFeatures(backend, fps, known, predictor.config.render.early)
        return cls(features, LiveAttention(fps) if predictor.rest is not None else None)

    @property
    def seconds(self) -> float:
        """Of sound so far."""
        return self.features.samples / SAMPLE_RATE

    def push(self, wav: np.ndarray, arrived: float | None = None) -> HeardSpeech:
        """More samples, float32 [N] in [-1, 1]; arrived: when (default: now), of `time.monotonic`."""
        now = time.monotonic() if arrived is None else arrived
        if self.attention is not None:
            self.attention.hear(wav)
        ready = self.features.push(wav)
        self.arrivals.append((self.features.samples, now))
        return self._heard(ready)

    def finish(self) -> HeardSpeech:
        """The frames that are left when the sound ends."""
        return self._heard(self.features.finish())

    def arrival(self, seconds: float) -> float:
        """When the sound at a time of the stream came; times are asked for in their order."""
        while len(self.arrivals) > 1 and self.arrivals[0][0] < seconds * SAMPLE_RATE:
            self.arrivals.popleft()
        return self.arrivals[0][1]

    def _heard(self, windows: np.ndarray) -> HeardSpeech:
        count = len(windows)
        presence = np.ones(count, np.float32) if self.attention is None else self.attention.next(count)
        return HeardSpeech(windows, presence)


def live_painter(predictor: Predictor, first: int) -> tuple[LivePainter, str]:
    """Who paints without end from source frame `first` on, as section `render` of the configuration says, and a sentence about
    what it cannot do ("" where there is nothing to say)."""
    predictor.check_start(first)
    loop, begin = predictor.walk(first, 2 * predictor.subject.frames)
    posing = predictor.posing(first, loop)
    return LivePainter(predictor, begin, loop, posing), "" if posing is None else posing.note
