"""Sinusoidal encodings of pixel coordinates and of the frame index."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def frequency_encoding(x: Tensor, frequencies: int) -> Tensor:
    """[..., D] -> [..., D (1 + 2 frequencies)]: x, then sin and cos of 2^k x for each k (NeRF)."""
    parts = [x]
    for k in range(frequencies):
        parts += [torch.sin(x * 2.0**k), torch.cos(x * 2.0**k)]
    return torch.cat(parts, -1)


def frame_encoding(index: Tensor, dims: int = 20, base: float = 10_000.0) -> Tensor:
    """Frame indices [B] -> [B, dims]: interleaved sin and cos of index / base^(2k / dims)."""
    rate = torch.exp(torch.arange(0, dims, 2, device=index.device) * (-math.log(base) / dims))
    angle = index.float()[:, None] * rate
    return torch.stack([torch.sin(angle), torch.cos(angle)], -1).flatten(1)


def lattice(width: int, height: int, device: torch.device | str = "cpu") -> Tensor:
    """Centres of a lip image's pixels, [height * width, 2] (x, y) in [0, 1], borders at 0 and 1."""
    y, x = torch.meshgrid(
        torch.linspace(0, 1, height, device=device), torch.linspace(0, 1, width, device=device), indexing="ij"
    )
    return torch.stack([x, y], -1).reshape(-1, 2)
