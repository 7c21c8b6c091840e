"""The published Speech2Lip networks wired as the authors wired them, out of our own submodules.

Kept apart from `nets.speech2lip`, with the same methods, so that trainer and predictor run
either. The authors' conventions (`half_pixel`) are here and in `geometry/published.py` only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..geometry.camera import pixel_to_grid
from .audio_encoder import PUBLISHED_CONVOLUTIONS, AudioEncoder
from .blend import BlendNet
from .compositor import CanonicalSpace, ObservedRegion, black_holes, merge
from .encodings import frame_encoding
from .exemplars import Seen
from .interface import LipSyncModel
from .lip import LipModel

ROWS, CHANNELS, EMBEDDING, TIME = 16, 29, 64, 20


class PublishedNets(nn.Module):
    """The three networks: speech encoder, implicit lip model with the frame index as its time input, Blend-Net.

    lip_size: (width, height) of the lip image, (120, 80) for May; ensemble: "corners" in the
    authors' training, "center" in their inference.
    """

    def __init__(self, lip_size: tuple[int, int], rows: int = ROWS, channels: int = CHANNELS, ensemble: str = "center"):
        super().__init__()
        self.encoder = AudioEncoder(rows, channels, PUBLISHED_CONVOLUTIONS, EMBEDDING)
        self.lip = LipModel(lip_size, {"audio": EMBEDDING, "time": TIME}, 256, 8, 4, ensemble=ensemble)
        self.blend = BlendNet(3, (64, 128, 128), norm=True, residual=False)

    def fuse_whole(self, lip: Tensor, faces: PublishedFaces, holes: float = 0.0) -> PublishedFusion:
        """Paste lips [B, 3, h, w] into the canonical face, warp it to the observed pose, blend the whole crop."""
        canonical = paste(faces.canonical, lip, faces.left, faces.top)
        warped, observed = warp(canonical, faces.grid, faces.half_pixel), faces.observed
        if holes > 0:
            warped, observed = black_holes(warped, observed, holes)
        touched = warp(faces.mask, faces.grid, faces.half_pixel) > 0  # the authors' mask has a hard edge
        merged = merge(warped, observed, touched.float())
        return PublishedFusion(self._blend(merged), merged, canonical)

    def _blend(self, image: Tensor) -> Tensor:
        """Blend-Net on pictures of any size: two poolings need multiples of four."""
        height, width = image.shape[2:]
        padded = F.pad(image, (0, -width % 4, 0, -height % 4), mode="replicate")
        out: Tensor = self.blend(padded)
        return out[..., :height, :width]


@dataclass(frozen=True)
class PublishedFaces:
    """What the authors' fusion needs beside the lips.

    canonical, observed: [B, 3, H, W] RGB in [0, 1]; mask: [B or 1, 1, H, W], canonical,
    `lip_mask` of the lip box; grid: [B, H, W, 2] observed -> canonical, normalised so that
    -1 and 1 are the centres of the border pixels; left, top: the pixel where the lip image
    starts; half_pixel: sample that grid as the authors do, as if -1 and 1 were the
    picture's edges.
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


class PublishedSpeech2Lip(PublishedNets, LipSyncModel):
    """The published networks with a subject's canonical space, behind the methods of `Speech2Lip`.

    Codes are the index of the frame that is painted on, [B, 1]. The compositor works on the
    whole crop, so regions must start at its first pixel.
    """

    predicts_shape, region = False, "crop"
    face: Tensor

    def __init__(
        self,
        lip_size: tuple[int, int],
        rows: int,
        channels: int,
        ensemble: str,
        space: CanonicalSpace,
        half_pixel: bool,
    ):
        super().__init__(lip_size, rows, channels, ensemble)
        self.space, self.half_pixel = space, half_pixel
        self.register_buffer("face", torch.zeros(3, *space.depth_start.shape))

    def fit_constants(self, mouth: Tensor, lip: Tensor, face: Tensor) -> None:
        """Keep the canonical face [3, S, S] and, as a control for evaluation, the mean lip [3, h, w]."""
        self.face.copy_(face)
        self.lip.base.copy_(lip)

    def speech_parameters(self) -> list[nn.Parameter]:
        return list(self.encoder.parameters())

    def encode_audio(self, window: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Windows [B, rows, channels] and frame indices [B] -> embedding [B, 64] and codes [B, 1]."""
        return self.encoder(window), frame[:, None].float()

    def measured_codes(self, mouth: Tensor, frame: Tensor) -> Tensor:
        return frame[:, None].float()

    def decode_lips(self, embedding: Tensor, codes: Tensor, transform: Tensor, seen: Seen | None = None) -> Tensor:
        """Canonical lip images [B, 3, h, w]; the pose is not used."""
        image: Tensor = self.lip({"audio": embedding, "time": frame_encoding(codes[:, 0], TIME)})
        return image

    def composite(
        self,
        lip: Tensor,
        region: ObservedRegion,
        depth: Tensor | None = None,
        holes: float = 0.0,
        seen: Seen | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The finished crop [B, 3, S, S] and its mask, which is 1 everywhere."""
        left, top, width, height = self.space.box
        if lip.shape[2:] != (height, width):
            lip = F.interpolate(lip, (height, width), mode="bilinear", align_corners=False)
        size = region.image.shape[-1]
        mask = lip_mask(size, size, (width, height), left, top).to(lip)
        grid = region.grid
        if grid is None:
            grid = pixel_to_grid(self.space.to_canonical(region, depth), size, size)
        canonical = self.face.expand(len(lip), -1, -1, -1)
        faces = PublishedFaces(canonical, region.image, mask, grid, left, top, self.half_pixel)
        result = self.fuse_whole(lip, faces, holes).result
        return result, torch.ones_like(result[:, :1])


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
    """Sample an image [B or 1, C, H, W] at a grid [B, H, W, 2]; zero outside."""
    return F.grid_sample(image.expand(len(grid), -1, -1, -1), grid, align_corners=not half_pixel)
