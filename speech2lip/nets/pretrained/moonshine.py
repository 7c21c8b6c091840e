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
_PER_ROW = 6  # values of the first convolution from a row to the next


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

    def forward(self, wav: Tensor, chosen: Sequence[int], past: Past | None = None) -> list[Tensor]:
        """chosen: layers whose output is wanted, from 0; deeper layers than the deepest are not run.

        past: of the first rows of `wav`, which are not computed again; states of the others are returned, and become past.
        """
        kept = 0 if past is None else past.rows
        x = torch.tanh(self.conv1(wav[:, None, kept * HOP :]))
        x = self.norm(x) if past is None else past.normed(x, self.norm)
        x = F.gelu(_convolved(F.gelu(_convolved(x, self.conv2)).transpose(1, 2), self.conv3))
        turn = _rotation(kept + x.shape[1], self._rotary, x)
        layers = [layer for layer in self.layers if isinstance(layer, _Layer)]
        normed = [*(layer.before_attention for layer in layers[1:]), self.final]
        states: dict[int, Tensor] = {}
        for number, layer in enumerate(layers[: max(chosen) + 1]):
            x = layer(x, turn, None if past is None else past.of(number))
            if number in chosen:
                states[number] = normed[number](x)
        return [states[number] for number in chosen]


def _convolved(x: Tensor, layer: nn.Conv1d) -> Tensor:
    """[B, C, T] -> [B, n, out], as one product of matrices: for some ten rows, oneDNN spends more on putting weights in its order."""
    patches = x.unfold(2, layer.kernel_size[0], layer.stride[0]).transpose(1, 2).flatten(2)
    return F.linear(patches, layer.weight.flatten(1), layer.bias)


class Past:
    """What is kept of rows that were heard before, so that later rows can hear them: by every layer, and by the normalisation
    after the first convolution."""

    def __init__(self) -> None:
        self._layers: dict[int, _Kept] = {}
        self._sums = torch.zeros(2, 0)  # of the first convolution's values over channels, and of their squares

    @property
    def rows(self) -> int:
        return self._layers[0].rows if self._layers else 0

    def of(self, layer: int) -> _Kept:
        return self._layers.setdefault(layer, _Kept())

    def normed(self, x: Tensor, norm: nn.GroupNorm) -> Tensor:
        """`norm` of values [1, C, T] and of those before them, without the latter."""
        self._sums = torch.cat([self._sums.to(x), torch.stack([x.sum(1)[0], x.square().sum(1)[0]])], 1)
        mean, square = self._sums.mean(1) / x.shape[1]
        scale = torch.rsqrt(square - mean.square() + norm.eps) * norm.weight
        return torch.addcmul((norm.bias - mean * scale)[:, None], x, scale[:, None])

    def keep(self, first: int, end: int) -> None:
        """Forget all rows but those of [first, end)."""
        self._sums = self._sums[:, _PER_ROW * first : _PER_ROW * end]
        for layer in self._layers.values():
            layer.keep(first, end)


class _Kept:
    """Keys, not yet turned, and values [B, H, T, D] of one layer's rows."""

    def __init__(self) -> None:
        self._pair: tuple[Tensor, Tensor] | None = None

    @property
    def rows(self) -> int:
        return 0 if self._pair is None else self._pair[0].shape[2]

    def joined(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """With those of the rows that follow, which are kept too."""
        if self._pair is not None:
            key, value = (torch.cat(pair, 2) for pair in zip(self._pair, (key, value), strict=True))
        self._pair = key, value
        return key, value

    def keep(self, first: int, end: int) -> None:
        assert self._pair is not None
        key, value = self._pair
        self._pair = key[:, :, first:end], value[:, :, first:end]


class _Layer(nn.Module):
    """Attention and a feed-forward part, [B, T, width] both."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.rise, self.fall = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], past: _Kept | None = None) -> Tensor:
        """turn: of `_rotation`, for the rows of `past` and those of `x` behind them."""
        normed = self.before_attention(x)
        query, key, value = (
            layer(normed).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        if past is not None:
            key, value = past.joined(key, value)
        here = (turn[0][-x.shape[1] :], turn[1][-x.shape[1] :])
        heard = F.scaled_dot_product_attention(_turned(query, here), _turned(key, turn), value)
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
