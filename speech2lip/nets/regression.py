"""Shape codes from a whole window of sound by ridge regression, beside the encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

_ROWS = 4  # of a window that are taken together: their mean says as much, and there are fewer weights
_LEAST_SPREAD = 1e-3  # of a feature; below, it is no more than silence
Pairs = Callable[
    [], Iterable[tuple[Tensor, Tensor]]
]  # windows [n, rows, channels] and their codes [n, K], piece by piece


class WindowRegression(nn.Module):
    """Least squares with a penalty on the weights (ridge; Hoerl and Kennard 1970), solved and not trained.

    What it gets wrong, the encoder gets wrong otherwise: their mean is nearer to the mouth than either
    (docs/experiments/speech-encoder.md). share: [K] how far a code is believed; 0 until it is fitted.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    share: Tensor

    def __init__(self, rows: int, channels: int, codes: int):
        super().__init__()
        self._groups = -(-rows // _ROWS)
        size = self._groups * channels
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("weight", torch.zeros(size, codes))
        self.register_buffer("bias", torch.zeros(codes))
        self.register_buffer("share", torch.zeros(codes))

    def forward(self, windows: Tensor) -> Tensor:
        """Windows [B, rows, channels] -> codes [B, K]."""
        return self._standard(windows) @ self.weight + self.bias

    def mixed(self, windows: Tensor, codes: Tensor) -> Tensor:
        """Codes [B, K] of the encoder, and those of the windows by their share."""
        return torch.lerp(codes, self(windows).to(codes), self.share.to(codes))

    @torch.no_grad()
    def fit(self, pairs: Pairs, strength: float) -> None:
        """Find the weights. strength: of the penalty, per sample and standardised feature; more is smoother."""
        self._measure(pairs)
        size = len(self.mean)
        count, normal, right = 0, self.mean.new_zeros(size, size), torch.zeros_like(self.weight)
        for windows, codes in pairs():
            features = self._standard(windows)
            normal.addmm_(features.T, features)
            right.addmm_(features.T, codes - self.bias)
            count += len(codes)
        normal.diagonal().add_(strength * count)
        self.weight.copy_(torch.cholesky_solve(right, torch.linalg.cholesky(normal)))

    def _measure(self, pairs: Pairs) -> None:
        """Means and deviations of features, and the mean codes."""
        count, codes = 0, torch.zeros_like(self.bias)
        sums, squares = (self.mean.new_zeros(len(self.mean), dtype=torch.float64) for _ in range(2))
        for windows, wanted in pairs():
            features = self._pooled(windows).double()
            sums, squares = sums + features.sum(0), squares + (features**2).sum(0)
            codes, count = codes + wanted.sum(0), count + len(wanted)
        mean = sums / count
        self.mean.copy_(mean)
        self.scale.copy_((squares / count - mean**2).clamp(min=0).sqrt() + _LEAST_SPREAD)
        self.bias.copy_(codes / count)

    def _standard(self, windows: Tensor) -> Tensor:
        return (self._pooled(windows) - self.mean) / self.scale

    def _pooled(self, windows: Tensor) -> Tensor:
        """[B, features]: means of neighbouring rows."""
        return F.adaptive_avg_pool1d(windows.float().transpose(1, 2), self._groups).flatten(1)
