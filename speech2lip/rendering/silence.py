"""The mouth over time: steadied, and at rest where nobody speaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..audio.rows import FeatureWindows
from ..model.rest import Rest
from .steady import kernel, smoothed

STEADY_SECONDS = 0.07  # standard deviation of the smoothing at render.steady=1
CALM_SECONDS = 0.12  # of that of the movement that is left in silence


@dataclass(frozen=True)
class HeardSpeech:
    """Windows [N, rows, channels], and how far each frame belongs to speech, [N] in 0..1."""

    windows: np.ndarray | FeatureWindows
    presence: np.ndarray

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, frames: slice | np.ndarray) -> np.ndarray:
        """Windows of the frames that a slice or indices choose."""
        return self.windows[frames]

    @classmethod
    def joined(cls, parts: Sequence[HeardSpeech]) -> HeardSpeech:
        """Of frames that follow each other."""
        if len(parts) == 1:
            return parts[0]
        windows = np.concatenate([part.windows[:] for part in parts])
        return cls(windows, np.concatenate([part.presence for part in parts]))

    def part(self, first: int, count: int) -> HeardSpeech:
        """Of `count` frames from number `first` on; after the sound's end nobody speaks."""
        assert isinstance(self.windows, FeatureWindows)
        known = self.presence[first : first + count]
        return HeardSpeech(self.windows.part(first, count), np.pad(known, (0, count - len(known))))


Windows = np.ndarray | FeatureWindows | HeardSpeech


def presence_of(windows: Windows) -> np.ndarray:
    """How far frames belong to speech [N]; where nobody listened for it, all do."""
    if isinstance(windows, HeardSpeech):
        return windows.presence
    return np.ones(len(windows), np.float32)


@dataclass(frozen=True)
class Delivery:
    """How predicted mouths are delivered over time.

    steady: standard deviation of smoothing, in frames; calm: the same for the movement that is left in silence; 0: none is left;
    rest: None where silence is left to the model; quiet: embedding [E] of silence; causal: what comes later is not known.
    """

    steady: float = 0.0
    calm: float = 0.0
    rest: Rest | None = None
    quiet: Tensor | None = None
    causal: bool = False

    @property
    def reach(self) -> int:
        """Frames before a frame, and after it unless causal, that change it."""
        return sum(len(kernel(sigma, self.causal)) // 2 for sigma in (self.steady, self.calm))

    def __call__(self, embedding: Tensor, codes: Tensor, presence: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [N, E] and shape codes [N, K] of frames in a row, of which `presence` [N] belongs to speech.

        Where nobody speaks, the mouth rests. What is left of its movement there is slow, and within what this person's
        mouth does in silence.
        """
        codes = smoothed(codes, self.steady, self.causal)
        if self.rest is None or self.quiet is None:
            return embedding, codes
        share = presence[:, None].to(codes)
        still = self.rest.codes.to(codes).expand_as(codes)
        if self.calm > 0:
            spread = self.rest.spread.to(codes)
            still = still + spread * torch.tanh(smoothed(codes - still, self.calm, self.causal) / spread)
        return torch.lerp(self.quiet.to(embedding).expand_as(embedding), embedding, share), torch.lerp(
            still, codes, share
        )


class LiveDelivery:
    """The same for frames that arrive: what has passed is remembered as far back as it counts."""

    def __init__(self, delivery: Delivery):
        self._delivery = delivery
        self._past: tuple[Tensor, Tensor, Tensor] | None = None

    def __call__(self, embedding: Tensor, codes: Tensor, presence: Tensor) -> tuple[Tensor, Tensor]:
        count = len(codes)
        fresh = (embedding, codes, presence)
        known = fresh if self._past is None else tuple(torch.cat(p) for p in zip(self._past, fresh, strict=True))
        reach = self._delivery.reach
        self._past = tuple(part[max(len(part) - reach, 0) :] for part in known)  # type: ignore[assignment]
        embedding, codes = self._delivery(*known)
        return embedding[-count:], codes[-count:]
