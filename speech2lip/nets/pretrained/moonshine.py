"""The encoder of Moonshine (Jeffries et al. 2024), a speech recogniser that hears raw sound."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

HOP = 384  # samples per row
FIRST = 447  # the sample that row 0 is centred on
FIELD = 895  # samples that one row's convolutions see


class MoonshineEncoder(nn.Module):
    """Waveforms [B, N] at 16 kHz -> what chosen layers hold of them, [B, T, width] each.

    Three convolutions, then transformer layers (before-normed, rotary positions on the first
    `rotary` dimensions of a head). Row k is centred on sample FIRST + k * HOP; every row
    hears the whole of `wav`, through attention and through the normalisation that follows
    the first convolution. States of a layer are given as the next layer receives them,
    normalised over the width.
    """

    def __init__(self, width: int = 288, layers: int = 6, heads: int = 8, rotary: int = 32):
        super().__init__()
        self.conv1 = nn.Conv1d(1, width, 127, 64, bias=False)
        self.norm = nn.GroupNorm(1, width)
        self.conv2, self.conv3 = nn.Conv1d(width, 2 * width, 7, 3), nn.Conv1d(2 * width, width, 3, 2)
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(layers))
        self.final = nn.LayerNorm(width, bias=False)
        self._rotary = rotary

    def forward(self, wav: Tensor, chosen: Sequence[int]) -> list[Tensor]:
        """chosen: layers whose output is wanted, from 0; deeper layers than the deepest are not run."""
        x = self.norm(torch.tanh(self.conv1(wav[:, None])))
        x = F.gelu(self.conv3(F.gelu(self.conv2(x)))).transpose(1, 2)
        turn = _rotation(x.shape[1], self._rotary, x)
        layers = [layer for layer in self.layers if isinstance(layer, _Layer)]
        normed = [*(layer.before_attention for layer in layers[1:]), self.final]
        states: dict[int, Tensor] = {}
        for number, layer in enumerate(layers[: max(chosen) + 1]):
            x = layer(x, turn)
            if number in chosen:
                states[number] = normed[number](x)
        return [states[number] for number in chosen]


class _Layer(nn.Module):
    """Attention and a feed-forward part, [B, T, width] both."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.rise, self.fall = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        normed = self.before_attention(x)
        query, key, value = (
            layer(normed).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        heard = F.scaled_dot_product_attention(_turned(query, turn), _turned(key, turn), value)
        x = x + self.out(heard.transpose(1, 2).flatten(2))
        return x + self.fall(F.gelu(self.rise(self.before_mlp(x))))


def _rotation(rows: int, size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines [rows, size] of rotary positions; neighbours turn together."""
    speed = 10_000 ** -(torch.arange(0, size, 2, device=like.device) / size)
    angle = torch.outer(torch.arange(rows, device=like.device), speed).repeat_interleave(2, 1)
    return angle.cos().to(like), angle.sin().to(like)


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate pairs of the first dimensions of heads [B, H, T, D]."""
    cosine, sine = turn
    moved, kept = x[..., : cosine.shape[1]], x[..., cosine.shape[1] :]
    across = torch.stack([-moved[..., 1::2], moved[..., ::2]], -1).flatten(-2)
    return torch.cat([moved * cosine + across * sine, kept], -1)
