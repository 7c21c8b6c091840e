"""Canonical space as a module: learnable head depth, the lip mask, warping and pasting (GAMEM)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..geometry.camera import Intrinsics, pixel_lattice, pixel_to_grid, sample_map, warp_to_canonical, warp_to_observed
from .chance import uniform


@dataclass(frozen=True)
class ObservedRegion:
    """The part of observed frames that the compositor works on.

    image: [B, 3, R, R] RGB in [0, 1]; origin: [B, 2] where it begins (x, y), in pixels of its resolution
    (at a c-th of the resolution it is a c-th);
    transform: [B, 4, 4] canonical -> observed camera; exposure: [B, 2, 3] gain and offset,
    observed = gain * canonical + offset; grid: [B, R, R, 2] stored correspondences of an
    imported dataset (published networks only); canonical: what `to_canonical` gave for it,
    where it is wanted more than once; beside: [B, 3, R, R] what networks start from, as it lies in the region, likewise; face: [B, 2, r, r] in 0..1, of any resolution: the first is 0 where the frame must stay as it is, the
    second where it shows no face.
    """

    image: Tensor
    origin: Tensor
    transform: Tensor
    exposure: Tensor
    grid: Tensor | None = None
    canonical: Tensor | None = None
    beside: Tensor | None = None
    face: Tensor | None = None


def cropped(region: ObservedRegion, rows: slice, columns: slice) -> ObservedRegion:
    """Rows and columns of regions, with what is known of their pixels."""
    face, size = region.face, region.image.shape[-2:]
    if face is not None:
        face = F.interpolate(face, size, mode="bilinear", align_corners=False)[:, :, rows, columns]
    canonical = None if region.canonical is None else region.canonical[:, rows, columns]
    beside = None if region.beside is None else region.beside[:, :, rows, columns]
    corner = region.origin.new_tensor([columns.start, rows.start])
    return replace(
        region, image=region.image[:, :, rows, columns], origin=region.origin + corner, canonical=canonical, face=face,
        beside=beside, grid=None,
    )  # fmt: skip


class CanonicalSpace(nn.Module):
    """Geometry of the canonical frame; the head's depth outside the face is learnable.

    depth: [S, S] mm; face: [S, S] 1 on the face mesh, whose depth is kept; lip_mask:
    [S, S] in 0..1; box: lip box (left, top, width, height) in canonical pixels;
    scale: pixels of regions per crop pixel.
    """

    depth_start: Tensor
    free: Tensor
    lip_mask: Tensor

    def __init__(
        self, depth: Tensor, face: Tensor, lip_mask: Tensor, camera: Intrinsics, box: tuple[int, int, int, int],
        scale: float = 1.0,
    ):  # fmt: skip
        super().__init__()
        self.camera, self.box, self.scale = camera, box, scale
        left, top, width, height = box
        self.register_buffer("depth_start", depth)
        spread = F.avg_pool2d(face[None, None], 9, 1, 4)[0, 0].clamp(max=1)
        self.register_buffer("free", 1 - spread)
        self.register_buffer("lip_mask", lip_mask[top : top + height, left : left + width].clone())
        coarse = max(len(depth) // 8, 4)
        self.depth_change = nn.Parameter(torch.zeros(1, 1, coarse, coarse))

    def depth(self) -> Tensor:
        """Current canonical depth [S, S] in mm: the start plus a smooth change outside the face."""
        size = self.depth_start.shape
        change = F.interpolate(self.depth_change, size, mode="bilinear", align_corners=True)[0, 0]
        return self.depth_start + self.free * change * 10.0  # in centimetres, so that one rate fits all parameters

    def to_canonical(self, region: ObservedRegion, depth: Tensor | None = None) -> Tensor:
        """Canonical pixels [B, R, R, 2] of a region's pixels (R even).

        The warp is smooth: it is solved at every second pixel and interpolated linearly.
        """
        if region.canonical is not None:
            return region.canonical
        size = region.image.shape[-1]
        coarse = size // 2 + 1
        places = 2 * pixel_lattice(coarse, coarse, region.image.device).reshape(1, -1, 2) + region.origin[:, None]
        pixels = (places + 0.5) / self.scale - 0.5 if self.scale != 1 else places
        canonical = warp_to_canonical(pixels, self.depth() if depth is None else depth, region.transform, self.camera)
        nodes = canonical.reshape(len(pixels), coarse, coarse, 2).permute(0, 3, 1, 2)
        dense = F.interpolate(nodes, (size + 1, size + 1), mode="bilinear", align_corners=True)
        return dense[:, :, :size, :size].permute(0, 2, 3, 1)

    def paste(self, lip: Tensor, region: ObservedRegion, depth: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Warp canonical lip images [B, 3, h, w] into the region, in its exposure.

        Returns the warped picture [B, 3, R, R] and the soft mask [B, 1, R, R], which is
        exactly 0 wherever the frame must stay as it is.
        """
        grid = self.box_grid(self.to_canonical(region, depth))
        mask = _sample(self.lip_mask.expand(len(lip), 1, -1, -1), grid, "zeros")
        if region.face is not None:
            mask = mask * F.interpolate(region.face[:, :1], mask.shape[-2:], mode="bilinear", align_corners=False)
        return exposed(_sample(lip, grid, "border"), region), mask

    def warp_plane(self, plane: Tensor, region: ObservedRegion, depth: Tensor | None = None) -> Tensor:
        """A plane [h, w] that tiles the lip box, warped into the regions: [B, 1, R, R]; 0 outside."""
        grid = self.box_grid(self.to_canonical(region, depth))
        return _sample(plane.expand(len(grid), 1, -1, -1), grid, "zeros")

    def box_grid(self, canonical: Tensor) -> Tensor:
        """Canonical pixels [..., 2] in grid_sample's coordinates of pictures, of any size, that tile the lip box (align_corners=False)."""
        left, top, width, height = self.box
        scale = canonical.new_tensor([2 / width, 2 / height])
        return torch.addcmul(
            canonical.new_tensor([(1 - 2 * left) / width - 1, (1 - 2 * top) / height - 1]), canonical, scale
        )

    def places(self, canonical: Tensor, size: tuple[int, int]) -> Tensor:
        """Canonical pixels [..., 2] in pixels of a picture of `size`, (width, height), that tiles the lip box."""
        left, top, width, height = self.box
        scale = size[0] / width, size[1] / height
        start = canonical.new_tensor([(0.5 - left) * scale[0] - 0.5, (0.5 - top) * scale[1] - 0.5])
        return torch.addcmul(start, canonical, canonical.new_tensor(scale))

    def sample_observed(self, pixels: Tensor, transform: Tensor, frames: Tensor, scale: float) -> Tensor:
        """Colours [B, 3, N] that frames show at canonical pixels [B, N, 2], through the learnable depth.

        frames: [B, 3, s, s], whole crops shrunk by `scale`; transform: [B, 4, 4].
        """
        spots = warp_to_observed(pixels, sample_map(self.depth(), pixels), transform, self.camera)
        spots = (spots + 0.5) * scale - 0.5
        grid = pixel_to_grid(spots, frames.shape[-1], frames.shape[-2])
        return F.grid_sample(frames, grid[:, None], padding_mode="border", align_corners=True)[:, :, 0]


