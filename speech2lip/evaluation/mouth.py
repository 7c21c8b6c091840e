"""What the mouth of one frame looks like at the source's resolution: texture, sharpness, flicker, what a classifier sees."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ..facemesh import LIPS, LIPS_INNER, LIPS_OUTER, interocular, mouth_opening
from ..metrics.cpbd import BLOCK, cpbd
from ..metrics.texture import detail, flicker, inside, octave_energies, texture

OPEN = 0.03  # of the interocular distance: what counts as an open mouth
_WIDTH, _HEIGHT = 0.7, 0.5  # of the interocular distance: what the classifier sees around the lips
_ENERGIES = 36
_AROUND = 0.9  # of the interocular distance, beyond the lips: enough of the face for every measure
Window = tuple[slice, slice]  # rows and columns


class Sight(NamedTuple):
    """The mouth of one frame: RGB uint8 [h, w, 3], cut out of the face's square at `window`.

    points: landmarks [478, 2] in pixels of the whole square, NaN without a face.
    """

    image: np.ndarray
    window: Window
    points: np.ndarray

    @property
    def found(self) -> bool:
        return bool(np.isfinite(self.points).all())

    def gray(self, window: Window) -> np.ndarray | None:
        """Brightness of another window of the square; None where this one does not hold it."""
        rows, columns = (
            slice(w.start - own.start, w.stop - own.start) for w, own in zip(window, self.window, strict=True)
        )
        if min(rows.start, columns.start) < 0 or rows.stop > len(self.image) or columns.stop > self.image.shape[1]:
            return None
        return np.asarray(cv2.cvtColor(self.image[rows, columns], cv2.COLOR_RGB2GRAY))


class Mouth(NamedTuple):
    """What is kept of one frame until it is measured.

    sights: up to three frames in a row, the last one is this one; mask: [h, w] region that was painted, in its window, or
    None; painted: RGB uint8 picture of the box around that region, empty where nothing was painted.
    """

    sights: tuple[Sight, ...]
    mask: np.ndarray | None
    painted: np.ndarray


def see(square: np.ndarray, points: np.ndarray, before: Sight | None) -> Sight:
    """The mouth in the face's square [N, N, 3]; nothing else of it is kept.

    Without a face it is taken to be where it was in the frame before; where that is not known, all of the square is kept.
    """
    if np.isfinite(points).all():
        window = _window(points[LIPS], _AROUND * float(interocular(points)), square.shape)
    else:
        window = before.window if before is not None else (slice(0, square.shape[0]), slice(0, square.shape[1]))
    return Sight(square[window].copy(), window, points)


def mouth_measures(mouth: Mouth) -> tuple[dict[str, float], np.ndarray]:
    """Figures of a frame by name, and its mouth's energies [36].

    `flicker` is that of the frame before the last, which only now has both neighbours.
    """
    sight = mouth.sights[-1]
    out = {"cpbd_lip": sharpness(mouth.painted), "flicker": _flicker(mouth.sights)}
    if not sight.found:
        return out | dict.fromkeys(("texture_inner", "texture_lips", "texture_skin"), np.nan), np.full(
            _ENERGIES, np.nan
        )
    scale = float(interocular(sight.points))
    gray, local = cv2.cvtColor(sight.image, cv2.COLOR_RGB2GRAY), _local(sight.points, sight.window)
    return out | _textures(gray, local, scale, mouth.mask), _energies(gray, local, scale)


def sharpness(image: np.ndarray) -> float:
    """CPBD of an RGB uint8 picture; NaN below the size of one of its blocks."""
    if min(image.shape[:2]) < BLOCK:
        return float("nan")
    return cpbd(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def bounded(image: np.ndarray, region: np.ndarray) -> np.ndarray:
    """The part of a picture around a region [H, W] bool, a copy; empty where there is none."""
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    return (image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else image[:0, :0]).copy()


def _textures(gray: np.ndarray, points: np.ndarray, scale: float, mask: np.ndarray | None) -> dict[str, float]:
    """Textures of lips and skin; points [478, 2]: in pixels of `gray` [h, w]; mask: [h, w] region that was painted."""
    fine, lips = detail(gray, scale), inside(points[LIPS_OUTER], gray.shape)
    out = dict.fromkeys(("texture_inner", "texture_lips", "texture_skin"), np.nan)
    if mouth_opening(points) > OPEN * scale:
        out["texture_inner"] = texture(fine, inside(points[LIPS_INNER], gray.shape))
        out["texture_lips"] = texture(fine, lips)
    if mask is not None:
        out["texture_skin"] = texture(fine, (mask > 0.5) & ~cv2.dilate(lips.astype(np.uint8), None).astype(bool))
    return out


def _flicker(sights: tuple[Sight, ...]) -> float:
    if len(sights) < 3 or not sights[1].found:
        return float("nan")
    lips = sights[1].points[LIPS_OUTER]
    window = _common(_window(lips, 1.0, (1 << 30, 1 << 30)), sights[1].window)
    before, now, after = (sight.gray(window) for sight in sights)
    if before is None or now is None or after is None:  # the head jumped
        return float("nan")
    return flicker(before, now, after, inside(_local(lips, window), now.shape))


def _window(points: np.ndarray, margin: float, shape: tuple[int, ...]) -> Window:
    """Rows and columns of a picture that hold points [K, 2] and what is around them; never empty."""
    low = np.floor(points.min(0) - margin).astype(int).clip(0, [shape[1] - 1, shape[0] - 1])
    high = np.ceil(points.max(0) + margin).astype(int).clip(low + 1, [shape[1], shape[0]])
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _common(a: Window, b: Window) -> Window:
    """Rows and columns in both; where they do not meet, one of `b`."""
    rows, columns = (_clip(x, y) for x, y in zip(a, b, strict=True))
    return rows, columns


def _clip(span: slice, bounds: slice) -> slice:
    start = min(max(span.start, bounds.start), bounds.stop - 1)
    return slice(start, max(min(span.stop, bounds.stop), start + 1))


def _local(points: np.ndarray, window: Window) -> np.ndarray:
    """Points [..., 2] of the whole square in pixels of a window."""
    return np.asarray(points - [window[1].start, window[0].start])


def _energies(gray: np.ndarray, points: np.ndarray, scale: float) -> np.ndarray:
    """Energies [36] of a box around the lips, whose size goes with the face; at the picture's own resolution."""
    size = max(round(_WIDTH * scale), 8), max(round(_HEIGHT * scale), 8)
    middle = points[LIPS].mean(0)
    return octave_energies(cv2.getRectSubPix(gray, size, (float(middle[0]), float(middle[1]))))
