"""Single pictures and folders of numbered frames."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from ..errors import UserError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


def frame_files(folder: Path) -> list[Path]:
    """Images of a folder in natural order (2.jpg before 10.jpg)."""
    files = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise UserError(f"{folder} holds no images: extract the video's frames there, or give the video itself")
    return sorted(files, key=lambda p: [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", p.name)])


def read_image(path: Path) -> np.ndarray:
    """Read an image as RGB uint8 [H, W, 3]."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"{path} cannot be read as an image: the file is missing or damaged, make it again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def write_image(path: Path, image: np.ndarray, quality: int = 95) -> None:
    """Write RGB [H, W, 3] or grey [H, W] uint8; `quality` is JPEG's, with full-resolution colour."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    options = []
    if path.suffix.lower() in (".jpg", ".jpeg"):
        sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    if not cv2.imwrite(str(path), bgr, options):
        raise UserError(f"cannot write {path}: choose a writable place")
