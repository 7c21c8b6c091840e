"""Cuts inside a video, from tiny grey thumbnails of every frame."""

from __future__ import annotations

import cv2
import numpy as np

THUMBNAIL = (48, 36)


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """RGB uint8 frame -> float32 grey [36, 48]."""
    return cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), THUMBNAIL, interpolation=cv2.INTER_AREA).astype(
        np.float32
    )


def find_shots(
    thumbnails: np.ndarray, threshold: float = 2.0, ratio: float = 3.0, left: float = 0.25
) -> list[tuple[int, int]]:
    """Ranges [start, end) between hard cuts.

    A cut is a frame-to-frame change (mean absolute grey difference, 0-255) above
    `threshold` that is also `ratio` times the largest change among the six nearest
    neighbours on either side that are not cuts themselves (their third largest, so that
    two cuts in a row do not hide each other). What is left of it when one picture is brightened
    to match the other must be `left` of it at least: a flash is no cut.

    thumbnails: [T, h, w] float32.
    """
    change = np.abs(np.diff(thumbnails, axis=0)).mean((1, 2))
    cuts = [0]
    for i, value in enumerate(change):
        around = np.concatenate([change[max(0, i - 6) : i], change[i + 1 : i + 7]])
        usual = np.sort(around)[-3] if len(around) > 2 else 0.0
        if value > threshold and value > ratio * usual and _beside_light(*thumbnails[i : i + 2]) > left * value:
            cuts.append(i + 1)
    return list(zip(cuts, [*cuts[1:], len(thumbnails)], strict=True))


def _beside_light(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference of two grey pictures but for a gain and an offset of the darker one."""
    x, y = sorted((p.ravel() - p.mean() for p in (a, b)), key=np.std)
    gain = float(x @ y) / max(float(x @ x), 1e-6)
    return float(np.abs(y - max(gain, 0.0) * x).mean())
