"""The authors' own files -> ours: checkpoints, dataset folders, configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_MARK = "encoder_conv.0.weight"  # a name that every published checkpoint has
_CONVOLUTIONS = {"0": "0", "2": "3", "4": "6", "6": "9"}  # ours have a dropout after every activation
_LINEARS = {"0": "0", "2": "3"}


def find_state(content: Any, depth: int = 3) -> Mapping[str, Tensor] | None:
    """The model's state dictionary inside a published checkpoint, wherever it lies in it."""
    if not isinstance(content, Mapping):
        return None
    names = {str(name).removeprefix("module."): value for name, value in content.items()}
    if _MARK in names:
        return {name: value for name, value in names.items() if torch.is_tensor(value)}
    for value in content.values() if depth else ():
        found = find_state(value, depth - 1)
        if found is not None:
            return found
    return None


def state_from_checkpoint(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published names -> those of `nets.published.PublishedSpeech2Lip`.

    `coord_linears` are in the file but take no part in the published forward pass;
    `canonical_depth_head` belongs to the canonical space and not to the networks.
    """
    out = {}
    for name, value in official.items():
        mapped = _rename(name)
        if mapped:
            out[mapped] = value
    return out


def _rename(name: str) -> str:
    head, _, rest = name.partition(".")
    if head == "encoder_conv":
        layer, kind = rest.split(".")
        return f"encoder.convolutions.{_CONVOLUTIONS[layer]}.{kind}"
    if head == "encoder_fc1":
        layer, kind = rest.split(".")
        return f"encoder.head.{_LINEARS[layer]}.{kind}"
    if head.startswith("fc_"):
        source = head[3:]
        return f"lip.field.{'again' if source.endswith('_skip') else 'first'}.{source.removesuffix('_skip')}.{rest}"
    if head in ("pts_linears", "output_linear"):
        return f"lip.field.{'hidden' if head == 'pts_linears' else 'output'}.{rest}"
    if head == "post_fusion_unet":
        return _rename_blend(rest.split("."))
    return ""


def _rename_blend(parts: list[str]) -> str:
    block, tail = parts[0], parts[-2:]
    if block == "inc":
        return ".".join(["blend.inlet", *tail])
    if block.startswith("down"):
        return ".".join(["blend.down", str(int(block[4:]) - 1), *tail])
    if block.startswith("up"):
        return ".".join(["blend.up", str(int(block[2:]) - 1), *tail])
    return f"blend.outlet.{parts[-1]}"
