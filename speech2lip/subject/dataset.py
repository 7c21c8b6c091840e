"""The training set: decoded once, cropped to what training reads, kept as uint8."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from ..arrays import read_npy
from ..background import ordered_map
from ..facemesh import LIPS
from ..files import temporary_space
from ..media.images import read_sized
from ..media.planes import Picture
from ..nets.compositor import ObservedRegion
from ..progress import bar
from .index import SubjectIndex
from .layout import SubjectLayout
from .outline import face_areas
from .records import Box, Crop, extract
from .schema import AGAIN, GRID

SMALL_SIDE = 96  # whole crops, shrunk, for the depth loss


@dataclass(frozen=True)
class Batch:
    """lips: [B, 3, h, w] real canonical lips in the canonical exposure; region: what the
    compositor needs; windows: [B, rows, channels]; mouth: [B, K, 2] canonical landmarks;
    small: [B, 3, s, s] whole crops; frame: [B] indices. Images are float32 RGB in [0, 1]."""

    lips: Tensor
    region: ObservedRegion
    windows: Tensor
    mouth: Tensor
    small: Tensor
    frame: Tensor


class SubjectDataset:
    """Random access to the frames of one subject, resident in memory (or in a memory-mapped
    temporary file where they exceed `memory_gb`), at the resolution at which networks draw.

    sharpness: [T] of lip images as they are kept, any unit.
    """

    def __init__(self, index: SubjectIndex, device: torch.device, memory_gb: float):
        self.index, self.device = index, device
        frames = np.concatenate([index.train, index.test])
        self.row = np.full(index.subject.frames, -1, np.int64)
        self.row[frames] = np.arange(len(frames))
        self.sharpness = np.zeros(index.subject.frames)
        width, height = index.subject.drawn_size
        region, small = index.subject.region_size // index.subject.coarse, min(SMALL_SIDE, index.subject.crop.size)
        sizes = [(len(frames), height, width, 3), (len(frames), region, region, 3), (len(frames), small, small, 3)]
        on_disk = sum(float(np.prod(s)) for s in sizes) > memory_gb * 2**30
        self._lips, self._regions, self._small = (_allocate(s, on_disk) for s in sizes)
        self._load(frames)
        self._windows = torch.from_numpy(index.windows).to(device)
        self.mouth = torch.from_numpy(index.track.mouth).float().to(device)
        self.transforms = torch.from_numpy(index.transforms).float().to(device)
        self._origins = (torch.from_numpy(index.origins).float() / index.subject.coarse).to(device)
        self._faces = face_areas(index.subject, index.track, index.canonical.depth, index.origins)
        exposure = torch.from_numpy(index.track.exposure).float()
        self._exposure = (exposure * torch.tensor([1.0, 1 / 255])[:, None]).to(device)
        self._resident = device.type == "cuda" and not on_disk
        if self._resident:
            self._tensors = [torch.from_numpy(a).to(device) for a in (self._lips, self._regions, self._small)]

    @property
    def small_scale(self) -> float:
        return self._small.shape[1] / self.index.subject.crop.size

    def batch(self, frames: np.ndarray) -> Batch:
        """The given frame indices [B] as a batch."""
        lips, small = (self._images(k, self.row[frames]) for k in (0, 2))
        at = torch.from_numpy(frames).to(self.device)
        return Batch(lips, self.region(frames), self.windows(at), self.mouth[at], small, at)

    def windows(self, frames: Tensor) -> Tensor:
        """Audio windows [B, rows, channels] of frames [B], which lie where the data does."""
        return self._windows[frames].float()

    def region(self, frames: np.ndarray) -> ObservedRegion:
        """What the compositor needs of frames [B]."""
        at = torch.from_numpy(frames).to(self.device)
        grid = (
            load_grids(self.index.layout, frames, self.index.subject.crop.size) if self.index.region == "crop" else None
        )
        return ObservedRegion(
            self._images(1, self.row[frames]),
            self._origins[at],
            self.transforms[at],
            self._exposure[at],
            None if grid is None else grid.to(self.device),
            face=self._faces(frames).to(self.device) if self._faces is not None else None,
        )

    def lips(self, frames: np.ndarray) -> Tensor:
        """Real canonical lips [B, 3, h, w] of frames [B]."""
        return self._images(0, self.row[frames])

    def _images(self, kind: int, rows: np.ndarray) -> Tensor:
        if self._resident:
            picked = self._tensors[kind][torch.from_numpy(rows).to(self.device)]
        else:
            picked = torch.from_numpy((self._lips, self._regions, self._small)[kind][rows]).to(self.device)
        return picked.permute(0, 3, 1, 2).float() / 255

    def fine_lips(self, frame: int) -> np.ndarray:
        """The real canonical lips [h, w, 3] uint8 of a frame as they are kept, in the canonical exposure."""
        index = self.index
        lip = read_sized(index.layout.lip_image(frame), index.subject.lip_size, AGAIN).astype(np.float32)
        gain, offset = index.track.exposure[frame]
        return np.asarray(((lip - offset) / gain).round().clip(0, 255).astype(np.uint8))

    def _load(self, frames: np.ndarray) -> None:
        layout, subject = self.index.layout, self.index.subject

        def load(position: int) -> None:
            frame = int(frames[position])
            lip = self.fine_lips(frame)
            self.sharpness[frame] = cv2.Laplacian(cv2.cvtColor(lip, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var()
            self._lips[position] = _shrunk(lip, self._lips)
            # Faces that only the depth loss looks at, small, need not be decoded at full size.
            smaller = 4 if subject.fine_size and subject.crop.size >= 4 * SMALL_SIDE else 1
            face = read_sized(layout.face_image(frame), (subject.crop.size, subject.crop.size), AGAIN, smaller)
            size = subject.region_size
            if subject.fine_size:
                mouth = read_sized(layout.mouth_image(frame), (size, size), AGAIN)
            else:
                mouth = crop_region(face, self.index.origins[frame], size)
            self._regions[position] = _shrunk(mouth, self._regions)
            self._small[position] = _shrunk(face, self._small)

        for _ in bar("loading", len(frames), "frame", ordered_map(load, range(len(frames)))):
            pass


def _shrunk(picture: np.ndarray, like: np.ndarray) -> np.ndarray:
    """A picture [H, W, 3] at the size of those of `like` [N, h, w, 3]."""
    height, width = like.shape[1:3]
    return (
        picture
        if picture.shape[:2] == (height, width)
        else cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    )


def load_grids(layout: SubjectLayout, frames: np.ndarray, size: int) -> Tensor | None:
    """Stored correspondences [B, S, S, 2] of an imported dataset; None where there are none."""
    if not layout.grids.is_dir():
        return None
    grids = [read_npy(layout.grid(int(f)), GRID, {"S": size}, AGAIN) for f in frames]
    return torch.from_numpy(np.stack(grids)).float()


def cut_region(frame: np.ndarray, crop: Crop, origin: np.ndarray, size: int) -> np.ndarray:
    """`crop_region` of a frame's crop [H, W, 3], without the crop being made where it has the frame's pixels."""
    if crop.size == crop.side and (origin >= 0).all() and (origin + size <= crop.size).all():
        return crop_region(frame, origin + [crop.x, crop.y], size)
    return crop_region(extract(frame, crop), origin, size)


def cut_picture(picture: Picture, crop: Crop, origin: np.ndarray, size: int) -> np.ndarray:
    """`cut_region` of a frame, of which no more is made RGB than the region needs."""
    whole = crop.size != crop.side or (origin < 0).any() or (origin + size > crop.size).any()
    square = crop if whole else Crop(crop.x + int(origin[0]), crop.y + int(origin[1]), size, size)
    part = square.seen(picture.size)
    return cut_region(picture.part(*part), crop.within(part), origin, size)


def crop_region(image: np.ndarray, origin: np.ndarray, size: int) -> np.ndarray:
    """A size x size window of an image [H, W, 3] from origin (x, y); the border repeats outside."""
    left, top = int(origin[0]), int(origin[1])
    height, width = image.shape[:2]
    if left >= 0 and top >= 0 and left + size <= width and top + size <= height:
        return image[top : top + size, left : left + size]
    rows = np.clip(np.arange(top, top + size), 0, height - 1)
    columns = np.clip(np.arange(left, left + size), 0, width - 1)
    return image[rows][:, columns]


def _allocate(shape: tuple[int, ...], on_disk: bool) -> np.ndarray:
    """An empty uint8 array, in memory or mapped to a temporary file that vanishes with it."""
    if not on_disk:
        return np.empty(shape, np.uint8)
    with temporary_space(), tempfile.TemporaryFile(prefix="speech2lip-") as stream:
        if hasattr(os, "posix_fallocate"):  # a disk that gets full under a mapping would kill us
            os.posix_fallocate(stream.fileno(), 0, max(1, int(np.prod(shape))))
        return np.memmap(stream, np.uint8, "w+", shape=shape)  # the mapping keeps the space until it is released


def lip_focus(mouth: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    """Where lips are, over the clip, in lip images of `size` (width, height): [h, w] float32 in 0..1, soft.

    mouth: [T, K, 2] canonical landmarks of training frames, lips first; box: lip box.
    """
    lips = mouth[:, : len(LIPS)]
    scale = np.array([size[0] / box.width, size[1] / box.height])
    swept = np.percentile(lips, [2, 98], axis=0)
    corners = np.stack([swept[i, :, 0] for i in (0, 0, 1, 1)]), np.stack([swept[j, :, 1] for j in (0, 1, 0, 1)])
    pixels = (np.stack([c.ravel() for c in corners], 1) - [box.left, box.top] + 0.5) * scale - 0.5
    out = np.zeros((size[1], size[0]), np.float32)
    cv2.fillConvexPoly(out, cv2.convexHull(pixels.round().astype(np.int32)), 1.0)
    return np.asarray(cv2.GaussianBlur(out, (0, 0), size[0] / 32), np.float32)
