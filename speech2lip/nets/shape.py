"""A linear basis of mouth shapes: landmarks <-> standardised codes."""

from __future__ import annotations

import torch
import torch.nn as nn
from torch import Tensor

from ..facemesh import LIPS, LIPS_OUTER


class ShapeBasis(nn.Module):
    """Principal components of canonical mouth landmarks.

    codes [B, K] have unit variance on the training frames; `scale` [K] is each code's
    standard deviation in pixels (norm over all landmarks).
    """

    mean: Tensor
    components: Tensor
    scale: Tensor

    def __init__(self, codes: int, points: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(points * 2))
        self.register_buffer("components", torch.zeros(codes, points * 2))
        self.register_buffer("scale", torch.ones(codes))

    def fit(self, mouth: Tensor) -> None:
        """Learn the basis from training landmarks [N, points, 2] in canonical pixels."""
        flat = mouth.reshape(len(mouth), -1).double()
        mean = flat.mean(0)
        _, values, vectors = torch.linalg.svd(flat - mean, full_matrices=False)
        count = len(self.components)
        if len(values) < count:
            raise ValueError(f"{len(flat)} frames cannot span {count} shape codes")
        self.mean.copy_(mean)
        self.components.copy_(vectors[:count])
        self.scale.copy_((values[:count] / len(flat) ** 0.5).clamp(min=1e-3))

    def encode(self, mouth: Tensor) -> Tensor:
        """Landmarks [B, points, 2] -> codes [B, K]."""
        return (mouth.reshape(len(mouth), -1) - self.mean) @ self.components.T / self.scale

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, K] -> landmarks [B, points, 2] in canonical pixels."""
        return ((codes * self.scale) @ self.components + self.mean).reshape(len(codes), -1, 2)

    def gap(self, codes: Tensor) -> Tensor:
        """Area [B] between the inner lips of codes [B, K], in square canonical pixels (the shoelace formula)."""
        x, y = self.decode(codes)[:, len(LIPS_OUTER) : len(LIPS)].unbind(-1)
        return (x * y.roll(-1, 1) - y * x.roll(-1, 1)).sum(1).abs() / 2

    @property
    def weights(self) -> Tensor:
        """Importance [K] of each code for a loss; sums to 1."""
        return self.scale / self.scale.sum()
