"""RGB becomes YUV 4:2:0 as it is written, without bias: whole pictures, or what was painted into the source's planes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ..errors import UserError
from .colour import hdr_signal
from .facts import HDR_TRANSFERS, Colour

_SHARES = {  # of red and blue in luma (ITU-T H.273, table 4)
    "bt709": (0.2126, 0.0722), "smpte170m": (0.299, 0.114), "bt470bg": (0.299, 0.114), "smpte240m": (0.212, 0.087),
    "fcc": (0.30, 0.11), "bt2020nc": (0.2627, 0.0593),
}  # fmt: skip
WRITTEN_MATRICES = tuple(_SHARES)
_SMALL = 32  # levels of RGB from which on a painted pixel keeps nothing of its source
_STAYS = np.maximum(1 - np.arange(256) / _SMALL, 0).astype(np.float32)
Planes = tuple[np.ndarray, np.ndarray, np.ndarray]  # Y [H, W], Cb and Cr [H / 2, W / 2]


@dataclass(frozen=True)
class Overlay:
    """A small picture that lies over every frame.

    image: RGB uint8 [h, w, 3]; alpha: float32 [h, w] in 0..1, how far it covers the frame; corner: its first pixel (x, y) there.
    h, w and corner are even, so that it shares no chroma with pixels outside.
    """

    image: np.ndarray
    alpha: np.ndarray
    corner: tuple[int, int]


@dataclass(frozen=True)
class Kept:
    """A picture that is its source but for what was painted on it.

    planes: of `Picture`; painted: RGB uint8 [h, w, 3] from pixel `corner` (x, y), both even, on; original: what was read from the planes
    there. h and w are even but at the end of the picture; they are 0 where nothing was painted; overlay: lies over it all.
    """

    planes: np.ndarray
    painted: np.ndarray
    original: np.ndarray
    corner: tuple[int, int]
    overlay: Overlay | None = None


def written_bits(colour: Colour) -> int:
    """Bits of a sample: HDR is written with 10."""
    return 10 if colour.transfer in HDR_TRANSFERS else 8


@lru_cache(8)
def yuv_matrix(colour: Colour, bits: int = 8) -> np.ndarray:
    """[3, 4] float32: R'G'B' in 0..255 and a 1 -> Y, Cb, Cr in so many bits (ITU-T H.273, 8.3, equations 33 to 49)."""
    if colour.matrix not in _SHARES:
        raise UserError(f"video cannot be written with the matrix {colour.matrix}: convert the source to bt709 first")
    red, blue = _SHARES[colour.matrix]
    luma = np.array([red, 1 - red - blue, blue])
    rows = np.stack(
        [luma, (np.array([0, 0, 1]) - luma) / (2 * (1 - blue)), (np.array([1, 0, 0]) - luma) / (2 * (1 - red))]
    )
    unit, top = 2 ** (bits - 8), 2**bits - 1
    spans = np.array((top, top, top) if colour.full_range else (219 * unit, 224 * unit, 224 * unit))
    offsets = np.array((0 if colour.full_range else 16, 128, 128)) * unit
    return np.column_stack([rows * spans[:, None] / 255, offsets]).astype(np.float32)


