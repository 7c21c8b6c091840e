"""What the mouth of one frame looks like: its texture, its flicker, and what a classifier sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ..facemesh import LIPS, LIPS_INNER, LIPS_OUTER, interocular, mouth_opening
from ..metrics.texture import detail, flicker, inside, octave_energies, texture

_OPEN = 0.03  # of the interocular distance: what counts as an open mouth
_WIDTH, _HEIGHT = 0.7, 0.5  # of the interocular distance: what the classifier sees around the lips
_ENERGIES = 36
_AROUND = 0.9  # of the interocular distance, beyond the lips: enough of the face for every measure


class Sight(NamedTuple):
    """One frame: RGB uint8 [H, W, 3], and its landmarks [478, 2] in pixels, NaN without a face."""

    image: np.ndarray
    points: np.ndarray


def mouth_measures(sights: Sequence[Sight], mask: np.ndarray | None) -> tuple[dict[str, float], np.ndarray]:
    """Figures of the last of up to three frames in a row by name, and its mouth's energies [36].

    mask: [H, W] region that was painted. `flicker` is that of the frame before the last, which only now has both neighbours.
    """
    image, points = sights[-1]
    out = {"flicker": _flicker(sights), "texture_inner": np.nan, "texture_lips": np.nan, "texture_skin": np.nan}
    if not np.isfinite(points).all():
        return out, np.full(_ENERGIES, np.nan)
    scale = float(interocular(points))
    window = _window(points, scale, image.shape)
    gray, local = cv2.cvtColor(image[window], cv2.COLOR_RGB2GRAY), points - [window[1].start, window[0].start]
    fine = detail(gray, scale)
    lips = inside(local[LIPS_OUTER], gray.shape)
    if mouth_opening(points) > _OPEN * scale:
        out["texture_inner"] = texture(fine, inside(local[LIPS_INNER], gray.shape))
        out["texture_lips"] = texture(fine, lips)
    if mask is not None:
        out["texture_skin"] = texture(
            fine, (mask[window] > 0.5) & ~cv2.dilate(lips.astype(np.uint8), None).astype(bool)
        )
    return out, _energies(gray, local, scale)


def _flicker(sights: Sequence[Sight]) -> float:
    if len(sights) < 3 or not np.isfinite(sights[1].points).all():
        return float("nan")
    points = sights[1].points
    window = _window(points, float(interocular(points)), sights[1].image.shape)
    grays = [cv2.cvtColor(s.image[window], cv2.COLOR_RGB2GRAY) for s in sights]
    where = inside(points[LIPS_OUTER] - [window[1].start, window[0].start], grays[1].shape)
    return flicker(grays[0], grays[1], grays[2], where)


def _window(points: np.ndarray, scale: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns around the lips that hold all that is measured."""
    low = np.floor(points[LIPS].min(0) - _AROUND * scale).astype(int).clip(0)
    high = np.ceil(points[LIPS].max(0) + _AROUND * scale).astype(int)
    return slice(low[1], max(min(high[1], shape[0]), low[1] + 1)), slice(
        low[0], max(min(high[0], shape[1]), low[0] + 1)
    )


def _energies(gray: np.ndarray, points: np.ndarray, scale: float) -> np.ndarray:
    """Energies [36] of a box around the lips, whose size goes with the face; at the frame's own resolution."""
    size = max(round(_WIDTH * scale), 8), max(round(_HEIGHT * scale), 8)
    middle = points[LIPS].mean(0)
    return octave_energies(cv2.getRectSubPix(gray, size, (float(middle[0]), float(middle[1]))))
