"""One step in equal parts of its batch: each is computed on its own, and their gradients are averaged."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
import torch.nn as nn
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ..nets.chance import drawing_from
from .optimise import follow
from .phases import NotFinite, Position
from .team import Team

M = TypeVar("M", bound=nn.Module)
Loss = tuple[Tensor, dict[str, Tensor]]  # what is followed, and what is told of it


@dataclass(frozen=True)
class Chance:
    """Sources of random numbers. random, generator: for choices and disturbances, on the processor; networks: on their device."""

    random: np.random.Generator
    generator: torch.Generator
    networks: torch.Generator

    @classmethod
    def of(cls, device: torch.device, *key: int) -> Chance:
        """The sources that belong to a key, whatever was drawn before: a training that was stopped goes on as if it had not been."""
        seeds = [int(s) for s in np.random.SeedSequence(key).generate_state(3, np.uint64)]
        generator, networks = torch.Generator().manual_seed(seeds[1]), torch.Generator(device).manual_seed(seeds[2])
        return cls(np.random.default_rng(seeds[0]), generator, networks)


@dataclass(frozen=True)
class Part:
    """One of `count` equal parts of a step, and its sources of random numbers."""

    number: int
    count: int
    chance: Chance

    def of(self, total: int) -> int:
        """This part's share of `total` samples, and at least one."""
        return max(1, total // self.count)


class Parts(Generic[M]):
    """Computes the steps of one model in parts, of threads and processes.

    Every part has a copy of the model that shares its weights. Its batch norms are its own; the model gets the mean of what
    they have seen.
    """

    def __init__(self, team: Team, model: M, count: int, seed: int):
        self.count, self._team, self._model, self._seed = count, team, model, seed
        self._copies = {number: _sharing(model) for number in team.own(count)}

    def descend(
        self, optimizer: torch.optim.Optimizer, at: Position, loss: Callable[[M, Part], Loss], largest: float = 0.0
    ) -> dict[str, float]:
        """One step along the mean gradient of `loss(model, part)`, its norm held below `largest` where that is not 0.

        Returns the means of what is told, and of the loss as "total". Raises NotFinite, having changed nothing, where the loss
        or the gradient is infinite or no number.
        """
        weights = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        known = _seen(self._model)
        for twin in self._copies.values():
            _copy(known, _seen(twin))

        def compute(number: int) -> tuple[dict[str, Tensor], list[Tensor]]:
            chance = Chance.of(self._team.device, self._seed, at.phase, at.step, number)
            with drawing_from(chance.networks):
                total, terms = loss(self._copies[number], Part(number, self.count, chance))
                slopes = torch.autograd.grad(total, weights, allow_unused=True)
            told = {name: value.detach() for name, value in (terms | {"total": total}).items()}
            return told, [torch.zeros_like(w) if s is None else s for w, s in zip(weights, slopes, strict=True)]

        results = self._team.map(compute, self.count)
        told = {name: self._mean([terms[name] for terms, _ in results]) for name in results[0][0]}
        slopes = [self._mean(part) for part in zip(*(slopes for _, slopes in results), strict=True)]
        seen = [self._mean(part) for part in zip(*(_seen(twin) for twin in self._copies.values()), strict=True)]
        self._team.add([*told.values(), *slopes, *seen])
        _check(told["total"])
        optimizer.zero_grad(set_to_none=True)
        for weight, slope in zip(weights, slopes, strict=True):
            weight.grad = slope
        follow(optimizer, largest)
        _copy(seen, known)
        for norm in _norms(self._model):
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked += 1
        return {name: value.item() for name, value in told.items()}

    def _mean(self, ours: Sequence[Tensor]) -> Tensor:
        """What the parts of this process contribute to the mean over all."""
        return torch.stack(list(ours)).sum(0) / self.count


def _check(loss: Tensor) -> None:
    if not torch.isfinite(loss):
        raise NotFinite(f"the loss is {loss.item()}")


def _sharing(model: M) -> M:
    """A copy with the same weights and constants, in the same memory, but for what batch norms see."""
    own = {id(value) for norm in _norms(model) for value in norm.buffers()}
    shared = [*model.parameters(), *(b for b in model.buffers() if id(b) not in own)]
    return copy.deepcopy(model, {id(value): value for value in shared})


def _norms(model: nn.Module) -> list[_BatchNorm]:
    return [m for m in model.modules() if isinstance(m, _BatchNorm)]


def _seen(model: nn.Module) -> list[Tensor]:
    """Means and variances of a model's batch norms, in their order."""
    return [value for m in _norms(model) for value in (m.running_mean, m.running_var) if value is not None]


def _copy(values: Sequence[Tensor], into: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for value, place in zip(values, into, strict=True):
            place.copy_(value)
