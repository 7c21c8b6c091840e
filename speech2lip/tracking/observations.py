"""What trackers see of a clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..facemesh import LANDMARKS, interocular
from ..geometry.camera import Intrinsics
from ..shapes import check_shape

Images = Callable[[int], np.ndarray]  # frame index -> RGB uint8 crop


def no_images(frame: int) -> np.ndarray:
    """For fits to landmarks alone."""
    raise LookupError(f"frame {frame} was asked for, but this clip has landmarks only")


@dataclass(frozen=True)
class ClipObservations:
    """A clip of T frames as trackers see it, in crop pixels.

    landmarks: [T, 478, 3] FaceMesh's, any value where unseen; seen: [T] bool, where a face was found;
    segments: ranges [start, end) of frames over which poses may be smoothed (no cut, no long gap
    inside); centre: principal point (x, y); side: longer side of the source image, the scale of the
    focal prior; images: the stored crops.
    """

    landmarks: np.ndarray
    seen: np.ndarray
    segments: Sequence[tuple[int, int]]
    centre: tuple[float, float]
    side: float
    images: Images = no_images

    def __post_init__(self) -> None:
        check_shape("seen", self.seen, None)
        check_shape("landmarks", self.landmarks, len(self.seen), LANDMARKS, 3)
        if any(not 0 <= start < end <= len(self.seen) for start, end in self.segments):
            raise ValueError(f"segments {list(self.segments)} do not lie within {len(self.seen)} frames")

    def __len__(self) -> int:
        return len(self.seen)

    @property
    def iod(self) -> float:
        """Median distance between the outer corners of the eyes, in pixels."""
        return float(np.median(interocular(self.landmarks[self.seen])))

    def seen_where(self, usable: np.ndarray) -> ClipObservations:
        """The same clip with fewer frames seen; usable: [T] bool."""
        return replace(self, seen=self.seen & usable)

    def centred(self, points: np.ndarray) -> np.ndarray:
        """Landmarks `points` [N] of all frames relative to the principal point: [T, N, 2] float64."""
        return self.landmarks[:, points, :2].astype(np.float64) - np.array(self.centre)

    def clouds(self, frames: np.ndarray) -> np.ndarray:
        """FaceMesh's own 3D points of frames [K]: [K, 478, 3] float64."""
        return self.landmarks[frames].astype(np.float64)

    def camera(self, focal: float) -> Intrinsics:
        """The camera of a focal length in pixels."""
        return Intrinsics(focal, float(self.centre[0]), float(self.centre[1]))
