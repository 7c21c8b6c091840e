"""The speech-aware implicit lip model: pixel coordinate and conditions -> colour (paper, 3.2)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .encodings import frequency_encoding, lattice

_CACHED_ROWS = 4096  # of hidden units that stay in a processor's cache between layers


class ImplicitField(nn.Module):
    """MLP whose inputs each pass a linear layer of their own and are summed, twice.

    The first sum starts the hidden layers (ReLU); after hidden layer `skip_after` a second
    sum is put before the hidden units. Terms of the coordinates are shared by the batch and terms of the
    conditions by all pixels, so neither is computed more often than it changes.
    """

    def __init__(self, inputs: Mapping[str, int], width: int, layers: int, skip_after: int, out: int):
        super().__init__()
        self.skip_after = skip_after
        self.inputs = nn.ModuleDict({name: nn.Linear(size, width) for name, size in inputs.items()})
        self.skip_inputs = nn.ModuleDict({name: nn.Linear(size, width) for name, size in inputs.items()})
        self.hidden = nn.ModuleList(
            nn.Linear(2 * width if i == skip_after + 1 else width, width) for i in range(layers)
        )
        self.output = nn.Linear(width, out)

    def forward(self, coordinates: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
        """coordinates: encoded, [N, C]; conditions: name -> [B, D]. Returns [B, N, out]."""
        batch = len(next(iter(conditions.values())))
        points = max(_CACHED_ROWS // batch, 1) if coordinates.device.type == "cpu" else len(coordinates)
        parts = [self._colours(part, conditions) for part in coordinates.split(points)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def _colours(self, coordinates: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
        h = torch.add(*self._terms(self.inputs, coordinates, conditions))
        for i, layer in enumerate(self.hidden):
            h = self._rejoin(layer, h, coordinates, conditions) if i == self.skip_after + 1 else layer(h)
            h = F.relu(h, inplace=True)
        colour: Tensor = self.output(h)
        return colour

    def _rejoin(self, layer: nn.Module, h: Tensor, coordinates: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
        """`layer` of [second sum, h], without spreading the sum's shared terms over batch and pixels."""
        assert isinstance(layer, nn.Linear)
        before, weight = layer.weight.tensor_split([layer.out_features], 1)
        shared, single = (F.linear(term, before) for term in self._terms(self.skip_inputs, coordinates, conditions))
        return F.linear(h, weight, layer.bias) + shared + single

    @staticmethod
    def _terms(layers: nn.ModuleDict, coordinates: Tensor, conditions: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What the coordinates [1, N, width] and the conditions [B, 1, width] add."""
        single = torch.stack([layers[name](value) for name, value in conditions.items()]).sum(0)
        return layers["uv"](coordinates)[None], single[:, None]


class Upsampler(nn.Module):
    """Features on a coarse grid -> RGB at `factor` times the resolution, by pixel shuffling.

    beside: channels of a picture at the final resolution that the last layers see too.
    """

    def __init__(self, features: int, factor: int, beside: int = 0):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(features, features, 3, padding=1), nn.LeakyReLU(0.1)]
        while factor > 1:
            out = max(features // 2, 16)
            layers += [nn.Conv2d(features, 4 * out, 3, padding=1), nn.PixelShuffle(2), nn.LeakyReLU(0.1)]
            layers += [nn.Conv2d(out, out, 3, padding=1), nn.LeakyReLU(0.1)]
            features, factor = out, factor // 2
        self.layers = nn.Sequential(*layers, nn.Conv2d(features, 3, 3, padding=1))
        self.joined = None
        if beside:
            self.joined = nn.Sequential(nn.Conv2d(features + beside, features, 3, padding=1), nn.LeakyReLU(0.1))

    def forward(self, x: Tensor, beside: Tensor | None = None) -> Tensor:
        """x: [B, features, h, w] -> [B, 3, factor h, factor w]."""
        *layers, outlet = self.layers
        for layer in layers:
            x = layer(x)
        if self.joined is not None and beside is not None:
            x = self.joined(torch.cat([x, beside.to(x.dtype)], 1))
        rgb: Tensor = outlet(x)
        return rgb


class LipModel(nn.Module):
    """Conditions -> canonical lip image [B, 3, height, width], about [0, 1].

    upsample = 1 is the paper's model: the field gives colour at every pixel. With a larger
    factor the field gives features on a coarse lattice and a small convolutional network
    draws the picture; `base` is then the mean lip image, which the network changes, or, with `beside`, a real mouth.
    ensemble "corners" averages the field over the four corners of each pixel (LIIF with
    equal areas), in training and use alike; "center" samples once.
    """

    base: Tensor

    def __init__(
        self, size: tuple[int, int], conditions: Mapping[str, int], width: int, layers: int, skip_after: int,
        frequencies: int = 10, upsample: int = 1, features: int = 32, ensemble: str = "center", beside: int = 0,
    ):  # fmt: skip
        super().__init__()
        self.size, self.frequencies, self.upsample, self.ensemble = size, frequencies, upsample, ensemble
        inputs = {"uv": 2 + 4 * frequencies, **conditions}
        self.field = ImplicitField(inputs, width, layers, skip_after, features if upsample > 1 else 3)
        self.upsampler = Upsampler(features, upsample, beside) if upsample > 1 else None
        self.register_buffer("base", torch.zeros(3, size[1], size[0]))
        self._cache: dict[torch.device, list[Tensor]] = {}

    def forward(self, conditions: Mapping[str, Tensor], seen: Tensor | None = None) -> Tensor:
        """conditions: name -> [B, its width] -> [B, 3, height, width]; seen: real mouths of that size, to start from."""
        lattices = self._lattices(next(iter(conditions.values())).device)
        field = sum(self.field(points, conditions) for points in lattices) / len(lattices)
        assert isinstance(field, Tensor)
        columns, rows = self.size[0] // self.upsample, self.size[1] // self.upsample
        image = field.transpose(1, 2).reshape(len(field), -1, rows, columns)
        if self.upsampler is None:
            return image
        if seen is None:
            drawn: Tensor = self.base + self.upsampler(image)
            return drawn
        return seen + self.upsampler(image, seen - self.base).float()

    def _lattices(self, device: torch.device) -> list[Tensor]:
        """Encoded sample positions; the same for every frame, so computed once."""
        if device not in self._cache:
            columns, rows = self.size[0] // self.upsample, self.size[1] // self.upsample
            centres = lattice(columns, rows, device)
            half = centres.new_tensor([0.5 / max(columns - 1, 1), 0.5 / max(rows - 1, 1)])
            shifts = [(0, 0)] if self.ensemble == "center" else [(-1, -1), (1, -1), (-1, 1), (1, 1)]
            self._cache[device] = [
                frequency_encoding((centres + half * centres.new_tensor(s)).clamp(0, 1), self.frequencies)
                for s in shifts
            ]
        return self._cache[device]
