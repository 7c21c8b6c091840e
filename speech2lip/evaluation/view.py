"""The face's square of a frame, at the size it is stored at and at the source's own resolution."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from ..subject.records import Crop, extract


class View(NamedTuple):
    """One square of a frame: `image` [S, S, ...] as it is stored, `native` [N, N, ...] with the source's pixels.

    Both are the same array where the square is stored as it is. Landmarks are found in `image`.
    """

    image: np.ndarray
    native: np.ndarray

    def to_native(self, points: np.ndarray) -> np.ndarray:
        """Pixels [..., 2] of `image` as pixels of `native` (pixel areas, not centres, scale)."""
        scale = len(self.native) / len(self.image)
        return np.asarray(points if scale == 1 else (points + 0.5) * scale - 0.5)

    def with_native(self, native: np.ndarray) -> View:
        """Another picture or mask [N, N, ...] of this square."""
        if len(self.image) == len(self.native):
            return View(native, native)
        return View(cv2.resize(native, self.image.shape[1::-1], interpolation=cv2.INTER_AREA), native)


def view_of(frame: np.ndarray, crop: Crop) -> View:
    """The square `crop` of a frame or a mask [H, W, ...] at the source's size. `native` may share the frame's memory."""
    native = extract(frame, replace(crop, size=crop.side))
    return View(native if crop.size == crop.side else extract(frame, crop), native)
