"""Finished regions pasted back into full frames."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..media.yuv import Kept
from ..subject.records import Crop


@dataclass(frozen=True)
class Rendered:
    """One finished frame: `image` RGB uint8 at source size; `original`: the frame it was
    painted on, unchanged; `source`: that frame's index; `mask`: [h, w] float32 in 0..1, how
    far pixels from `corner` (x, y) on may differ from it; all others are the same; `planes`: the source's own, where
    they are carried (`media.planes.Picture`)."""

    image: np.ndarray
    original: np.ndarray
    source: int
    mask: np.ndarray
    corner: tuple[int, int]
    planes: np.ndarray | None = None

    @property
    def kept(self) -> Kept | None:
        """What the encoder writes as the source has it."""
        if self.planes is None:
            return None
        (x, y), (height, width) = self.corner, self.mask.shape
        return Kept(self.planes, self.original, (x, y, x + width, y + height))

    @property
    def full_mask(self) -> np.ndarray:
        """The mask at the size of the image, [H, W]."""
        out = np.zeros(self.image.shape[:2], np.float32)
        (x, y), (height, width) = self.corner, self.mask.shape
        out[y : y + height, x : x + width] = self.mask
        return out


def untouched(image: np.ndarray, source: int) -> Rendered:
    return Rendered(image, image, source, np.zeros((0, 0), np.float32), (0, 0))


def paste_back(
    image: np.ndarray, pixels: np.ndarray, mask: np.ndarray, origin: np.ndarray, crop: Crop, source: int
) -> Rendered:
    """Put a finished region (pixels [h, w, 3], mask [h, w]) back into the full frame.

    At the source's own scale pixels are copied where the mask is not 0. A crop that was
    shrunk is enlarged (bicubic) and mixed by the mask, so that the frame keeps its detail
    outside and its edge is soft.
    """
    put = _copied if crop.size == crop.side else _enlarged
    low, high = _bounds(image, origin, np.array(mask.shape[::-1]), crop)
    if mask.size == 0 or (high <= low).any():
        return untouched(image, source)
    out = image.copy()
    spread = put(out[low[1] : high[1], low[0] : high[0]], pixels, mask, low - [crop.x, crop.y], origin, crop.scale)
    return Rendered(out, image, source, spread, (int(low[0]), int(low[1])))


def _bounds(image: np.ndarray, origin: np.ndarray, size: np.ndarray, crop: Crop) -> tuple[np.ndarray, np.ndarray]:
    """First pixel (x, y) of the frame that a region of `size` (width, height) may change, and the one after the last."""
    corner, reach = np.array([crop.x, crop.y]), 0.0 if crop.size == crop.side else 0.5
    low = np.floor((origin - reach) / crop.scale).astype(int) + corner
    high = np.ceil((origin + size + reach) / crop.scale).astype(int) + corner
    return np.maximum(low, 0), np.minimum(high, image.shape[1::-1])


def _copied(
    target: np.ndarray, pixels: np.ndarray, mask: np.ndarray, low: np.ndarray, origin: np.ndarray, scale: float
) -> np.ndarray:
    """Copy pixels into `target`, which begins at crop pixel `low`, where the mask is not 0; returns the mask there."""
    height, width = target.shape[:2]
    x, y = (low - origin).astype(int)
    spread = mask[y : y + height, x : x + width]
    np.copyto(target, pixels[y : y + height, x : x + width], where=(spread > 0)[..., None])
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
