"""LPIPS with the weights that a user brings."""

from __future__ import annotations

from .errors import UserError
from .nets.lpips import WIDTHS, Lpips, state_from_official
from .safeload import fill, load_state
from .weights import find, require


def load_lpips() -> Lpips:
    """LPIPS v0.1 on AlexNet from `alexnet-owt-7be5be79.pth` and LPIPS's `alex.pth`, frozen."""
    backbone, heads = require("alexnet"), require("lpips")
    weights = load_state(heads, find("lpips").remedy())
    missing = [k for k in range(len(WIDTHS)) if f"lin{k}.model.1.weight" not in weights]
    if missing:
        raise UserError(f"{heads} lacks the head lin{missing[0]}: {find('lpips').remedy()}")
    state = state_from_official(load_state(backbone, find("alexnet").remedy()), weights)
    net = fill(Lpips(), state, backbone, find("alexnet").remedy())
    assert isinstance(net, Lpips)
    return net.requires_grad_(False)
