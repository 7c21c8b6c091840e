"""The Wav2Lip sync expert (Prajwal et al. 2020): do five faces and a stretch of mel belong together?

Submodules carry the names of the checkpoint `lipsync_expert.pth`.
"""

from __future__ import annotations

import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

_Stride = int | tuple[int, int]
_Shape = tuple[int, int, _Stride, int, bool]
# (output channels, kernel, stride, padding, residual) of each block.
_FACE: tuple[_Shape, ...] = (
    (32, 7, 1, 3, False), (64, 5, (1, 2), 1, False), (64, 3, 1, 1, True), (64, 3, 1, 1, True), (128, 3, 2, 1, False),
    (128, 3, 1, 1, True), (128, 3, 1, 1, True), (128, 3, 1, 1, True), (256, 3, 2, 1, False), (256, 3, 1, 1, True),
    (256, 3, 1, 1, True), (512, 3, 2, 1, False), (512, 3, 1, 1, True), (512, 3, 1, 1, True), (512, 3, 2, 1, False),
    (512, 3, 1, 0, False), (512, 1, 1, 0, False),
)  # fmt: skip
_AUDIO: tuple[_Shape, ...] = (
    (32, 3, 1, 1, False), (32, 3, 1, 1, True), (32, 3, 1, 1, True), (64, 3, (3, 1), 1, False), (64, 3, 1, 1, True),
    (64, 3, 1, 1, True), (128, 3, 3, 1, False), (128, 3, 1, 1, True), (128, 3, 1, 1, True), (256, 3, (3, 2), 1, False),
    (256, 3, 1, 1, True), (256, 3, 1, 1, True), (512, 3, 1, 0, False), (512, 1, 1, 0, False),
)  # fmt: skip


class _Block(nn.Module):
    """Convolution, batch norm, optional shortcut, ReLU."""

    def __init__(self, channels: int, out: int, kernel: int, stride: _Stride, padding: int, residual: bool):
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv2d(channels, out, kernel, stride, padding), nn.BatchNorm2d(out))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv_block(x)
        return F.relu(out + x if self.residual else out)


def _stack(channels: int, blocks: tuple[_Shape, ...]) -> nn.Sequential:
    layers = []
    for out, kernel, stride, padding, residual in blocks:
        layers.append(_Block(channels, out, kernel, stride, padding, residual))
        channels = out
    return nn.Sequential(*layers)


class Wav2LipExpert(nn.Module):
    """Two encoders into one space; both give unit vectors [B, 512] with non-negative entries.

    face: [B, 15, 48, 96], the lower halves of five 96 x 96 BGR face crops in [0, 1],
    stacked on channels; mel: [B, 1, 80, 16], from `mel_spectrogram`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.face_encoder = _stack(15, _FACE)
        self.audio_encoder = _stack(1, _AUDIO)

    def embed_face(self, face: Tensor) -> Tensor:
        return F.normalize(self.face_encoder(face).flatten(1), dim=1)

    def embed_mel(self, mel: Tensor) -> Tensor:
        return F.normalize(self.audio_encoder(mel).flatten(1), dim=1)
