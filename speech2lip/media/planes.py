"""A decoded frame as RGB, and beside it the source's own YUV 4:2:0, which is written where nothing is painted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from .facts import VideoFacts
from .yuv import WRITTEN_MATRICES

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_CARRIED = re.compile(r"yuvj?4(20|22|40|44)p(\d+le)?")  # planar formats, whose chroma is at most halved
_AS_STORED = (1, 0, 0, 1)


@dataclass(frozen=True)
class Picture:
    """A decoded frame.

    rgb: uint8 [H, W, 3]. planes: Y, Cb, Cr of the source below each other, [3 H / 2, W] with H and W made even by
    repeating the last row or column, uint8, or uint16 with 10 bits; None where the source is not stored so.
    """

    rgb: np.ndarray
    planes: np.ndarray | None = None


def carried_bits(facts: VideoFacts, keep_hdr: bool = False) -> int:
    """Bits of the planes that are carried beside RGB: 8; 10 for HDR that is kept; 0: none.

    None where what is written has other colours than what is stored (transparency, RGB, HDR that is tone-mapped), and
    for odd sizes that are turned, whose chroma would lie between pixels.
    """
    odd = facts.width % 2 or facts.height % 2
    if facts.alpha or (odd and facts.orientation != _AS_STORED):
        return 0
    if facts.hdr:
        return 10 if keep_hdr and facts.stored.matrix in WRITTEN_MATRICES else 0
    return 8 if facts.stored == facts.colour else 0


def is_carried(frame: VideoFrame) -> bool:
    return bool(_CARRIED.fullmatch(frame.format.name))


def even_size(width: int, height: int) -> tuple[int, int]:
    return width + width % 2, height + height % 2


def evened(frame: VideoFrame) -> VideoFrame:
    """A frame of a carried kind with its last row or column repeated where their number is odd: swscale would pair pixels
    with the chroma of their neighbours."""
    size = even_size(frame.width, frame.height)
    if size == (frame.width, frame.height):
        return frame
    from av.video.frame import VideoFrame

    out = VideoFrame(*size, frame.format.name)
    out.time_base = frame.time_base
    for number in range(len(frame.planes)):
        _fit(_values(frame, number), _values(out, number), 0)
    return out


def planes_of(frame: VideoFrame, facts: VideoFacts, bits: int) -> np.ndarray | None:
    """The planes of `Picture`, of a frame of the clip's size, upright, with so many bits; None where it is of another kind.

    Chroma of 4:2:2 and 4:4:4 becomes the mean of the pixels that share it; more bits are rounded.
    """
    if not bits or not is_carried(frame):
        return None
    width, height = even_size(facts.width, facts.height)
    out = np.empty((height * 3 // 2, width), np.uint8 if bits == 8 else np.uint16)
    places = (out[:height], *out[height:].reshape(2, height // 2, width // 2))
    shift = frame.format.components[0].bits - bits
    for number, place in enumerate(places):
        plane = upright(_values(frame, number), facts.orientation)
        _fit(plane, place, shift)
    out.flags.writeable = False
    return out


def _values(frame: VideoFrame, number: int) -> np.ndarray:
    """One plane of a frame, [h, w]."""
    plane = frame.planes[number]
    kind = np.dtype(np.uint8 if frame.format.components[0].bits == 8 else "<u2")
    rows = np.frombuffer(plane, kind).reshape(-1, plane.line_size // kind.itemsize)  # type: ignore[call-overload]
    return np.asarray(rows[: plane.height, : plane.width])


def _fit(plane: np.ndarray, place: np.ndarray, shift: int) -> None:
    """Put a plane where it belongs, in its size and with `shift` bits less."""
    height, width = place.shape
    if plane.shape[0] > height or plane.shape[1] > width:
        plane = cv2.resize(plane.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    if shift or plane.dtype != place.dtype:
        most = 255 if place.dtype == np.uint8 else 1023
        plane = np.rint(plane.astype(np.float32) * 2.0**-shift).clip(0, most)
    rows, columns = plane.shape
    place[:rows, :columns] = plane
    if columns < width:
        place[:rows, columns:] = plane[:, -1:]
    if rows < height:
        place[rows:] = place[rows - 1]


def upright(image: np.ndarray, orientation: tuple[int, int, int, int]) -> np.ndarray:
    """[H, W, ...] as stored -> as it is shown; orientation: see `VideoFacts`."""
    a, b, c, d = orientation
    if a == 0:
        image, a, d = image.swapaxes(0, 1), c, b
    return image[:: 1 if d > 0 else -1, :: 1 if a > 0 else -1]
