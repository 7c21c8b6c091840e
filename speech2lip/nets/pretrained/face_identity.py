"""dlib's face-recognition network (King 2017): faces of one person lie near each other, those of two do not."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

SIDE = 150  # pixels of the square picture that it sees
EMBEDDING = 128
_MEAN = (122.782, 117.001, 104.298)  # RGB
_STAGES = ((32, 3), (64, 3), (128, 2), (256, 2))  # width, and blocks that keep the size


class FaceIdentity(nn.Module):
    """Faces [N, 3, SIDE, SIDE], RGB in 0..255, upright and cut out as for dlib -> embeddings [N, EMBEDDING].

    Two faces are usually one person's where their embeddings are less than 0.6 apart (Euclidean).
    A residual network of 29 layers with batch norms folded into a gain and an offset per channel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv32_down = _Scaled(3, 32, 7, 2)
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        before = 32
        for width, count in _STAGES:
            if width != before:
                blocks[f"conv{width}_down"] = _Block(before, width, 2)
            blocks |= {f"conv{width}_{k + 1}": _Block(width, width, 1) for k in range(count)}
            before = width
        blocks["conv256_down_out"] = _Block(256, 256, 2)
        self.blocks = nn.Sequential(blocks)
        self.final = nn.Linear(256, EMBEDDING, bias=False)

    def forward(self, faces: Tensor) -> Tensor:
        assert faces.shape[1:] == (3, SIDE, SIDE), faces.shape
        x = (faces - torch.tensor(_MEAN, device=faces.device)[:, None, None]) / 256
        x = F.max_pool2d(F.relu(self.conv32_down(x)), 3, 2)
        out: Tensor = self.final(self.blocks(x).mean((2, 3)))
        return out


def state_from_bundled(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The file's parameters under the names and in the shapes of `FaceIdentity`."""
    own = FaceIdentity().state_dict()
    names = {name: name if name.startswith(("conv32_down.", "final.")) else f"blocks.{name}" for name in stored}
    return {new: stored[old].reshape(own[new].shape) for old, new in names.items()}


class _Scaled(nn.Module):
    """A convolution, then a gain and an offset per channel. Of stride 2 it sees no border, of stride 1 it keeps the size."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, channels, kernel, kernel))
        self.gain, self.offset = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self._stride, self._padding = stride, 0 if stride > 1 else kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, self.weight, stride=self._stride, padding=self._padding)
        return y * self.gain[:, None, None] + self.offset[:, None, None]


class _Block(nn.Module):
    """Two convolutions beside a shortcut, which is averaged where the size is halved, and filled up with zeros."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1, self.conv2 = _Scaled(channels, width, 3, stride), _Scaled(width, width, 3, 1)
        self._stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.conv1(x)))
        short = F.avg_pool2d(x, 2) if self._stride > 1 else x
        short = F.pad(short, (0, 0, 0, 0, 0, y.shape[1] - short.shape[1]))
        y = F.pad(y, (0, short.shape[3] - y.shape[3], 0, short.shape[2] - y.shape[2]))
        return F.relu(y + short)
