"""RGB becomes YUV 4:2:0 as it is written, without bias."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from ..errors import UserError
from .facts import Colour

_SHARES = {  # of red and blue in luma (ITU-T H.273, table 4)
    "bt709": (0.2126, 0.0722), "smpte170m": (0.299, 0.114), "bt470bg": (0.299, 0.114), "smpte240m": (0.212, 0.087),
    "fcc": (0.30, 0.11), "bt2020nc": (0.2627, 0.0593),
}  # fmt: skip


@lru_cache(8)
def yuv_matrix(colour: Colour) -> np.ndarray:
    """[3, 4] float32: R'G'B' in 0..255 and a 1 -> Y, Cb, Cr in 8 bits (ITU-T H.273, 8.3, equations 33 to 49)."""
    if colour.matrix not in _SHARES:
        raise UserError(f"video cannot be written with the matrix {colour.matrix}: convert the source to bt709 first")
    red, blue = _SHARES[colour.matrix]
    luma = np.array([red, 1 - red - blue, blue])
    rows = np.stack(
        [luma, (np.array([0, 0, 1]) - luma) / (2 * (1 - blue)), (np.array([1, 0, 0]) - luma) / (2 * (1 - red))]
    )
    spans, offsets = ((255, 255, 255), (0, 128, 128)) if colour.full_range else ((219, 224, 224), (16, 128, 128))
    return np.column_stack([rows * np.array(spans)[:, None] / 255, offsets]).astype(np.float32)


def to_yuv420(image: np.ndarray, colour: Colour) -> np.ndarray:
    """RGB uint8 [H, W, 3], both even -> planes Y, Cb, Cr below each other, uint8 [3 H / 2, W].

    Every value is rounded once. Chroma is the mean of 2x2 pixels, the inverse of repeating it: a decoded
    picture is given back what it had. swscale is not used, whose chroma of full range is half a level too low.
    """
    height, width = image.shape[:2]
    matrix = yuv_matrix(colour)
    planes = np.empty((height * 3 // 2, width), np.uint8)
    cv2.transform(image, matrix[:1], planes[:height])
    half = cv2.resize(image.astype(np.float32), (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    chroma = np.rint(cv2.transform(half, matrix[1:])).clip(0, 255)  # Cb reaches 255.5 in full range
    planes[height:].reshape(2, height // 2, width // 2)[:] = chroma.transpose(2, 0, 1)
    return planes


def padded_to_even(image: np.ndarray) -> np.ndarray:
    """[H, W, 3] with its last row or column repeated where their number is odd: 4:2:0 has no odd sizes."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        return np.asarray(cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE))
    return image
