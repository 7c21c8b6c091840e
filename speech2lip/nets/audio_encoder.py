"""Audio window -> embedding, and embedding -> mouth shape."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

from .chance import Dropout

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
            layers += [nn.Conv1d(channels, out, 3, stride, 1), nn.LeakyReLU(0.02), Dropout(dropout)]
            channels, size = out, (size - 1) // stride + 1
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(channels * size, embedding),
            nn.LeakyReLU(0.02),
            Dropout(dropout),
            nn.Linear(embedding, embedding),
        )

    def forward(self, window: Tensor) -> Tensor:
        """window: [B, rows, channels] -> [B, embedding]."""
        features: Tensor = self.head(self.convolutions(window.transpose(1, 2)).flatten(1))
        return features


class StreamEncoder(nn.Module):
    """One AudioEncoder for each stream of features.

    window [B, rows, sum of `streams`] -> embeddings side by side [B, streams * embedding].
    """

    def __init__(
        self, rows: int, streams: Sequence[int], convolutions: Sequence[tuple[int, int]], embedding: int, dropout: float
    ):
        super().__init__()
        self._streams = tuple(streams)
        self.encoders = nn.ModuleList(
            AudioEncoder(rows, channels, convolutions, embedding, dropout) for channels in streams
        )

    def forward(self, window: Tensor) -> Tensor:
        """window: [B, rows, channels of all streams] -> [B, streams * embedding]."""
        parts = window.split(self._streams, 2)
        return torch.cat([encoder(part) for encoder, part in zip(self.encoders, parts, strict=True)], 1)


class ShapeHead(nn.Module):
    """Embeddings of streams, side by side [B, streams * E] -> standardised mouth-shape codes [B, K].

    Each stream has an opinion of its own, trained alone; what is believed is their mean,
    weighed by `stream_weights`. Together they guess better than one network that sees both, which
    learns what is easy from one and little from the other.

    In use codes are to be multiplied by `gain` [K]: least squares moves a mouth less
    than it should, by as much as speech leaves it uncertain, and that is what mumbles.
    """

    gain: Tensor
    stream_weights: Tensor

    def __init__(self, embedding: int, codes: int, weights: Sequence[float] = (1.0,)):
        super().__init__()
        self.heads = nn.ModuleList(nn.Sequential(nn.LeakyReLU(0.02), nn.Linear(embedding, codes)) for _ in weights)
        self.register_buffer("stream_weights", torch.tensor([weight / sum(weights) for weight in weights]))
        self.register_buffer("gain", torch.ones(codes))

    def stream_predictions(self, embedding: Tensor) -> Tensor:
        """What each stream says, [B, streams, K], without gain."""
        parts = embedding.chunk(len(self.heads), 1)
        return torch.stack([head(part) for head, part in zip(self.heads, parts, strict=True)], 1)

    def forward(self, embedding: Tensor) -> Tensor:
        """embedding: [B, streams * E] -> codes [B, K], without gain."""
        return (self.stream_predictions(embedding) * self.stream_weights[:, None]).sum(1)
