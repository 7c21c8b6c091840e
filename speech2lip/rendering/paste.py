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
    """Put a finished region (pixels [R, R, 3], mask [R, R]) back into the full frame.

    At the source's own scale pixels are copied where the mask is not 0. A crop that was
    shrunk is enlarged (bicubic) and mixed by the mask, so that the frame keeps its detail
    outside and its edge is soft.
    """
    height, width = image.shape[:2]
    scale, size = crop.scale, len(mask)
    corner = np.array([crop.x, crop.y])
    low = np.floor((origin - 0.5) / scale).astype(int) + corner
    high = np.ceil((origin + size + 0.5) / scale).astype(int) + corner
    x0, y0 = np.maximum(low, 0)
    x1, y1 = np.minimum(high, [width, height])
    if x1 <= x0 or y1 <= y0:
        return untouched(image, source)
    # region pixel of source pixel p: ((p - crop) + 0.5) scale - 0.5 - origin
    shift = (np.array([x0, y0]) - corner + 0.5) * scale - 0.5 - origin
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    shape, flags = (int(x1 - x0), int(y1 - y0)), cv2.WARP_INVERSE_MAP
    spread = cv2.warpAffine(mask, matrix, shape, flags=flags | cv2.INTER_LINEAR, borderValue=0)
    enlarged = cv2.warpAffine(pixels, matrix, shape, flags=flags | cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    out = image.copy()
    target = out[y0:y1, x0:x1]
    touched = spread > 0
    if crop.size == crop.side:
        target[touched] = enlarged[touched]
    else:
        mix = target + spread[..., None] * (enlarged.astype(np.float32) - target)
        target[touched] = mix[touched].round().clip(0, 255).astype(np.uint8)
    return Rendered(out, image, source, spread, (int(x0), int(y0)))
