"""The published Speech2Lip networks wired as the authors wired them, out of our own submodules.

Kept apart from `nets.speech2lip` so that its conventions (a half-pixel shift of the sampling
grid among them) stay in one place; `official.py` loads the authors' checkpoints into it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .audio_encoder import PUBLISHED_CONVOLUTIONS, AudioEncoder
from .blend import BlendNet
from .compositor import merge
from .encodings import frame_encoding
from .lip import LipModel

ROWS, CHANNELS, EMBEDDING, TIME = 16, 29, 64, 20


class PublishedSpeech2Lip(nn.Module):
    """speech window + frame index -> canonical lips -> whole observed face crop.

    lip_size: (width, height) of the lip image, [120, 80] for May; ensemble: "corners" in the
    authors' training, "center" in their inference.
    """

    def __init__(self, lip_size: tuple[int, int], ensemble: str = "center"):
        super().__init__()
        self.encoder = AudioEncoder(ROWS, CHANNELS, PUBLISHED_CONVOLUTIONS, EMBEDDING)
        self.lip = LipModel(lip_size, {"audio": EMBEDDING, "time": TIME}, 256, 8, 4, ensemble=ensemble)
        self.blend = BlendNet(3, (64, 128, 128), norm=True, residual=False)

    def draw(self, window: Tensor, index: Tensor) -> Tensor:
        """DeepSpeech windows [B, 16, 29] and frame indices [B] -> lip images [B, 3, h, w]."""
        return self.lip({"audio": self.encoder(window), "time": frame_encoding(index, TIME)})

    def fuse(self, lip: Tensor, faces: PublishedFaces) -> PublishedFusion:
        """Paste lips [B, 3, h, w] into the canonical face, warp it to the observed pose, blend the whole crop."""
        canonical = paste(faces.canonical, lip, faces.left, faces.top)
        warped = warp(canonical, faces.grid, faces.half_pixel)
        touched = warp(faces.mask, faces.grid, faces.half_pixel) > 0  # the authors' mask has a hard edge
        merged = merge(warped, faces.observed, touched.float())
        return PublishedFusion(self.blend(merged), merged, canonical)


@dataclass(frozen=True)
class PublishedFaces:
    """What the authors' fusion needs beside the lips.

    canonical, observed: [B, 3, H, W] RGB in [0, 1]; mask: [B or 1, 1, H, W], canonical,
    `lip_mask` of the lip box; grid: [B, H, W, 2] observed -> canonical,
    normalised so that -1 and 1 are the centres of the border pixels; left, top: the pixel
    where the lip image starts; half_pixel: sample that grid as the authors do, as if -1
    and 1 were the picture's edges.
    """

    canonical: Tensor
    observed: Tensor
    mask: Tensor
    grid: Tensor
    left: int
    top: int
    half_pixel: bool = True


@dataclass(frozen=True)
class PublishedFusion:
    """result: Blend-Net's output; merged: its input; canonical: the face with new lips; all [B, 3, H, W]."""

    result: Tensor
    merged: Tensor
    canonical: Tensor


def paste(face: Tensor, lip: Tensor, left: int, top: int) -> Tensor:
    """A copy of face [B, 3, H, W] with lip [B, 3, h, w] at pixel (left, top)."""
    out = face.clone()
    out[..., top : top + lip.shape[-2], left : left + lip.shape[-1]] = lip
    return out


def lip_mask(height: int, width: int, lip_size: tuple[int, int], left: int, top: int) -> Tensor:
    """[1, 1, height, width]: 1 in the lip box, enlarged by a fifth of its width left, right and
    above, and two fifths below."""
    columns, rows = lip_size
    margin = columns // 5
    mask = torch.zeros(1, 1, height, width)
    mask[..., max(top - margin, 0) : top + rows + 2 * margin, max(left - margin, 0) : left + columns + margin] = 1
    return mask


def warp(image: Tensor, grid: Tensor, half_pixel: bool) -> Tensor:
    """Sample an image [B, C, H, W] at a grid [B, H, W, 2]; zero outside."""
    return F.grid_sample(image, grid, align_corners=not half_pixel)
