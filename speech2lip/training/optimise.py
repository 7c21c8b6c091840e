"""One step of an optimiser, and an optimiser's memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .phases import NotFinite


def adamw(parameters: Any, device: torch.device, **settings: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019), in one piece where the device has that: five times faster on a processor."""
    return torch.optim.AdamW(parameters, fused=device.type in ("cpu", "cuda") or None, **settings)  # type: ignore[arg-type]


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Follow the gradient of `loss`. Raises NotFinite, without a step, where loss or gradient is infinite or no number."""
    if not torch.isfinite(loss):
        raise NotFinite(f"the loss is {loss.item()}")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    follow(optimizer)


def follow(optimizer: torch.optim.Optimizer, largest: float = 0.0) -> None:
    """Follow the gradients that the weights have, their norm held below `largest` where that is not 0.

    Raises NotFinite, without a step, where one is infinite or no number.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, largest if largest > 0 else float("inf"))
    if not torch.isfinite(norm):
        optimizer.zero_grad(set_to_none=True)
        raise NotFinite(f"the gradient's norm is {norm.item()}")
    optimizer.step()


def remember(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take over an optimiser's memory; its settings stay today's configuration's."""
    ours = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, settings in zip(optimizer.param_groups, ours, strict=True):
        group.update(settings)
