"""Pretrained networks with the weights that a user brings."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from ..nets.pretrained.bisenet import BiSeNet
from ..nets.pretrained.lpips import WIDTHS, Lpips, state_from_official
from ..nets.pretrained.syncnet import SyncNet
from ..nets.pretrained.wav2lip import Wav2LipExpert
from .registry import find, require
from .safeload import Net, fill, load_state


def load_lpips() -> Lpips:
    """LPIPS v0.1 on AlexNet from `alexnet-owt-7be5be79.pth` and LPIPS's `alex.pth`, frozen."""
    backbone, heads = require("alexnet"), require("lpips")
    weights = load_state(heads, find("lpips").remedy())
    missing = [k for k in range(len(WIDTHS)) if f"lin{k}.model.1.weight" not in weights]
    if missing:
        raise UserError(f"{heads} lacks the head lin{missing[0]}: {find('lpips').remedy()}")
    remedy = find("alexnet").remedy()
    state = state_from_official(load_state(backbone, remedy), weights)
    return fill(Lpips(), state, backbone, remedy).requires_grad_(False)


def load_wav2lip(path: Path | None = None) -> Wav2LipExpert:
    """The expert with the weights of `lipsync_expert.pth`, frozen."""
    return _loaded(Wav2LipExpert(), "lipsync-expert", path).requires_grad_(False)


def load_syncnet(path: Path | None = None) -> SyncNet:
    """The network with the weights of `syncnet_v2.model`."""
    return _loaded(SyncNet(), "syncnet", path)


def load_bisenet() -> BiSeNet:
    """The face parser with the weights of `79999_iter.pth`."""
    return _loaded(BiSeNet(), "face-parsing", None)


def _loaded(net: Net, entry: str, path: Path | None) -> Net:
    """A network, in eval mode, with the weights in `path` (default: the registered file, which must be there)."""
    path, remedy = path or require(entry), find(entry).remedy()
    return fill(net, load_state(path, remedy), path, remedy)
