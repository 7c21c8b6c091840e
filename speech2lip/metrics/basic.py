"""Elementary measures: PSNR, correlation, lag."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def psnr(a: Tensor, b: Tensor, weight: Tensor) -> list[float]:
    """Peak signal-to-noise ratio in dB per image: -10 log10(weighted MSE) on [0, 1].

    a, b: [B, C, H, W]; weight: [B or 1, 1, H, W]. Identical images give 100 dB.
    """
    w = weight.expand(len(a), a.shape[1], -1, -1)
    error = ((a - b) ** 2 * w).sum((1, 2, 3)) / w.sum((1, 2, 3)).clamp(min=1e-9)
    return [float(v) for v in -10 * error.clamp(min=1e-10).log10()]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of two series; NaN when either is constant."""
    if len(a) < 3 or np.std(a) < 1e-12 or np.std(b) < 1e-12:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def best_lag(a: np.ndarray, b: np.ndarray, reach: int = 8) -> tuple[int, float]:
    """Lag in frames at which `a` follows `b` best (positive: a is late), and that correlation."""
    scores = {}
    for lag in range(-reach, reach + 1):
        x, y = (a[lag:], b[: len(b) - lag]) if lag >= 0 else (a[:lag], b[-lag:])
        n = min(len(x), len(y))
        scores[lag] = correlation(x[:n], y[:n])
    lag = max(scores, key=lambda k: -2.0 if np.isnan(scores[k]) else scores[k])
    return lag, scores[lag]
