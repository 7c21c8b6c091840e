"""SyncNet v2 (Chung and Zisserman 2016), which measures LSE-C and LSE-D.

Submodules carry the names of `syncnet_v2.model`.
"""

from __future__ import annotations

import torch.nn as nn
from torch import Tensor


class SyncNet(nn.Module):
    """Two streams into one 1024-d space, compared by Euclidean distance.

    mfcc: [B, 1, 13, 20], 13 coefficients of 20 rows at 100 per second;
    frames: [B, 3, 5, 224, 224], five BGR frames at 25 per second in 0..255.
    """

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_layer2d(1, 64), nn.MaxPool2d(1, 1), *_layer2d(64, 192), nn.MaxPool2d(3, (1, 2)), *_layer2d(192, 384),
            *_layer2d(384, 256), *_layer2d(256, 256), nn.MaxPool2d(3, 2), *_layer2d(256, 512, (5, 4), 0),
        )  # fmt: skip
        self.netcnnlip = nn.Sequential(
            *_layer3d(3, 96, (5, 7, 7), 2, 0), nn.MaxPool3d((1, 3, 3), (1, 2, 2)), *_layer3d(96, 256, (1, 5, 5), 2, 1),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)), *_layer3d(256, 256), *_layer3d(256, 256), *_layer3d(256, 256),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)), *_layer3d(256, 512, (1, 6, 6), 1, 0),
        )  # fmt: skip
        self.netfcaud, self.netfclip = _head(), _head()

    def embed_mfcc(self, mfcc: Tensor) -> Tensor:
        out: Tensor = self.netfcaud(self.netcnnaud(mfcc).flatten(1))
        return out

    def embed_frames(self, frames: Tensor) -> Tensor:
        out: Tensor = self.netfclip(self.netcnnlip(frames).flatten(1))
        return out


def _layer2d(channels: int, out: int, kernel: tuple[int, int] = (3, 3), padding: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, kernel, 1, padding), nn.BatchNorm2d(out), nn.ReLU()]


def _layer3d(
    channels: int, out: int, kernel: tuple[int, int, int] = (1, 3, 3), stride: int = 1, padding: int = 1
) -> list[nn.Module]:
    convolution = nn.Conv3d(channels, out, kernel, (1, stride, stride), (0, padding, padding))
    return [convolution, nn.BatchNorm3d(out), nn.ReLU()]


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))
