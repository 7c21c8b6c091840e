"""What is behind a head: seen in frames in which the head is elsewhere, or continued from around it where no frame shows it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

_PICTURES = 40  # frames that are looked at
_LEAST = 3  # of them must show a place
_FREE = 0.02  # of a frame's mask of the head, below which a pixel shows what is behind
_COARSE = 160  # pixels of the side at which is continued what no frame shows
_NOTHING = 1000  # no level of a picture


def backdrop(frames: np.ndarray, read: Callable[[int], np.ndarray], hidden: Callable[[int], np.ndarray]) -> np.ndarray:
    """RGB uint8 [S, S, 3]: the median of some of `frames` [N] where they do not show the head.

    read: frame -> its crop, RGB uint8 [S, S, 3]; hidden: frame -> [S, S] in 0..1, where the head may be in the way.
    """
    chosen = frames[np.unique(np.linspace(0, len(frames) - 1, min(_PICTURES, len(frames))).astype(int))]
    free = np.stack([hidden(int(f)) < _FREE for f in chosen])
    out = read(int(chosen[len(chosen) // 2])).copy()
    wanted = ~free.all(0)
    places = np.flatnonzero(wanted)
    levels = np.empty((len(chosen), len(places), 3), np.int16)
    for k, frame in enumerate(chosen):
        levels[k] = read(int(frame)).reshape(-1, 3)[places]
        levels[k, ~free[k].reshape(-1)[places]] = _NOTHING
    count = free.reshape(len(chosen), -1)[:, places].sum(0)
    levels.sort(0)
    middle = np.maximum(count - 1, 0) // 2
    found = np.take_along_axis(levels, middle[None, :, None], 0)[0]
    known = np.ones(wanted.shape, bool)
    known.reshape(-1)[places] = count >= min(_LEAST, len(chosen))
    out.reshape(-1, 3)[places] = np.where((count > 0)[:, None], found, 0).clip(0, 255)
    return _continued(out, known)


def _continued(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fill what is not known [S, S] of a picture smoothly from around it."""
    if known.all() or not known.any():
        return picture
    side = min(_COARSE, len(picture))
    share = cv2.resize(known.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    sums = cv2.resize(picture * known[..., None].astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    small = (sums / share.clip(1e-3)[..., None]).round().clip(0, 255).astype(np.uint8)
    small = cv2.inpaint(small, (share < 0.5).astype(np.uint8), 5, cv2.INPAINT_TELEA)
    whole = cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    sure = cv2.GaussianBlur(cv2.erode(known.astype(np.float32), np.ones((5, 5))), (0, 0), 1.5) * known
    return np.asarray(cv2.blendLinear(picture, whole, sure, 1 - sure))
