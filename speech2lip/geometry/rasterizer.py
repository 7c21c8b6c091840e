"""Chooses the rasterizer that the configuration names."""

from __future__ import annotations

from .fragments import Rasterizer
from .rasterizer_cpu import rasterize


def make_rasterizer(name: str) -> Rasterizer:
    """The rasterizer that `rasterizer` names."""
    if name == "cpu":
        return rasterize
    from . import rasterizer_pytorch3d

    return rasterizer_pytorch3d.rasterize
