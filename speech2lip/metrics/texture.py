"""How fine and how steady a drawn mouth is: texture, open area, flicker, and whether it is told from a real one."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.stats import rankdata

from .basic import correlation

FINEST = 0.02  # of the interocular distance: standard deviation of the high-pass's Gaussian
_LEAST = 25  # pixels below which a polygon has no texture
_GRID, _OCTAVES, _SHRINKAGE = (3, 4), 3, 10.0


def detail(gray: np.ndarray, scale: float) -> np.ndarray:
    """Brightness [H, W] less its Gaussian blur of `FINEST` times `scale`, the distance between the outer eye corners."""
    gray = np.asarray(gray, np.float32)
    return gray - cv2.GaussianBlur(gray, (0, 0), max(FINEST * scale, 0.5))


def inside(polygon: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Pixels [H, W] bool whose centres lie in a polygon [K, 2] (x, y), to 1/16 pixel."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(polygon * 16).astype(np.int32)], 1, shift=4)
    return mask > 0


def texture(fine: np.ndarray, where: np.ndarray) -> float:
    """Standard deviation of a detail picture [H, W] in a region [H, W] bool; NaN where that is below 25 pixels."""
    return float(fine[where].std()) if where.sum() >= _LEAST else float("nan")


def flicker(before: np.ndarray, now: np.ndarray, after: np.ndarray, where: np.ndarray) -> float:
    """Root mean square of brightness [H, W] less the mean of its neighbours in time, in a region [H, W] bool."""
    if where.sum() < _LEAST:
        return float("nan")
    change = now[where].astype(np.float32) - (before[where].astype(np.float32) + after[where]) / 2
    return float(np.sqrt(np.mean(change**2)))


def polygon_area(points: np.ndarray) -> np.ndarray:
    """Area [...] of polygons [..., K, 2] without crossings (the shoelace formula)."""
    x, y = points[..., 0], points[..., 1]
    return np.asarray(np.abs((x * np.roll(y, -1, -1) - y * np.roll(x, -1, -1)).sum(-1)) / 2)


def octave_energies(crop: np.ndarray) -> np.ndarray:
    """Log energy of three octaves of brightness [H, W] on a grid of 3 x 4 cells, [36]: what `told_apart` looks at."""
    out, coarse = [], np.asarray(crop, np.float32)
    for octave in range(_OCTAVES):
        blurred = cv2.GaussianBlur(coarse, (0, 0), 2.0**octave)
        energy = cv2.resize((coarse - blurred) ** 2, _GRID[::-1], interpolation=cv2.INTER_AREA)
        out.append(np.log(energy + 0.1).ravel())
        coarse = blurred
    return np.concatenate(out)


def told_apart(real: np.ndarray, made: np.ndarray) -> float:
    """How well a linear classifier tells made from real: area under the curve; 0.5 is not at all, 1 always.

    real, made: features [T, F] of the same frames in order of time; rows with NaN do not
    count. It is fitted on one half of the time and judged on the other, both ways, and the mean is given.
    """
    kept = np.isfinite(real).all(1) & np.isfinite(made).all(1)
    halves = np.array_split(np.flatnonzero(kept), 2)
    if min(len(half) for half in halves) < 4:
        return float("nan")
    areas = []
    for fit, judge in (halves, halves[::-1]):
        weights = _direction(real[fit], made[fit])
        areas.append(_area_under_curve(real[judge] @ weights, made[judge] @ weights))
    return float(np.mean(areas))


def open_area_r(made: np.ndarray, real: np.ndarray) -> float:
    """Correlation of two series of areas [T]; NaN entries do not count."""
    both = np.isfinite(made) & np.isfinite(real)
    return correlation(made[both], real[both])


def _direction(real: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Fisher's discriminant [F] with a ridge, on features brought to unit deviation."""
    spread = np.concatenate([real, made]).std(0) + 1e-6
    a, b = real / spread, made / spread
    within = np.cov(a, rowvar=False) + np.cov(b, rowvar=False)
    within += np.eye(len(spread)) * _SHRINKAGE * np.trace(within) / len(spread) / len(real)
    return np.asarray(np.linalg.solve(within, b.mean(0) - a.mean(0)) / spread)


def _area_under_curve(low: np.ndarray, high: np.ndarray) -> float:
    """Chance that a value of `high` exceeds one of `low`; ties count half (Mann and Whitney 1947)."""
    ranks = rankdata(np.concatenate([low, high]))[len(low) :]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(low) * len(high)))
