"""The face's outline in every frame: what lies outside it, collar and background, is not the model's to draw."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from ..facemesh import FACE_OVAL, LIPS, MOUTH
from ..geometry.camera import Poses, relative_transforms, warp_to_observed
from ..geometry.sampling import sample_bilinear
from .records import Subject, Track

_COARSE = 4  # fine pixels per pixel of a face area
_DRAWN = 4  # bits of sub-pixel precision of outlines
# Which landmarks of the chin the outline's points move with, and how far: the jaw turns about its joints near the ears.
_CARRIED = {
    152: (152, 1.0), 148: (148, 1.0), 377: (377, 1.0), 176: (176, 1.0), 400: (400, 1.0),
    149: (176, 0.9), 378: (400, 0.9), 150: (176, 0.75), 379: (400, 0.75), 136: (176, 0.5), 365: (400, 0.5), 172: (176, 0.2), 397: (400, 0.2),
}  # fmt: skip
_LEAST, _PLAIN = 0.1, 0.3  # two blurred outlines' difference from which on the jaw is elsewhere, and wholly so
_WIDER = 3.5  # half widths of the soft edge by which what lies between both jaws is taken wider


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
    falls to 0 inside. Where the wanted jaw lies elsewhere than the frame's, both are 1 in what lies between, and a little around it: the edge of
    the frame's own jaw must not stay.
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
        self._chin = torch.from_numpy(mouth.mean(0)[_CHIN]).float()
        self._chin_depth = torch.from_numpy(sample_bilinear(depth, mouth.mean(0)[_CHIN])).float()

    def __call__(self, frames: np.ndarray, moved: Tensor | None = None) -> Tensor:
        """[B, 2, r, r] float32 in 0..1 of frames [B], in a quarter of the region's resolution; moved: as of `at`."""
        return self.at(self._poses[frames], self._landmarks[frames], self._origins[frames], moved)

    def at(self, poses: Poses, oval: np.ndarray, origins: np.ndarray, moved: Tensor | None = None) -> Tensor:
        """As of frames whose heads stand so; oval: [B, 36, 2] landmarks of the face's outline; origins: [B, 2]; moved: [B, K, 2] canonical
        pixels from where the mouth's landmarks are in these frames to where they are wanted; None: nowhere."""
        size = self._subject.region_size // _COARSE
        transform = torch.from_numpy(relative_transforms(poses, self._canonical)).float()
        swept = self._seen(self._hull.expand(len(oval), -1, -1), self._depth, transform)
        wanted = oval if moved is None else oval + self._carried(moved, transform)
        placed = zip(oval, wanted, swept, origins, strict=True)
        return torch.from_numpy(np.stack([self._area(*one, size) for one in placed])).float() / 255

    def _seen(self, spots: Tensor, depth: Tensor, transform: Tensor) -> np.ndarray:
        """Where canonical pixels [B, N, 2] of depth [N] lie in frames."""
        depth = depth.expand(len(spots), -1)
        return warp_to_observed(spots, depth, transform, self._subject.camera).numpy()

    def _carried(self, moved: Tensor, transform: Tensor) -> np.ndarray:
        """How far the outline's points move in frames, [B, 36, 2], where landmarks of mouth and chin move so."""
        chin = self._chin + moved[:, _CHIN].float().cpu()
        before = self._seen(self._chin.expand(len(chin), -1, -1), self._chin_depth, transform)
        return _WITH_CHIN @ (self._seen(chin, self._chin_depth, transform) - before)

    def _area(
        self, oval: np.ndarray, wanted: np.ndarray, swept: np.ndarray, origin: np.ndarray, size: int
    ) -> np.ndarray:
        """[2, size, size] uint8."""
        reach = max(self._reach / 2, 0.3)
        area = self._filled(np.zeros((size, size), np.uint8), oval, origin)
        inside = _blurred(area, reach)
        swept_too = _blurred(self._filled(area, swept, origin), reach)  # at an outline a blurred mask is one half
        within = cv2.subtract(inside, np.full_like(inside, 127))
        masks = np.stack([cv2.add(swept_too, swept_too), cv2.add(within, within)])
        if wanted is oval or np.abs(wanted - oval).max() * self._subject.fine_scale < _LEAST * _COARSE * reach:
            return masks
        other = _blurred(self._filled(np.zeros((size, size), np.uint8), wanted, origin), reach)
        apart = (cv2.absdiff(inside, other).astype(np.float32) / 255 - _LEAST) / (_PLAIN - _LEAST)
        side = 2 * max(round(_WIDER * reach), 1) + 1
        apart = cv2.dilate(apart.clip(0, 1), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
        return np.maximum(masks, (255 * cv2.GaussianBlur(apart, (0, 0), reach)).astype(np.uint8))

    def _filled(self, area: np.ndarray, points: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """The area [size, size] uint8, and in it the hull of points [N, 2] of the crop."""
        fine = (points + 0.5) * self._subject.fine_scale - 0.5 - origin
        spots = ((fine + 0.5) / _COARSE - 0.5) * 2**_DRAWN
        cv2.fillConvexPoly(area, cv2.convexHull(spots.round().astype(np.int32)), 255, cv2.LINE_AA, _DRAWN)
        return area


def _blurred(area: np.ndarray, reach: float) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(area, (0, 0), reach))


def _with_chin() -> np.ndarray:
    """[36, chin points] how far every point of the outline goes along with those of the chin that lie on it."""
    out = np.zeros((len(FACE_OVAL), len(_CHIN)))
    for point, (landmark, share) in _CARRIED.items():
        out[np.isin(FACE_OVAL, point), np.isin(MOUTH[_CHIN], landmark)] = share
    return out


_CHIN = np.flatnonzero(np.isin(MOUTH, FACE_OVAL))
_WITH_CHIN = _with_chin()
