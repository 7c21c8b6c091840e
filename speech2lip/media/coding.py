"""How strongly a picture is compressed: the quantiser where the decoder tells it, and bits per pixel."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .container import open_media, read_errors, video_stream
from .facts import Selection
from .packets import Tally, decoded

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_SAMPLED = 75  # frames from the beginning that are looked at: some seconds, in which an encoder's rate settles
_HEADER = struct.Struct("@IQQIi")  # FFmpeg's AVVideoEncParams: blocks, where they begin, bytes of each, kind, quantiser
_BLOCK = np.dtype(
    [("place", "<i4", 4), ("delta", "<i4")]
)  # AVVideoBlockParams: x, y, width, height, quantiser less the frame's
_H264 = 1  # AV_VIDEO_ENC_PARAMS_H264


@dataclass(frozen=True)
class Coding:
    """codec: its name; bits_per_pixel: of the compressed stream, per shown pixel (0: unknown, as of folders of
    images); quantiser: mean over blocks and frames of H.264, 0 (nothing is lost) to 51 (NaN: another codec, which does
    not tell)."""

    codec: str
    bits_per_pixel: float
    quantiser: float


def coding_of(path: Path, select: Selection = Selection()) -> Coding:
    """Decode the beginning of a video and see how it was compressed."""
    if path.is_dir():
        return Coding("images", 0.0, float("nan"))
    quantisers, pixels = [], 0
    with open_media(path) as container:
        stream = video_stream(container, path, select.video)
        assert stream is not None
        stream.codec_context.options = {"export_side_data": "venc_params"}
        for frame in decoded(container, stream, Tally()):
            pixels += frame.width * frame.height
            quantisers.append(_quantiser(frame))
            if len(quantisers) == _SAMPLED:
                break
        codec = stream.codec_context.name
    known = [q for q in quantisers if np.isfinite(q)]
    bits = 8 * _bytes(path, select, len(quantisers))
    return Coding(codec, bits / pixels if pixels else 0.0, float(np.mean(known)) if known else float("nan"))


def _bytes(path: Path, select: Selection, frames: int) -> int:
    """Bytes of the first packets of the picture."""
    total = count = 0
    with open_media(path) as container, suppress(*read_errors()):  # what is damaged was refused, or agreed to
        stream = video_stream(container, path, select.video)
        assert stream is not None
        for packet in container.demux(stream):
            total, count = total + packet.size, count + (packet.size > 0)
            if count == frames:
                break
    return total


def _quantiser(frame: VideoFrame) -> float:
    """Mean quantiser of a frame's blocks; NaN where the codec is not H.264."""
    sides: Any = frame.side_data  # whose types PyAV's stubs lack
    for side in sides:
        if side.type.name != "VIDEO_ENC_PARAMS":
            continue
        data = bytes(side)
        count, offset, size, kind, base = _HEADER.unpack_from(data)
        if kind == _H264 and count and size == _BLOCK.itemsize:
            blocks = np.frombuffer(data, _BLOCK, count, offset)
            return float(base + blocks["delta"].mean())
    return float("nan")
