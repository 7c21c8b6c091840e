"""Smooth tracks: maximum a posteriori poses, bridged gaps, filled landmarks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import solveh_banded

from ..facemesh import LANDMARKS


def smooth_poses(
    raw: np.ndarray, information: np.ndarray, seen: np.ndarray, segments: Sequence[tuple[int, int]], factor: float
) -> tuple[np.ndarray, np.ndarray]:
    """MAP poses [T, 6] under white accelerations, and the measured noise [6].

    For white noise of variance s2, the fourth difference has variance 70 s2 and a smooth
    motion almost none; what second differences hold beyond 6 s2 is real acceleration.
    """
    noise, acceleration = _difference_variances(raw, seen, segments)
    covariance = np.linalg.inv(information[seen]).diagonal(axis1=1, axis2=2).mean(0)
    trust = 1 / np.maximum(np.median(noise / covariance), 1e-12)
    out = raw.copy()
    for start, end in segments:
        if end - start >= 3 and seen[start:end].any() and factor > 0:
            weights = information[start:end] * trust / factor
            out[start:end] = solve_smooth(raw[start:end], weights, 1 / acceleration)
    return out, np.sqrt(noise)


def _difference_variances(
    raw: np.ndarray, seen: np.ndarray, segments: Sequence[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    second, fourth = [], []
    for start, end in segments:
        inside = raw[start:end].copy()
        inside[~seen[start:end]] = np.nan
        second.append(np.diff(inside, 2, axis=0))
        fourth.append(np.diff(inside, 4, axis=0))
    d2, d4 = np.concatenate(second), np.concatenate(fourth)
    if np.isfinite(d4).all(1).sum() < 8:
        return np.full(6, 1e-12), np.full(6, 1.0)
    noise = np.nanmean(_clipped_square(d4), 0) / 70 + 1e-12
    return noise, np.maximum(np.nanmean(_clipped_square(d2), 0) - 6 * noise, 0.02 * noise)


def _clipped_square(values: np.ndarray) -> np.ndarray:
    """Squares, limited to ten times their median so that single outliers do not count."""
    square = values**2
    return np.minimum(square, 10 * np.nanmedian(square, axis=0) + 1e-12)


def solve_smooth(raw: np.ndarray, weights: np.ndarray, stiffness: np.ndarray) -> np.ndarray:
    """min over p: sum_t (p_t - raw_t)' W_t (p_t - raw_t) + sum_t stiffness . (second diff p)_t^2."""
    frames = len(raw)
    band = np.zeros((13, 6 * frames))  # lower form: band[d, j] = A[j + d, j]
    for a in range(6):
        for b in range(a, 6):
            band[b - a, a::6] += weights[:, b, a]
    stencil = np.array([1.0, -2.0, 1.0])
    for offset in range(3):
        for first in range(3 - offset):
            value = stencil[first] * stencil[first + offset]
            for c in range(6):
                columns = 6 * np.arange(first, frames - 2 + first) + c
                band[6 * offset, columns] += value * stiffness[c]
    right = np.einsum("tab,tb->ta", weights, np.where(weights.any((1, 2))[:, None], raw, 0)).ravel()
    return np.asarray(solveh_banded(band, right, lower=True)).reshape(frames, 6)


def bridge(seen: np.ndarray, shots: Sequence[tuple[int, int]], max_gap: int) -> list[tuple[int, int]]:
    """Segments [start, end) of continuous tracking: within a shot, gaps of up to `max_gap` frames bridged."""
    segments = []
    for start, end in shots:
        inside = np.flatnonzero(seen[start:end]) + start
        if len(inside):
            breaks = np.flatnonzero(np.diff(inside) > max_gap + 1)
            starts = [inside[0], *inside[breaks + 1]]
            ends = [*(inside[breaks] + 1), inside[-1] + 1]
            segments += [(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]
    return segments


def fill_landmarks(landmarks: np.ndarray, seen: np.ndarray, segments: Sequence[tuple[int, int]]) -> np.ndarray:
    """Landmarks [T, 478, C] with bridged gaps interpolated linearly."""
    assert landmarks.shape[1] == LANDMARKS
    out = landmarks.copy()
    for start, end in segments:
        known = np.flatnonzero(seen[start:end]) + start
        for t in np.flatnonzero(~seen[start:end]) + start:
            after = known[np.searchsorted(known, t)]
            before = known[np.searchsorted(known, t) - 1]
            blend = (t - before) / (after - before)
            out[t] = (1 - blend) * landmarks[before] + blend * landmarks[after]
    return out