def _sample(images: Tensor, grid: Tensor, padding: str) -> Tensor:
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)


def light(region: ObservedRegion) -> tuple[Tensor, Tensor]:
    """Gain and offset [B, 3, 1, 1] from the canonical exposure to that of the regions."""
    return region.exposure[:, 0, :, None, None], region.exposure[:, 1, :, None, None]


def exposed(picture: Tensor, region: ObservedRegion) -> Tensor:
    """Pictures [B, 3, R, R] of the canonical exposure in that of the regions."""
    gain, offset = light(region)
    return picture * gain + offset


def merge(picture: Tensor, observed: Tensor, mask: Tensor) -> Tensor:
    """mask * picture + (1 - mask) * observed, exactly `observed` where the mask is 0."""
    return torch.lerp(observed, picture, mask)


def black_holes(picture: Tensor, observed: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Swap random pixels between warped and real pictures [B, 3, H, W], in about `share` of the batch.

    The paper's augmentation: Blend-Net learns to mend what does not fit.
    """
    device = picture.device
    chosen = uniform(len(picture), 1, 1, 1, device=device) < share
    density = uniform(len(picture), 1, 1, 1, device=device) * 0.3
    hole = chosen & (uniform(len(picture), 1, *picture.shape[2:], device=device) < density)
    return torch.where(hole, observed, picture), torch.where(hole, picture, observed)
