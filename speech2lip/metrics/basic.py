"""Elementary measures: PSNR, correlation, lag, runs."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def decibels(error: float, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error: 10 log10(data_range^2 / error); infinite at 0."""
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(np.float64(data_range**2) / error))


def psnr(a: Tensor, b: Tensor, weight: Tensor) -> list[float]:
    """Peak signal-to-noise ratio in dB per image on [0, 1], of the weighted mean squared error.

    a, b: [B, C, H, W]; weight: [B or 1, 1, H, W]. Identical images give 100 dB.
    """
    w = weight.expand(len(a), a.shape[1], -1, -1)
    error = ((a - b) ** 2 * w).sum((1, 2, 3)) / w.sum((1, 2, 3)).clamp(min=1e-9)
    return [decibels(float(v)) for v in error.clamp(min=1e-10)]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of two series; NaN when either is constant."""
    if len(a) < 3 or np.std(a) < 1e-12 or np.std(b) < 1e-12:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def partial_slope(a: np.ndarray, cause: np.ndarray, other: np.ndarray) -> float:
    """How much series `a` [T] rises per unit of `cause` at equal `other` (least squares).

    Triples with a NaN do not count; NaN where fewer than 4 are left, or where the two causes
    cannot be told apart.
    """
    kept = np.isfinite(a) & np.isfinite(cause) & np.isfinite(other)
    causes = np.stack([cause[kept], other[kept]], 1)
    causes = causes - causes.mean(0) if kept.any() else causes
    if kept.sum() < 4 or np.linalg.matrix_rank(causes) < 2:
        return float("nan")
    return float(np.linalg.lstsq(causes, a[kept] - a[kept].mean(), rcond=None)[0][0])


def lag_curve(a: np.ndarray, b: np.ndarray, reach: int = 15) -> np.ndarray:
    """Pearson correlation [2 reach + 1] of series [T] at lags -reach .. reach frames; at lag k, a[t + k] meets b[t].

    Pairs in which either is NaN do not count.
    """
    scores = []
    for lag in range(-reach, reach + 1):
        x, y = (a[lag:], b[: len(b) - lag]) if lag >= 0 else (a[:lag], b[-lag:])
        n = max(min(len(x), len(y)), 0)
        both = np.isfinite(x[:n]) & np.isfinite(y[:n])
        scores.append(correlation(x[:n][both], y[:n][both]))
    return np.array(scores)


def best_lag(a: np.ndarray, b: np.ndarray, reach: int = 8) -> tuple[int, float]:
    """Lag in frames at which `a` follows `b` best (positive: a is late), and that correlation."""
    scores = lag_curve(a, b, reach)
    best = int(np.argmax(np.where(np.isnan(scores), -2.0, scores)))
    return best - reach, float(scores[best])


def runs(flags: np.ndarray) -> np.ndarray:
    """[start, end) of every run of True in [T], as [N, 2]."""
    return np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, int), [0]]))).reshape(-1, 2)
