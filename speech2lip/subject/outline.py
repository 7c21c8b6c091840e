"""The face's outline in every frame: what lies outside it, collar and background, is not the model's to draw."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from ..facemesh import FACE_OVAL, LIPS
from ..geometry.camera import Poses, relative_transforms, warp_to_observed
from ..geometry.sampling import sample_bilinear
from .records import Subject, Track

_COARSE = 4  # fine pixels per pixel of a face area
_DRAWN = 4  # bits of sub-pixel precision of outlines


def swept_corners(mouth: np.ndarray) -> np.ndarray:
    """Corners [4 K, 2] of the boxes that canonical landmarks [T, K, 2] stay in, but for one frame in a hundred."""
    low, high = np.percentile(mouth, [1, 99], axis=0)
    return np.concatenate([low, high, np.stack([low[:, 0], high[:, 1]], 1), np.stack([high[:, 0], low[:, 1]], 1)])


def swept_width(mouth: np.ndarray) -> float:
    """Width, in canonical pixels, that lips sweep: landmarks [T, K, 2], lips first."""
    low, high = np.percentile(mouth[:, : len(LIPS)], [1, 99], axis=0)
    return float(high[:, 0].max() - low[:, 0].min())


def face_areas(subject: Subject, track: Track, depth: np.ndarray, origins: np.ndarray) -> FaceAreas | None:
    """As of `FaceAreas`; None where the region is not cut at the outline."""
    return FaceAreas(subject, track, depth, origins) if subject.outline else None


class FaceAreas:
    """Soft masks of the face in the compositor's regions.

    The first: what a frame's landmarks enclose, and where lips and chin come to in other frames. It is 1 there and falls to
    0 outside, within `subject.outline` of the lips' width. The second: what the frame's landmarks enclose, alone; it
    falls to 0 inside.
    """

    def __init__(self, subject: Subject, track: Track, depth: np.ndarray, origins: np.ndarray):
        """depth: [S, S] canonical; origins: [T, 2] fine pixel of every frame's region."""
        mouth = track.mouth[track.clear]
        hull = cv2.convexHull(swept_corners(mouth).astype(np.float32))[:, 0].astype(np.float64)
        self._subject, self._origins = subject, origins
        self._landmarks, self._poses = track.landmarks[:, FACE_OVAL], track.poses
        self._hull, self._depth = torch.from_numpy(hull).float(), torch.from_numpy(sample_bilinear(depth, hull)).float()
        self._canonical = track.poses.matrices()[subject.canonical_frame]
        self._reach = subject.outline * swept_width(mouth) * subject.fine_scale / _COARSE

    def __call__(self, frames: np.ndarray) -> Tensor:
        """[B, 2, r, r] float32 in 0..1 of frames [B], in a quarter of the region's resolution."""
        return self.at(self._poses[frames], self._landmarks[frames], self._origins[frames])

    def at(self, poses: Poses, oval: np.ndarray, origins: np.ndarray) -> Tensor:
        """As of frames whose heads stand so; oval: [B, 36, 2] landmarks of the face's outline; origins: [B, 2]."""
        size = self._subject.region_size // _COARSE
        placed = zip(oval, self._swept(poses), origins, strict=True)
        return torch.from_numpy(np.stack([self._area(*one, size) for one in placed])).float() / 255

    def _swept(self, poses: Poses) -> np.ndarray:
        transform = torch.from_numpy(relative_transforms(poses, self._canonical)).float()
        count = len(transform)
        spots = warp_to_observed(
            self._hull.expand(count, -1, -1), self._depth.expand(count, -1), transform, self._subject.camera
        )
        return spots.numpy()

    def _area(self, oval: np.ndarray, swept: np.ndarray, origin: np.ndarray, size: int) -> np.ndarray:
        """[2, size, size] uint8."""
        area, both, reach = np.zeros((size, size), np.uint8), [], max(self._reach / 2, 0.3)
        for points in (oval, swept):
            fine = (points + 0.5) * self._subject.fine_scale - 0.5 - origin
            spots = ((fine + 0.5) / _COARSE - 0.5) * 2**_DRAWN
            hull = cv2.convexHull(spots.round().astype(np.int32))
            cv2.fillConvexPoly(area, hull, 255, cv2.LINE_AA, _DRAWN)
            both.append(cv2.GaussianBlur(area, (0, 0), reach))
        inside, swept_too = both  # at an outline the blurred mask is one half
        within = cv2.subtract(inside, np.full_like(inside, 127))
        return np.stack([cv2.add(swept_too, swept_too), cv2.add(within, within)])
