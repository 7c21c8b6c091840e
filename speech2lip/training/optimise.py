"""One step of an optimiser."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from .phases import NotFinite


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, clip: Iterable[Tensor] = (), largest: float = 0.0) -> None:
    """Follow the gradient of `loss`; clip: parameters whose gradient's norm is held below `largest`."""
    if not torch.isfinite(loss):
        raise NotFinite(f"the loss is {loss.item()}")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if largest > 0:
        torch.nn.utils.clip_grad_norm_(clip, largest)
    optimizer.step()
