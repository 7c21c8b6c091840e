"""Bilinear look-up in maps and pictures, in NumPy; `camera.sample_map` is the differentiable one."""

from __future__ import annotations

import cv2
import numpy as np

from ..shapes import check_shape

_MOST = 30_000  # pixels in a row that OpenCV looks up


def sample_bilinear(values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Values [N] or [N, C] of a map [H, W] or picture [H, W, C] at pixels [N, 2] (x, y); the border continues.

    OpenCV's look-up: floats stay floats, uint8 stays uint8, and places count in 32nds of a pixel.
    """
    check_shape("pixels", pixels, None, 2)
    parts = np.array_split(pixels.astype(np.float32), len(pixels) // _MOST + 1)
    return np.concatenate([_looked_up(values, part) for part in parts])


def _looked_up(values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    x, y = np.ascontiguousarray(pixels[None, :, 0]), np.ascontiguousarray(pixels[None, :, 1])
    return cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
