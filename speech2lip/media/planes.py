"""A decoded frame as RGB, and beside it the source's own YUV 4:2:0, which is written where nothing is painted."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from .facts import VideoFacts
from .yuv import WRITTEN_MATRICES, places

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_CARRIED = re.compile(r"yuvj?4(20|22|40|44)p(\d+le)?")  # planar formats, whose chroma is at most halved
AS_STORED = (1, 0, 0, 1)


class Picture:
    """A decoded frame, whose RGB is made when it is asked for, and no more of it.

    planes: Y, Cb, Cr of the source below each other, [3 H / 2, W] with H and W made even by repeating the last row or
    column, uint8, or uint16 with 10 bits; None where the source is not stored so. Given are its RGB, uint8 [H, W, 3], or, where
    planes are all that is stored, its size (width, height) and what makes planes of any even size RGB.
    """

    def __init__(
        self, rgb: np.ndarray | None = None, planes: np.ndarray | None = None, *,
        size: tuple[int, int] = (0, 0), colour: Callable[[np.ndarray], np.ndarray] | None = None,
    ):  # fmt: skip
        self.planes, self._rgb, self._colour = planes, rgb, colour
        self._first: _Part | None = None
        self.size: tuple[int, int] = size if rgb is None else (rgb.shape[1], rgb.shape[0])

    @property
    def rgb(self) -> np.ndarray:
        """The whole frame, uint8 [H, W, 3], read-only."""
        if self._rgb is None:
            self._rgb = self._made(slice(0, self.size[1]), slice(0, self.size[0]))
        return self._rgb

    def part(self, rows: slice, columns: slice) -> np.ndarray:
        """These rows and columns of `rgb`; slices as of an array, with steps of 1. Parts of the part that was asked for first
        cost nothing."""
        if self._rgb is not None:
            return self._rgb[rows, columns]
        rows, columns = slice(*rows.indices(self.size[1])), slice(*columns.indices(self.size[0]))
        if self._first is None:
            wide = _widened(rows, self.size[1]), _widened(columns, self.size[0])
            self._first = _Part(*wide, self._made(*wide))
        return found if (found := self._first.inner(rows, columns)) is not None else self._made(rows, columns)

    @property
    def stored(self) -> Stored:
        """What this picture can be made again of."""
        return Stored(self._rgb if self._colour is None else None, self.planes, self.size, self._colour)

    def _made(self, rows: slice, columns: slice) -> np.ndarray:
        assert self.planes is not None and self._colour is not None
        top, left = rows.start - rows.start % 2, columns.start - columns.start % 2
        bottom, right = even_size(rows.stop, columns.stop)
        if rows.stop <= rows.start or columns.stop <= columns.start:
            return np.empty((max(rows.stop - rows.start, 0), max(columns.stop - columns.start, 0), 3), np.uint8)
        luma, *chroma = places(self.planes)
        planes = self.planes
        if bottom - top < len(luma) or right - left < luma.shape[1]:
            halves = [plane[top // 2 : bottom // 2, left // 2 : right // 2].ravel() for plane in chroma]
            planes = np.concatenate([luma[top:bottom, left:right].ravel(), *halves]).reshape(-1, right - left)
        image = self._colour(planes)[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        image.flags.writeable = False
        return image


def _widened(span: slice, size: int) -> slice:
    """A span with a pixel more on either side, where there is one, for those who want even corners."""
    return slice(max(span.start - 1, 0), min(span.stop + 1, size))


class _Part(NamedTuple):
    """Some rows and columns of a picture, and their RGB."""

    rows: slice
    columns: slice
    rgb: np.ndarray

    def inner(self, rows: slice, columns: slice) -> np.ndarray | None:
        """Rows and columns of the picture, where they lie inside."""
        top, left = rows.start - self.rows.start, columns.start - self.columns.start
        if top < 0 or left < 0 or rows.stop > self.rows.stop or columns.stop > self.columns.stop:
            return None
        return self.rgb[top : top + rows.stop - rows.start, left : left + columns.stop - columns.start]


class Stored(NamedTuple):
    """The parts of a picture, without its RGB where planes give it."""

    rgb: np.ndarray | None
    planes: np.ndarray | None
    size: tuple[int, int]
    colour: Callable[[np.ndarray], np.ndarray] | None


def carried_bits(facts: VideoFacts, keep_hdr: bool = False) -> int:
    """Bits of the planes that are carried beside RGB: 8; 10 for HDR that is kept; 0: none.

    None where what is written has other colours than what is stored (transparency, RGB, HDR that is tone-mapped), and
    for odd sizes that are turned, whose chroma would lie between pixels.
    """
    odd = facts.width % 2 or facts.height % 2
    if facts.alpha or (odd and facts.orientation != AS_STORED):
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
