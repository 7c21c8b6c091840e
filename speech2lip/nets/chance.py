"""Random numbers that networks draw while they are trained: every thread from a source of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn as nn
from torch import Tensor


class _Source(threading.local):
    """PyTorch's own source, which threads share, where none is set."""

    generator: torch.Generator | None = None


_source = _Source()


@contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """While it lasts, networks of this thread draw from `generator`, which lies on their device: numbers then depend neither on
    other threads nor on what was drawn before."""
    before, _source.generator = _source.generator, generator
    try:
        yield
    finally:
        _source.generator = before


def normal_like(x: Tensor) -> Tensor:
    """Standard normal numbers in the shape of `x`, on its device."""
    return torch.randn(x.shape, generator=_source.generator, dtype=x.dtype, device=x.device)


def uniform(*shape: int, device: torch.device) -> Tensor:
    """Numbers in [0, 1), float32."""
    return torch.rand(shape, generator=_source.generator, device=device)


class Dropout(nn.Module):
    """Sets a share of the values to 0, or of the whole channels [B, C, ...], and makes up for it (Srivastava et al. 2014); in use it
    changes nothing."""

    def __init__(self, share: float, channels: bool = False):
        super().__init__()
        self.share, self.channels = share, channels

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.share == 0:
            return x
        shape = [*x.shape[:2], *[1] * (x.dim() - 2)] if self.channels else x.shape
        kept = torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(
            1 - self.share, generator=_source.generator
        )
        return x * (kept / (1 - self.share))
