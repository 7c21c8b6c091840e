"""What every part of training shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..audio.backend import Stream
from ..config import Config
from ..nets.interface import LipSyncModel
from ..subject.dataset import Batch, SubjectDataset
from ..subject.index import SubjectIndex
from .augment import augment, hold


@dataclass(frozen=True)
class Context:
    """random, generator: the sources of all random choices but those that networks make themselves;
    streams, silence: of the audio features."""

    config: Config
    index: SubjectIndex
    data: SubjectDataset
    device: torch.device
    random: np.random.Generator
    generator: torch.Generator
    streams: Sequence[Stream]
    silence: Tensor

    def disturbed_windows(self, frames: Tensor) -> Tensor:
        """Audio windows [B, rows, channels] of frames [B], augmented."""
        train = self.config.train
        windows = augment(self.data.windows(frames), self.generator, self.streams, train.augment)
        return hold(windows, self.random, round(train.early / self.index.subject.audio["step"]) if train.early else 0)


@dataclass(frozen=True)
class Sample:
    """The frames [B] of one step, and their data."""

    frames: np.ndarray
    batch: Batch


class Objective(Protocol):
    """A part of the loss."""

    def terms(self, model: LipSyncModel, sample: Sample) -> dict[str, Tensor]:
        """Scalar losses by name, not weighted; `loss.NAME` weighs them."""
        ...
