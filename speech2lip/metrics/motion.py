"""Landmark measures: distance between two mouths, and jitter."""

from __future__ import annotations

import numpy as np


def landmark_distance(generated: np.ndarray, real: np.ndarray) -> np.ndarray:
    """LMD of each frame [T]: mean distance of corresponding landmarks [T, K, 2], each set less its own mean."""
    a, b = (x - x.mean(1, keepdims=True) for x in (generated, real))
    return np.asarray(np.linalg.norm(a - b, axis=2).mean(1))


def jitter(landmarks: np.ndarray, scale: np.ndarray, same: np.ndarray | None = None) -> float:
    """Mean absolute second difference over time of landmarks [T, K, 2], in % of `scale` [T].

    same: [T] number of the shot; differences across a cut do not count. NaN for under three frames of a shot.
    """
    second = np.abs(landmarks[2:] - 2 * landmarks[1:-1] + landmarks[:-2]).mean((1, 2)) / scale[1:-1]
    inside = np.isfinite(second)
    if same is not None:
        inside &= (same[2:] == same[1:-1]) & (same[1:-1] == same[:-2])
    return float(100 * second[inside].mean()) if inside.any() else float("nan")
