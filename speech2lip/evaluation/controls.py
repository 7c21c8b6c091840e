"""Mouths to compare a model's with: the real one pasted, the nearest real one of the training part, the mean one.

The real lips go through the same warp, paste and Blend-Net: what is lost there no model of the mouth can bring back.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from ..facemesh import LIPS
from ..media.images import read_image
from ..nets.interface import LipSyncModel
from ..rendering.predictor import LipImages
from ..subject.layout import SubjectLayout


def mean_lips(model: LipSyncModel, size: tuple[int, int]) -> LipImages:
    """The mean lip image, whatever is said; size: (width, height) of lip images."""
    base = F.interpolate(model.lip.base[None], size[::-1], mode="bilinear", align_corners=False)
    return lambda numbers: base.expand(len(numbers), -1, -1, -1)


def real_lips(layout: SubjectLayout, exposure: np.ndarray, frames: np.ndarray) -> LipImages:
    """The stored lip images of `frames` [N], in the canonical exposure. exposure: [T, 2, 3] gain and offset of every frame."""

    def read(numbers: np.ndarray) -> torch.Tensor:
        pictures = [_even(read_image(layout.lip_image(int(f))), exposure[f]) for f in frames[numbers]]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)

    return read


def nearest_frames(mouth: np.ndarray, train: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Training frames [N] whose lips have the shape most like that of the frames `wanted` [N].

    mouth: [T, K, 2] landmarks in the canonical view, lips first; compared each less its own mean.
    """
    lips = mouth[:, : len(LIPS)] - mouth[:, : len(LIPS)].mean(1, keepdims=True)
    shapes = torch.from_numpy(lips.reshape(len(lips), -1)).float()
    return np.asarray(train[torch.cdist(shapes[wanted], shapes[train]).argmin(1).numpy()])


def nearest_seen(frames: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Each of `frames` [N], or the frame nearest in time whose mouth is seen, [N]. seen: [T] bool."""
    there = np.flatnonzero(seen)
    return np.asarray(there[np.abs(frames[:, None] - there).argmin(1)])


def _even(picture: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """A lip image [h, w, 3] uint8 in the canonical exposure, float32 in [0, 1]."""
    even = (picture.astype(np.float32) - exposure[1]) / exposure[0]
    return np.asarray(even.clip(0, 255) / 255, np.float32)
