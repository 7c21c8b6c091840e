"""What findings are made of: everything that was measured of a clip, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..media.coding import Coding
from ..media.facts import VideoFacts
from ..subject.records import ClipLandmarks


@dataclass(frozen=True)
class Pixels:
    """What the stored head squares show, one value per frame [T] float64 (NaN in `face_*` without a face).

    luma: mean brightness of the square, 0..255; face_luma: median of the face; face_low, face_high: its 5th and 95th
    percentile; face_burnt: share of its pixels at the upper end of the range; change: mean absolute difference of
    brightness to the frame before (0 in frame 0).
    """

    luma: np.ndarray
    face_luma: np.ndarray
    face_low: np.ndarray
    face_high: np.ndarray
    face_burnt: np.ndarray
    change: np.ndarray


@dataclass(frozen=True)
class Channels:
    """A sound's channels as they are stored. energy: [C, C] sums of products of channels; clipped: share of the samples
    that stand, in a row, at the largest value; seconds: length."""

    energy: np.ndarray
    clipped: float
    seconds: float


@dataclass(frozen=True)
class Material:
    """Everything that was measured of one clip.

    name: the file, as the user knows it; fps: frames per second of the subject; video: facts of the file; clip:
    landmarks; octaves: [N, 3] detail of N sampled faces, at full, half and quarter size (`face.octave_detail`);
    hidden: [T] bool, something is in front of the mouth (None: not known without a finished subject); crowd: [K, 2] of
    sampled frames their number and how many faces each shows; coding: how the picture is compressed; wav: [N] 16 kHz
    mono; channels: of the sound as it is stored.
    """

    name: str
    fps: float
    video: VideoFacts
    clip: ClipLandmarks
    pixels: Pixels
    octaves: np.ndarray
    hidden: np.ndarray | None
    crowd: np.ndarray
    coding: Coding
    wav: np.ndarray
    channels: Channels

    @property
    def clear(self) -> np.ndarray:
        """Frames [T] bool whose mouth is seen, as far as is known."""
        return self.clip.seen if self.hidden is None else self.clip.seen & ~self.hidden
