"""Smoothing of predicted mouths over time: without lag where the future is known, with a stated one live."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_REACH = 3.0  # standard deviations at which kernels are cut


def kernel(sigma: float, causal: bool) -> np.ndarray:
    """Weights float64 [2 r + 1] of the frames -r..r around one, whose sum is 1; sigma: in frames.

    Symmetric: a Gaussian G applied twice, 2 G - G * G (Tukey's twicing). It leaves slopes and curves of the movement as they are,
    and so most of its amplitude, and makes no frequency louder. Causal: the past half of a Gaussian, late by `lag` frames.
    """
    if sigma <= 0:
        return np.ones(1)
    reach = int(np.ceil(_REACH * sigma))
    places = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (places / sigma) ** 2)
    if causal:
        return np.asarray(weights * (places <= 0) / weights[: reach + 1].sum())
    weights /= weights.sum()
    return np.asarray(2 * np.pad(weights, reach) - np.convolve(weights, weights))


def lag(sigma: float) -> float:
    """Frames by which causal smoothing is late: the mean age of what it averages."""
    weights = kernel(sigma, causal=True)
    return float(-(weights * np.arange(-(len(weights) // 2), len(weights) // 2 + 1)).sum())


def smoothed(values: Tensor, sigma: float, causal: bool) -> Tensor:
    """Values [N, K] of frames in a row, averaged over time; the first and the last go on beyond the ends."""
    weights = kernel(sigma, causal)
    reach = len(weights) // 2
    if reach == 0:
        return values
    padded = F.pad(values.T[None], (reach, reach), mode="replicate")[0]
    return F.conv1d(padded[:, None], torch.from_numpy(weights).to(values)[None, None])[:, 0].T
