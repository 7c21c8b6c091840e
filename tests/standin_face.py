"""A face whose hearing and painting are stand-ins: what comes out says what went in."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from speech2lip.live.session import LiveSession
from speech2lip.media.sound import SAMPLE_RATE
from speech2lip.rendering.hearing import LiveHearing

AHEAD = 0.15  # seconds that the stand-in waits for


class Features:
    """Windows that hold the frame's number, ready `AHEAD` after it."""

    def __init__(self, fps: float):
        self.fps, self.samples, self._frame = fps, 0, 0

    def push(self, wav):
        self.samples += len(wav)
        stop = max(int(np.floor((self.samples / SAMPLE_RATE - AHEAD) * self.fps + 1e-9)) + 1, self._frame)
        frames, self._frame = np.arange(self._frame, stop), stop
        return np.broadcast_to(frames[:, None, None], (len(frames), 2, 3)).astype(np.float32)


class Painter:
    """Frames whose picture holds how far the mouth is its own."""

    def __init__(self, size: tuple[int, int]):
        self.closed, self._size = False, size

    def paint(self, heard):
        for share in heard.presence:
            yield SimpleNamespace(image=np.full((*self._size[::-1], 3), round(255 * float(share)), np.uint8))

    def close(self):
        self.closed = True


def standin_session(fps: float = 25.0, size: tuple[int, int] = (2, 2)) -> LiveSession:
    return LiveSession(LiveHearing(Features(fps)), Painter(size), fps, size)
