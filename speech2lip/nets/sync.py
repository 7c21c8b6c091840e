"""A small SyncNet: do five lip images and a stretch of speech belong together?"""

from __future__ import annotations

import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .chance import Dropout


class SyncExpert(nn.Module):
    """Two encoders into one space; windows in sync have cosine similarity near 1.

    lips: [B, 3 frames, h, w] RGB in [0, 1], frames stacked on channels, resized to 48 x 48;
    audio: [B, rows, channels]. Both give unit vectors [B, 128].
    """

    def __init__(self, frames: int, rows: int, channels: int, width: int = 32, dropout: float = 0.2):
        super().__init__()
        w = width
        self.lips = nn.Sequential(
            nn.Conv2d(3 * frames, w, 5, 2, 2), nn.LeakyReLU(0.1), nn.Conv2d(w, 2 * w, 3, 2, 1), nn.LeakyReLU(0.1),
            Dropout(dropout, channels=True), nn.Conv2d(2 * w, 4 * w, 3, 2, 1), nn.LeakyReLU(0.1), Dropout(dropout, channels=True),
            nn.Conv2d(4 * w, 4 * w, 3, 2, 1), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(4 * w * 9, 128),
        )  # fmt: skip
        self.audio = nn.Sequential(
            nn.Conv1d(channels, 4 * w, 3, 1, 1), nn.LeakyReLU(0.1), nn.Conv1d(4 * w, 4 * w, 3, 2, 1), nn.LeakyReLU(0.1),
            Dropout(dropout), nn.Conv1d(4 * w, 4 * w, 3, 2, 1), nn.LeakyReLU(0.1), Dropout(dropout), nn.Flatten(),
            nn.Linear(4 * w * ((rows + 3) // 4), 128),
        )  # fmt: skip

    def embed_lips(self, lips: Tensor) -> Tensor:
        lips = F.interpolate(lips, (48, 48), mode="area")
        return F.normalize(self.lips(lips - 0.5), dim=1)

    def embed_audio(self, window: Tensor) -> Tensor:
        return F.normalize(self.audio(window.transpose(1, 2)), dim=1)
