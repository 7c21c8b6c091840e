"""Landmark measures: distance between two mouths, steady coordinates, and jitter."""

from __future__ import annotations

import numpy as np


def landmark_distance(generated: np.ndarray, real: np.ndarray, centred: bool = True) -> np.ndarray:
    """LMD of each frame [T]: mean distance of corresponding landmarks [T, K, 2], each set less its own mean
    unless `centred` is False."""
    a, b = (x - x.mean(1, keepdims=True) * centred for x in (generated, real))
    return np.asarray(np.linalg.norm(a - b, axis=2).mean(1))


def stabilise(landmarks: np.ndarray, still: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Move, turn and scale each frame's landmarks [T, K, 2] so that the points `still` (indices) lie
    on `reference` [len(still), 2] as well as a similarity can (Umeyama 1991, in the plane). Frames
    without landmarks (NaN) stay so."""
    middle = landmarks[:, still].mean(1, keepdims=True)
    fixed = reference - reference.mean(0)
    points = (landmarks[:, still] - middle) @ np.array([1, 1j])
    spread = (np.abs(points) ** 2).sum(1)
    turn = (points.conj() @ (fixed @ np.array([1, 1j]))) / np.where(spread > 0, spread, np.nan)
    moved = ((landmarks - middle) @ np.array([1, 1j])) * turn[:, None]
    return np.stack([moved.real, moved.imag], -1) + reference.mean(0)


def jitter(landmarks: np.ndarray, scale: np.ndarray, same: np.ndarray | None = None) -> np.ndarray:
    """Absolute second difference over time of landmarks [T, K, 2], mean over them, in % of `scale` [T].

    same: [T] number of the shot. Returns [T]; NaN at the first and last frame of a shot and
    beside frames without landmarks.
    """
    out = np.full(len(landmarks), np.nan)
    if len(landmarks) >= 3:
        second = np.abs(landmarks[2:] - 2 * landmarks[1:-1] + landmarks[:-2]).mean((1, 2))
        out[1:-1] = 100 * second / scale[1:-1]
    if same is not None and len(landmarks) >= 3:
        out[1:-1][(same[2:] != same[1:-1]) | (same[1:-1] != same[:-2])] = np.nan
    return out
