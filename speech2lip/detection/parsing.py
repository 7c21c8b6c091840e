"""Masks of the head: the person's pixels around the face, or the classes of the published face parsing."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from ..facemesh import FACE_OVAL
from ..weights.loaders import load_bisenet
from .detect import person_mask

SIDE = 512
# Skin, brows, eyes, glasses, ears, earring, nose, mouth, lips, hair and hat: the published head.
HEAD_CLASSES = np.array([*range(1, 14), 17, 18])
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet
_SPREAD = np.array([0.229, 0.224, 0.225], np.float32)


def head_mask(person: np.ndarray, mesh_pixels: np.ndarray) -> np.ndarray:
    """[S, S] uint8 0/255: the person's pixels around the face, down to a little below the chin."""
    size = len(person)
    oval = mesh_pixels[FACE_OVAL]
    centre, height = oval.mean(0), float(np.ptp(oval[:, 1]))
    axes = (int(0.72 * height), int(0.95 * height))
    area = np.zeros((size, size), np.uint8)
    cv2.ellipse(area, (int(centre[0]), int(centre[1] - 0.15 * height)), axes, 0, 0, 360, 255, -1)
    area[min(int(oval[:, 1].max() + 0.12 * height), size) :] = 0
    return np.where(person > 0.5, area, 0).astype(np.uint8)


class FaceParser:
    """BiSeNet with the weights of `79999_iter.pth`."""

    def __init__(self) -> None:
        self._net = load_bisenet()

    @torch.no_grad()
    def __call__(self, image: np.ndarray) -> np.ndarray:
        """RGB uint8 [H, W, 3] -> class of each pixel, uint8 [H, W] (`nets.pretrained.bisenet.CLASSES`)."""
        small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        scaled = (small.astype(np.float32) / 255 - _MEAN) / _SPREAD
        logits = self._net(torch.from_numpy(scaled).permute(2, 0, 1)[None])
        labels = logits.argmax(1)[0].byte().numpy()
        return cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def parse_head(backend: str, image: np.ndarray, mesh_pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Head mask [H, W] uint8 0/255 of a frame, and the label map where the backend has one.

    image: RGB uint8; mesh_pixels: [468, 2] of the face in it.
    """
    if backend == "mediapipe":
        return head_mask(person_mask(image, mesh_pixels), mesh_pixels), None
    labels = FaceParser()(image)
    return np.where(np.isin(labels, HEAD_CLASSES), 255, 0).astype(np.uint8), labels
