"""Pretrained networks with the weights that a user brings."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from ..nets.pretrained.lpips import WIDTHS, Lpips, state_from_official
from ..nets.pretrained.syncnet import SyncNet
from ..nets.pretrained.wav2lip import Wav2LipExpert
from .registry import find, require
from .safeload import fill, load_state


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


def load_wav2lip(path: Path | None = None) -> Wav2LipExpert:
    """The expert with the weights of `lipsync_expert.pth`, frozen."""
    remedy = find("lipsync-expert").remedy()
    path = path or require("lipsync-expert")
    expert = fill(Wav2LipExpert(), load_state(path, remedy), path, remedy)
    assert isinstance(expert, Wav2LipExpert)
    return expert.requires_grad_(False)


def load_syncnet(path: Path | None = None) -> SyncNet:
    """The network with the weights of `syncnet_v2.model`."""
    remedy = find("syncnet").remedy()
    path = path or require("syncnet")
    net = fill(SyncNet(), load_state(path, remedy), path, remedy)
    assert isinstance(net, SyncNet)
    return net
