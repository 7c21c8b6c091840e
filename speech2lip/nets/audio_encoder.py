"""Audio window -> embedding, and embedding -> mouth shape."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

# (channels, stride) of each 3-wide convolution, as published: 16 rows shrink to one.
PUBLISHED_CONVOLUTIONS = ((32, 2), (32, 2), (64, 2), (64, 2))


class AudioEncoder(nn.Module):
    """Strided 1-D convolutions over time, then two linear layers.

    window [B, rows, channels] -> embedding [B, embedding]. With PUBLISHED_CONVOLUTIONS,
    16 rows, embedding 64 and no dropout this is the paper's encoder.
    """

    def __init__(
        self, rows: int, channels: int, convolutions: Sequence[tuple[int, int]], embedding: int, dropout: float = 0.0
    ):
        super().__init__()
        layers: list[nn.Module] = []
        size = rows
        for out, stride in convolutions:
            layers += [nn.Conv1d(channels, out, 3, stride, 1), nn.LeakyReLU(0.02), nn.Dropout(dropout)]
            channels, size = out, (size - 1) // stride + 1
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(channels * size, embedding),
            nn.LeakyReLU(0.02),
            nn.Dropout(dropout),
            nn.Linear(embedding, embedding),
        )

    def forward(self, window: Tensor) -> Tensor:
        features: Tensor = self.head(self.convolutions(window.transpose(1, 2)).flatten(1))
        return features


class ShapeHead(nn.Module):
    """Embedding [B, E] -> standardised mouth-shape codes [B, K].

    In use (eval mode) codes are multiplied by `gain` [K]: least squares moves a mouth less
    than it should, by as much as speech leaves it uncertain, and that is what mumbles.
    """

    gain: Tensor

    def __init__(self, embedding: int, codes: int):
        super().__init__()
        self.layers = nn.Sequential(nn.LeakyReLU(0.02), nn.Linear(embedding, codes))
        self.register_buffer("gain", torch.ones(codes))

    def forward(self, embedding: Tensor) -> Tensor:
        codes: Tensor = self.layers(embedding)
        return codes if self.training else codes * self.gain
