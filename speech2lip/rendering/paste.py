"""Finished regions pasted back into full frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from ..media.planes import Picture
from ..media.yuv import Kept
from ..subject.records import Crop


@dataclass(frozen=True)
class Rendered:
    """One finished frame at the source's size.

    picture: the frame that it was painted on, unchanged; source: that frame's index; painted: RGB uint8 [h, w, 3], the
    finished pixels from `corner` (x, y) on; mask: [h, w] float32 in 0..1, how far they may differ from the picture's; all others
    are the same.
    """

    picture: Picture
    source: int
    painted: np.ndarray
    mask: np.ndarray
    corner: tuple[int, int]

    @property
    def original(self) -> np.ndarray:
        """The frame that it was painted on, RGB uint8 [H, W, 3]."""
        return self.picture.rgb

    @cached_property
    def image(self) -> np.ndarray:
        """The whole frame, RGB uint8 [H, W, 3]."""
        if not self.mask.size:
            return self.original
        out = self.original.copy()
        out[self._box] = self.painted
        return out

    @property
    def written(self) -> np.ndarray | Kept:
        """What the encoder takes: the source's planes and what was painted on them, or the image where there are none."""
        planes = self.picture.planes
        if planes is None:
            return self.image
        return Kept(planes, self.painted, self.picture.part(*self._box), self.corner)

    @property
    def full_mask(self) -> np.ndarray:
        """The mask at the size of the image, [H, W]."""
        out = np.zeros(self.picture.size[::-1], np.float32)
        out[self._box] = self.mask
        return out

    @property
    def _box(self) -> tuple[slice, slice]:
        (x, y), (height, width) = self.corner, self.mask.shape
        return slice(y, y + height), slice(x, x + width)


def untouched(picture: Picture, source: int) -> Rendered:
    nothing = np.zeros((0, 0), np.float32)
    return Rendered(picture, source, np.zeros((0, 0, 3), np.uint8), nothing, (0, 0))


def paste_back(
    picture: Picture, pixels: np.ndarray, mask: np.ndarray, origin: np.ndarray, crop: Crop, source: int
) -> Rendered:
    """Put a finished region (pixels [h, w, 3], mask [h, w]) back into the full frame.

    At the source's own scale pixels are copied where the mask is not 0. A crop that was
    shrunk is enlarged (bicubic) and mixed by the mask, so that the frame keeps its detail
    outside and its edge is soft.
    """
    put = _copied if crop.size == crop.side else _enlarged
    low, high = _bounds(picture.size, origin, np.array(mask.shape[::-1]), crop)
    if mask.size == 0 or (high <= low).any():
        return untouched(picture, source)
    # even, as chroma is shared by 2x2 pixels, but at the frame's own end
    low, high = low - low % 2, np.minimum(high + high % 2, picture.size)
    painted = picture.part(slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))).copy()
    spread = put(painted, pixels, mask, low - [crop.x, crop.y], origin, crop.scale)
    return Rendered(picture, source, painted, spread, (int(low[0]), int(low[1])))


def _bounds(frame: tuple[int, int], origin: np.ndarray, size: np.ndarray, crop: Crop) -> tuple[np.ndarray, np.ndarray]:
    """First pixel (x, y) of a frame (width, height) that a region of `size` (width, height) may change, and the one after
    the last."""
    corner, reach = np.array([crop.x, crop.y]), 0.0 if crop.size == crop.side else 0.5
    low = np.floor((origin - reach) / crop.scale).astype(int) + corner
    high = np.ceil((origin + size + reach) / crop.scale).astype(int) + corner
    return np.maximum(low, 0), np.minimum(high, frame)


def _copied(
    target: np.ndarray, pixels: np.ndarray, mask: np.ndarray, low: np.ndarray, origin: np.ndarray, scale: float
) -> np.ndarray:
    """Copy pixels into `target`, which begins at crop pixel `low`, where the mask is not 0; returns the mask there."""
    x, y = (low - origin).astype(int)
    height, width = target.shape[:2]
    top, left, bottom, right = max(-y, 0), max(-x, 0), min(len(mask) - y, height), min(mask.shape[1] - x, width)
    inside = slice(top, bottom), slice(left, right)
    given = slice(top + y, bottom + y), slice(left + x, right + x)
    spread = np.zeros((height, width), np.float32)
    spread[inside] = mask[given]
    cv2.copyTo(pixels[given], (spread[inside] > 0).astype(np.uint8), target[inside])
    return spread


def _enlarged(
    target: np.ndarray, pixels: np.ndarray, mask: np.ndarray, low: np.ndarray, origin: np.ndarray, scale: float
) -> np.ndarray:
    """As `_copied`, of a region that is smaller than what it shows by `scale`."""
    # region pixel of source pixel p: ((p - crop) + 0.5) scale - 0.5 - origin
    shift = (low + 0.5) * scale - 0.5 - origin
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    shape, flags = target.shape[1::-1], cv2.WARP_INVERSE_MAP
    spread = cv2.warpAffine(mask, matrix, shape, flags=flags | cv2.INTER_LINEAR, borderValue=0)
    enlarged = cv2.warpAffine(pixels, matrix, shape, flags=flags | cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    touched = spread > 0
    mix = target + spread[..., None] * (enlarged.astype(np.float32) - target)
    target[touched] = mix[touched].round().clip(0, 255).astype(np.uint8)
    return np.asarray(spread)
