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
from .parts import Chance, M, Part, Parts
from .team import Team


@dataclass(frozen=True)
class Context:
    """team: who computes; streams, silence: of the audio features."""

    config: Config
    index: SubjectIndex
    data: SubjectDataset
    device: torch.device
    team: Team
    streams: Sequence[Stream]
    silence: Tensor

    def disturbed_windows(self, frames: Tensor, chance: Chance) -> Tensor:
        """Audio windows [B, rows, channels] of frames [B], augmented."""
        train = self.config.train
        windows = augment(self.data.windows(frames), chance.generator, self.streams, train.augment)
        return hold(windows, chance.random, round(train.early / self.index.subject.audio["step"]) if train.early else 0)

    def parts_of(self, model: M, batch: int) -> Parts[M]:
        """Steps of `batch` samples, in parts."""
        train = self.config.train
        return Parts(self.team, model, self.team.parts(batch, train.parts), train.seed)


@dataclass(frozen=True)
class Sample:
    """The frames [B] of a part of one step, and their data."""

    frames: np.ndarray
    batch: Batch
    part: Part


class Objective(Protocol):
    """A part of the loss."""

    def terms(self, model: LipSyncModel, sample: Sample) -> dict[str, Tensor]:
        """Scalar losses by name, not weighted; `loss.NAME` weighs them."""
        ...