def to_yuv420(image: np.ndarray, colour: Colour) -> np.ndarray:
    """RGB uint8 [H, W, 3], both even -> planes Y, Cb, Cr below each other, [3 H / 2, W]: uint8, or uint16 with 10 bits
    for HDR, whose frames are tone-mapped.

    Every value is rounded once. Chroma is the mean of 2x2 pixels, the inverse of repeating it: a decoded
    picture is given back what it had. swscale is not used, whose chroma of full range is half a level too low.
    """
    height, width = image.shape[:2]
    if written_bits(colour) == 10:
        planes = np.empty((height * 3 // 2, width), np.uint16)
        for place, values in zip(places(planes), _exact(image, colour), strict=True):
            place[:] = np.rint(values).clip(0, 1023)
        return planes
    matrix = yuv_matrix(colour)
    planes = np.empty((height * 3 // 2, width), np.uint8)
    cv2.transform(image, matrix[:1], planes[:height])
    half = cv2.resize(image.astype(np.float32), (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    chroma = np.rint(cv2.transform(half, matrix[1:])).clip(0, 255)  # Cb reaches 255.5 in full range
    planes[height:].reshape(2, height // 2, width // 2)[:] = chroma.transpose(2, 0, 1)
    return planes


def repaint(planes: Planes, kept: Kept, colour: Colour) -> None:
    """Put what was painted into the planes of its source; what is there the original stays what it was.

    What RGB cannot hold of the source, such as a colour outside it or a highlight that was tone-mapped, stays as far
    as a pixel has changed little: the seam of a soft mask does not show.
    """
    if not kept.painted.size:
        return
    (x, y), new, old = kept.corner, padded_to_even(kept.painted), padded_to_even(kept.original)
    share = _stay(new, old)
    half = _halved(share)
    most = 2 ** written_bits(colour) - 1
    parts = zip(planes, _exact(new, colour), _exact(old, colour), (share, half, half), (1, 2, 2), strict=True)
    for plane, wanted, was, stays, step in parts:
        rows, columns = wanted.shape
        target = plane[y // step :, x // step :][:rows, :columns]
        target[:] = np.rint(wanted + stays * (target - was)).clip(0, most)


def lay_over(planes: Planes, overlay: Overlay, colour: Colour) -> None:
    """Put an overlay on the planes of a frame that will be encoded; all samples outside of it stay what they are."""
    x, y = overlay.corner
    half = _halved(overlay.alpha)
    parts = zip(planes, _exact(overlay.image, colour), (overlay.alpha, half, half), (1, 2, 2), strict=True)
    for plane, wanted, alpha, step in parts:
        rows, columns = wanted.shape
        target = plane[y // step :, x // step :][:rows, :columns]
        target[:] = np.rint(target + alpha * (wanted - target)).clip(0, 2 ** written_bits(colour) - 1)


def laid_over(image: np.ndarray, overlay: Overlay) -> np.ndarray:
    """A copy of an RGB picture, uint8 [H, W, 3], with an overlay on it."""
    out, (x, y), (rows, columns) = image.copy(), overlay.corner, overlay.alpha.shape
    target = out[y : y + rows, x : x + columns]
    target[:] = np.rint(target + overlay.alpha[..., None] * (overlay.image.astype(np.float32) - target))
    return out


def _stay(new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """How far a pixel keeps what RGB cannot hold of it, [H, W] float32: 1 where it is the original."""
    red, green, blue = cv2.split(cv2.absdiff(new, old))
    return np.asarray(cv2.LUT(cv2.max(cv2.max(red, green), blue), _STAYS))


def _exact(image: np.ndarray, colour: Colour) -> Planes:
    """RGB uint8 [H, W, 3] -> Y [H, W], Cb and Cr [H / 2, W / 2], float32, not rounded."""
    rgb = image.astype(np.float32)
    if colour.transfer in HDR_TRANSFERS:
        rgb = (255 * hdr_signal(rgb / 255, colour.transfer)).astype(np.float32)
    matrix = yuv_matrix(colour, written_bits(colour))
    chroma = cv2.transform(_halved(rgb), matrix[1:])
    return cv2.transform(rgb, matrix[:1]), chroma[..., 0], chroma[..., 1]


def _halved(image: np.ndarray) -> np.ndarray:
    """The mean of 2x2 pixels."""
    return cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)


def places(planes: np.ndarray) -> Planes:
    """Y [H, W], Cb and Cr [H / 2, W / 2] in an array where they lie below each other."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    blue, red = planes[height:].reshape(2, height // 2, width // 2)
    return planes[:height], blue, red


def padded_to_even(image: np.ndarray) -> np.ndarray:
    """[H, W, 3] with its last row or column repeated where their number is odd: 4:2:0 has no odd sizes."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        return np.asarray(cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE))
    return image
