"""Silero VAD (Silero team, version 6), a voice-activity detector that hears raw sound in frames of 32 ms."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

FRAME = 512  # samples per probability
CONTEXT = 64  # samples before a frame that are heard with it
_WINDOW, _BINS, _REFLECTED = 256, 129, 64
State = tuple[Tensor, Tensor]


class SileroNet(nn.Module):
    """Frames [B, CONTEXT + FRAME] of 16 kHz sound in [-1, 1], one after the other in time -> probabilities of speech [B].

    A short-time spectrum (four windows per frame), four convolutions, an LSTM over frames and one unit. The LSTM carries
    `state` from one call to the next; None begins anew.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stft = nn.Conv1d(1, 2 * _BINS, _WINDOW, _WINDOW // 2, bias=False)
        self.conv1 = nn.Conv1d(_BINS, 128, 3, 1, 1)
        self.conv2 = nn.Conv1d(128, 64, 3, 2, 1)
        self.conv3 = nn.Conv1d(64, 64, 3, 2, 1)
        self.conv4 = nn.Conv1d(64, 128, 3, 1, 1)
        self.lstm = nn.LSTM(128, 128)
        self.out = nn.Linear(128, 1)

    def forward(self, frames: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        padded = F.pad(frames[:, None], (0, _REFLECTED), "reflect")
        real, imaginary = self.stft(padded).split(_BINS, 1)
        x = torch.hypot(real, imaginary)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.relu(layer(x))
        heard, state = self.lstm(x.squeeze(2), state)
        return torch.sigmoid(self.out(F.relu(heard))).squeeze(1), state
