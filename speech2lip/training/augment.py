"""What training does to windows of audio features, so that they are not learned by heart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..audio.backend import Stream


def augment(windows: Tensor, generator: torch.Generator, streams: Sequence[Stream], strength: float = 1.0) -> Tensor:
    """Disturb standardised audio windows [B, rows, channels]: level, tilt, noise, missing bands.

    What a new microphone or voice changes, the mouth must not follow. Streams that are no
    spectrum get a little noise only. strength: factor on all disturbances; 0 changes nothing.
    """
    if strength == 0:
        return windows
    parts = windows.split([stream.channels for stream in streams], 2)
    disturbed = [
        _disturb(part, generator, stream.spectral, strength) for part, stream in zip(parts, streams, strict=True)
    ]
    return torch.cat(disturbed, 2)


def _disturb(windows: Tensor, generator: torch.Generator, spectral: bool, strength: float) -> Tensor:
    count, rows, channels = windows.shape

    def normal(*shape: int) -> Tensor:
        return strength * torch.randn(*shape, generator=generator).to(windows.device)

    if not spectral:
        return windows + 0.1 * normal(count, rows, channels)
    tilt = torch.linspace(-1, 1, channels, device=windows.device)
    out = windows + 0.2 * normal(count, 1, 1) + 0.2 * normal(count, 1, 1) * tilt + 0.1 * normal(count, rows, channels)
    start = torch.randint(0, channels, (count, 1, 1), generator=generator).to(windows.device)
    width = torch.randint(0, round(11 * strength) + 1, (count, 1, 1), generator=generator).to(windows.device)
    band = torch.arange(channels, device=windows.device)
    return out.masked_fill((band >= start) & (band < start + width), 0.0)


def hold(windows: Tensor, random: np.random.Generator, rows: int) -> Tensor:
    """Windows [B, rows, channels] of which half are as if their end had not been heard yet: in place of up to `rows` last rows
    stands the one before, as in live rendering. 0 changes nothing."""
    if rows == 0:
        return windows
    count, length, channels = windows.shape
    missing = random.integers(0, rows + 1, count) * random.integers(0, 2, count)
    last = torch.from_numpy(length - 1 - missing)[:, None].to(windows.device)
    taken = torch.minimum(torch.arange(length, device=windows.device)[None], last)
    return windows.gather(1, taken[:, :, None].expand(-1, -1, channels))


def mix(windows: Tensor, codes: Tensor, random: np.random.Generator, strength: float) -> tuple[Tensor, Tensor]:
    """Blend random pairs of samples [B, ...] and of their targets [B, K] alike (mixup, Zhang et al. 2018).

    strength: both parameters of the beta distribution of the shares; 0 changes nothing.
    """
    if strength == 0:
        return windows, codes
    share = torch.from_numpy(random.beta(strength, strength, len(windows))).to(windows)
    other = torch.from_numpy(random.permutation(len(windows))).to(windows.device)
    blend = [
        share.reshape(-1, *[1] * (x.dim() - 1)) * x + (1 - share.reshape(-1, *[1] * (x.dim() - 1))) * x[other]
        for x in (windows, codes)
    ]
    return blend[0], blend[1]
