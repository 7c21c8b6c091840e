"""The exponential average of a model's weights, which is what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn as nn
from torch import Tensor


class Average:
    """values: name -> averaged parameter or buffer; constants are those of the last `reset`. The decay rises to `decay` over the
    first steps."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.values: dict[str, Tensor] = {}
        self.reset(model)

    def reset(self, model: nn.Module) -> None:
        """Start again from the model as it is."""
        self.values = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def load_state_dict(self, values: dict[str, Tensor]) -> None:
        """Take over saved `values`; ValueError where they are not of this model."""
        if {k: v.shape for k, v in values.items()} != {k: v.shape for k, v in self.values.items()}:
            raise ValueError("the averaged weights are not those of this model")
        self.values = {k: v.to(self.values[k]) for k, v in values.items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """step: optimisation steps before this one."""
        decay = min(self.decay, (1 + step) / (10 + step))
        now = _moving(model)
        torch._foreach_lerp_([self.values[name] for name in now], list(now.values()), 1 - decay)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """While it lasts, the model has the averaged weights and is in eval mode."""
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.values)
        model.eval()
        try:
            yield
        finally:
            model.load_state_dict(kept)


def _moving(model: nn.Module) -> dict[str, Tensor]:
    """What a step changes: weights, and the averages of batch norms."""
    averages = {name: value for name, value in model.named_buffers() if name.endswith(("running_mean", "running_var"))}
    return {name: p.detach() for name, p in model.named_parameters()} | averages
