"""Single pictures and folders of numbered frames."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import cv2
import numpy as np

from ..errors import UserError
from ..files import write_bytes

_HEADER = 2**20  # bytes in which a picture says its size
_FRAME_HEADERS = (0xC0, 0xC1, 0xC2)  # of baseline, extended and progressive JPEG
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


def frame_files(folder: Path) -> list[Path]:
    """Images of a folder in natural order (2.jpg before 10.jpg)."""
    files = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise UserError(f"{folder} holds no images: extract the video's frames there, or give the video itself")
    return sorted(files, key=lambda p: [int(t) if t.isdecimal() else t for t in re.split(r"(\d+)", p.name)])


def read_image(path: Path) -> np.ndarray:
    """Read an image as RGB uint8 [H, W, 3]."""
    try:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error:  # a header of more pixels than OpenCV decodes
        image = None
    if image is None:
        raise UserError(f"{path} cannot be read as an image: the file is missing or damaged, make it again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


_REDUCED = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}


def read_sized(path: Path, size: tuple[int, int], remedy: str, smaller: int = 1) -> np.ndarray:
    """Read a picture of ours that must be of `size` (width, height), RGB uint8 [H, W, 3]; a larger one is not decoded.

    smaller: 2 or 4: give it that many times smaller (rounded up), which JPEG decodes faster.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: {remedy}")
    found = header_size(path)
    if found is not None and found != size:
        raise UserError(f"{path} is {found[0]} x {found[1]}, needed is {size[0]} x {size[1]}: {remedy}")
    sound = found == size and (path.suffix.lower() != ".png" or _is_sound_png(path.read_bytes()))
    image = cv2.imread(str(path), _REDUCED[smaller]) if sound else None
    if image is None or image.shape[1::-1] != (-(-size[0] // smaller), -(-size[1] // smaller)):
        raise UserError(f"{path} is no picture, or a damaged one: {remedy}")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def header_size(path: Path) -> tuple[int, int] | None:
    """(width, height) of a PNG or JPEG as its header says, before anything is decoded; None for other files."""
    with open(path, "rb") as stream:
        data = stream.read(_HEADER)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    at = 2 if data[:2] == b"\xff\xd8" else len(data)
    while at + 9 <= len(data) and data[at] == 0xFF:  # JPEG: a row of segments, each with its length
        if data[at + 1] in _FRAME_HEADERS:
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _is_sound_png(data: bytes) -> bool:
    """Whether every chunk is whole and has its checksum; the decoder would take memory for whatever length one names."""
    at = 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return False
        at = end
    return at == len(data)


def write_image(path: Path, image: np.ndarray, quality: int = 95) -> None:
    """Write RGB [H, W, 3] or grey [H, W] uint8; `quality` is JPEG's, with full-resolution colour."""
    write_bytes(path, encoded_image(path.suffix, image, quality))  # OpenCV's own writing does not notice a full disk


def encoded_image(suffix: str, image: np.ndarray, quality: int = 95) -> bytes:
    """What `write_image` writes into a file with this suffix."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    options = []
    if suffix.lower() in (".jpg", ".jpeg"):
        sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    done, data = cv2.imencode(suffix, bgr, options)
    assert done, suffix
    return data.tobytes()
