"""LPIPS v0.1 on AlexNet (Zhang et al. 2018), without torchvision."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn as nn
from torch import Tensor

WIDTHS = (64, 192, 384, 256, 256)
_TAPS = (1, 4, 7, 9, 11)  # the ReLUs of AlexNet's `features` whose activations are compared


class Lpips(nn.Module):
    """Perceptual distance of two RGB pictures [B, 3, H, W] in [-1, 1]: [B, 1, 1, 1].

    Activations of five layers are normalised over channels; their squared differences,
    weighed per channel, are averaged over the picture and summed over layers.
    """

    shift: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(),
            nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.lin = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in WIDTHS)
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).reshape(3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor([0.458, 0.448, 0.450]).reshape(3, 1, 1), persistent=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """a, b: [B, 3, H, W] in -1..1 -> distances [B, 1, 1, 1]."""
        total = a.new_zeros(len(a), 1, 1, 1)
        for head, x, y in zip(self.lin, self._activations(a), self._activations(b), strict=True):
            total = total + head((x - y).square()).mean((2, 3), keepdim=True)
        return total

    def _activations(self, image: Tensor) -> list[Tensor]:
        x, out = (image - self.shift) / self.spread, []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in _TAPS:
                out.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return out


def state_from_official(backbone: Mapping[str, Tensor], heads: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Join torchvision's AlexNet (`features.N.*`; its classifier is not used) and LPIPS's heads
    (`linK.model.1.weight`) into the state of `Lpips`."""
    state = {name: value for name, value in backbone.items() if name.startswith("features.")}
    return state | {f"lin.{k}.weight": heads[f"lin{k}.model.1.weight"] for k in range(len(WIDTHS))}
