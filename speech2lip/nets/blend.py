"""Blend-Net: a light U-Net that removes the seams of the pasted mouth (paper, 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CACHED_VALUES = 2**21  # of a layer that stay in a processor's cache until the next one


class DoubleConv(nn.Sequential):
    """(3x3 convolution, optional batch norm, ReLU) twice."""

    def __init__(self, channels: int, middle: int, out: int, norm: bool):
        layers: list[nn.Module] = []
        for a, b in ((channels, middle), (middle, out)):
            layers += [nn.Conv2d(a, b, 3, padding=1, bias=not norm)]
            layers += [nn.BatchNorm2d(b)] if norm else []
            layers += [nn.ReLU(inplace=True)]
        super().__init__(*layers)

    def fold_norm(self) -> None:
        """Put batch norms into the convolutions before them, for use only: same results, less work."""
        for i, (before, layer) in enumerate(pairwise(self), 1):
            if isinstance(before, nn.Conv2d) and isinstance(layer, nn.BatchNorm2d):
                self[i - 1], self[i] = fuse_conv_bn_eval(before, layer), nn.Identity()


class BlendNet(nn.Module):
    """U-Net with max pooling and bilinear upsampling (align_corners).

    [B, C, H, W] -> [B, 3, H, W]; H and W divisible by `unshuffle` 2^(len(widths) - 1). With
    `residual` the result is a change of the input's first three channels, and starts as
    none. `unshuffle` pixels in a row and column become channels first, so that the network
    works at a lower resolution and still changes single pixels. Widths (64, 128, 128),
    norm, no residual and unshuffle 1 are the paper's network.
    """

    def __init__(self, channels: int, widths: Sequence[int], norm: bool, residual: bool, unshuffle: int = 1):
        super().__init__()
        self.residual, self.unshuffle, self.width = residual, unshuffle, widths[0]
        channels *= unshuffle**2
        self.inlet = DoubleConv(channels, widths[0], widths[0], norm)
        self.down = nn.ModuleList(DoubleConv(a, b, b, norm) for a, b in pairwise(widths))
        self.up = nn.ModuleList()
        current = widths[-1]
        for level in range(len(widths) - 2, -1, -1):
            joined, out = current + widths[level], widths[max(level - 1, 0)]
            self.up.append(DoubleConv(joined, joined // 2, out, norm))
            current = out
        self.outlet = nn.Conv2d(current, 3 * unshuffle**2, 1)
        if residual:
            nn.init.zeros_(self.outlet.weight)
            nn.init.zeros_(self.outlet.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """image: [B, C, H, W] -> [B, 3, H, W]; in use on a CPU in pieces that fit its cache."""
        frames: int = len(image)
        if image.device.type == "cpu" and not torch.is_grad_enabled() and not self.training:
            values = self.width * image[0, 0].numel() // self.unshuffle**2
            frames = max(_CACHED_VALUES // values, 1)
        parts = [self._blend(part) for part in image.split(frames)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def fold_norm(self) -> None:
        """See `DoubleConv.fold_norm`; the network cannot be trained or saved afterwards."""
        for layer in self.modules():
            if isinstance(layer, DoubleConv):
                layer.fold_norm()

    def _blend(self, image: Tensor) -> Tensor:
        skips = [self.inlet(F.pixel_unshuffle(image, self.unshuffle))]
        for layer in self.down:
            skips.append(layer(F.max_pool2d(skips[-1], 2)))
        x = skips.pop()
        for layer in self.up:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            x = layer(torch.cat([skips.pop(), x], 1))
        out: Tensor = F.pixel_shuffle(self.outlet(x), self.unshuffle)
        return image[:, :3] + out if self.residual else out
