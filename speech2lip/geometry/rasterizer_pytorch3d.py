"""PyTorch3D behind the interface of `rasterizer`; imported only when it is chosen."""

from __future__ import annotations

import numpy as np
import torch

from ..errors import UserError
from .fragments import Fragments


def rasterize(pixels: np.ndarray, depth: np.ndarray, triangles: np.ndarray, width: int, height: int) -> Fragments:
    """As `rasterizer.rasterize`, for square pictures.

    PyTorch3D's screen runs from +1 (left, top) to -1 over the picture's edges, so the
    centre of pixel p lies at 1 - (2 p + 1) / size.
    """
    try:
        from pytorch3d.renderer.mesh import rasterize_meshes
        from pytorch3d.structures import Meshes
    except ImportError as error:
        raise UserError(
            "rasterizer=pytorch3d needs the package pytorch3d, which is not installed: install it for your version of "
            "PyTorch, or use rasterizer=cpu"
        ) from error
    if width != height:
        raise ValueError(f"the picture is {width} x {height}, needed is a square")
    screen = 1 - (2 * pixels + 1) / width
    vertices = torch.from_numpy(np.concatenate([screen, depth[:, None]], 1)).float()
    mesh = Meshes([vertices], [torch.from_numpy(np.asarray(triangles, np.int64))])
    face, zbuffer, weights, _ = rasterize_meshes(mesh, width, 0.0, 1, perspective_correct=True)
    hit = face[0, ..., 0] >= 0
    return Fragments(
        face[0, ..., 0].int().numpy(),
        torch.where(hit[..., None], weights[0, ..., 0, :], torch.zeros(())).numpy(),
        torch.where(hit, zbuffer[0, ..., 0], torch.zeros(())).numpy(),
    )
