"""Small pretrained weights that the package itself carries (`weights/data`, with their notices)."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import UserError

FOLDER = Path(__file__).parent / "data"


def load_bundled(name: str) -> dict[str, Tensor]:
    """Parameters by name, float32, from `weights/data/NAME.safetensors`.

    A matrix may be stored as bytes, transposed, beside its zero point and scale
    (X.bytes, X.zero_point, X.scale): X = ((bytes - zero_point) * scale).T.
    """
    path = FOLDER / f"{name}.safetensors"
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}, which belongs to the package, cannot be read ({error}): install it again") from error
    packed = [key.removesuffix(".bytes") for key in stored if key.endswith(".bytes")]
    parts = {f"{key}.{part}" for key in packed for part in ("bytes", "zero_point", "scale")}
    out = {key: value.float() for key, value in stored.items() if key not in parts}
    return out | {key: _unpacked(stored, key) for key in packed}


def _unpacked(stored: dict[str, Tensor], key: str) -> Tensor:
    whole, zero, scale = (stored[f"{key}.{part}"].to(torch.float32) for part in ("bytes", "zero_point", "scale"))
    return ((whole - zero) * scale).T.contiguous()
