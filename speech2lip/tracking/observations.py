"""What trackers see of a clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..facemesh import LANDMARKS, interocular

Images = Callable[[int], np.ndarray]  # frame index -> RGB uint8 crop


def no_images(frame: int) -> np.ndarray:
    """For fits to landmarks alone."""
    raise LookupError(f"frame {frame} was asked for, but this clip has landmarks only")


@dataclass(frozen=True)
class ClipObservations:
    """A clip as trackers see it, in crop pixels.

    landmarks: [T, 478, 2 or 3] FaceMesh's; seen: [T] bool, where a face was found; segments: ranges
    [start, end) of frames over which poses may be smoothed (no cut, no long gap inside); centre:
    principal point (x, y); side: longer side of the source image, the scale of the focal prior;
    images: the stored crops.
    """

    landmarks: np.ndarray
    seen: np.ndarray
    segments: Sequence[tuple[int, int]]
    centre: tuple[float, float]
    side: float
    images: Images = no_images

    def __post_init__(self) -> None:
        frames = len(self.seen)
        if self.landmarks.shape[:2] != (frames, LANDMARKS) or self.landmarks.shape[2] not in (2, 3):
            raise ValueError(f"landmarks are {self.landmarks.shape}, needed is ({frames}, {LANDMARKS}, 2 or 3)")
        if any(not 0 <= start < end <= frames for start, end in self.segments):
            raise ValueError(f"segments {list(self.segments)} do not lie within {frames} frames")

    @property
    def iod(self) -> float:
        """Median distance between the outer corners of the eyes, in pixels."""
        return float(np.median(interocular(self.landmarks[self.seen])))

    def seen_where(self, usable: np.ndarray) -> ClipObservations:
        """The same clip with fewer frames seen; usable: [T] bool."""
        return replace(self, seen=self.seen & usable)
