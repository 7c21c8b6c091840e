"""Small media files of every kind, made by PyAV at test time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np

SIZE = (96, 64)  # width, height
LOSSLESS = {"qp": "0", "preset": "ultrafast"}
BOTH = ("-map", "0", "-map", "1", "-c", "copy")  # streams of two files, as they are


def ffmpeg(*arguments: object) -> None:
    """For what PyAV cannot write."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


def counted(count: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Frames that show their own number in 8 bright or dark bars, lowest bit at the left."""
    frames = []
    for number in range(count):
        bits = np.array([number >> bit & 1 for bit in range(8)])
        row = np.repeat(40 + 160 * bits, size[0] // 8)
        frames.append(np.broadcast_to(row[None, :, None], (size[1], row.size, 3)).astype(np.uint8).copy())
    return frames


def number(frame: np.ndarray) -> int:
    """The number that a frame of `counted` shows."""
    middle = frame[frame.shape[0] // 2, :, 1].reshape(8, -1).mean(1)
    return int(sum((value > 120) << bit for bit, value in enumerate(middle)))


def numbers(frames: Iterable[np.ndarray]) -> list[int]:
    return [number(frame) for frame in frames]


def make_video(
    path: Path, frames: Iterable[np.ndarray], codec: str = "libx264", pix_fmt: str = "yuv420p", rate: int = 25,
    options: Mapping[str, str] = LOSSLESS, times: Callable[[int], int] | None = None, **settings: Any,
) -> Path:  # fmt: skip
    """RGB frames [H, W, 3] -> a file. times: number of a frame -> its time stamp in 1 / (4 rate) seconds;
    settings: attributes of the codec context, and `container` with the muxer's options."""
    muxer = settings.pop("container", {})
    fmt = settings.pop("format", None)
    with av.open(str(path), "w", options=muxer, format=fmt) as out:
        stream = out.add_stream(codec, rate=rate, options=dict(options))
        stream.pix_fmt = pix_fmt
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        base = Fraction(1, 4 * rate if times else rate)
        stream.codec_context.time_base = base
        for index, image in enumerate(frames):
            frame = image if isinstance(image, av.VideoFrame) else av.VideoFrame.from_ndarray(image, format="rgb24")
            if index == 0:
                stream.width, stream.height = frame.width, frame.height
            frame.pts, frame.time_base, frame.duration = times(index) if times else index, base, 4 if times else 1
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def raw_yuv(values: tuple[int, int, int], pix_fmt: str = "yuv420p", size: tuple[int, int] = SIZE) -> av.VideoFrame:
    """A frame whose planes are constant: Y, Cb, Cr."""
    frame = av.VideoFrame(*size, pix_fmt)
    wide = frame.format.components[0].bits > 8
    for plane, value in zip(frame.planes, values, strict=False):
        length = plane.buffer_size // (2 if wide else 1)
        plane.update(np.full(length, value, "<u2" if wide else np.uint8).tobytes())
    return frame


def make_sound(
    path: Path, channels: np.ndarray, rate: int = 48_000, codec: str = "pcm_s16le", layout: str = "stereo",
    fmt: str = "s16", start: float = 0.0, gap: tuple[float, float] | None = None,
) -> Path:  # fmt: skip
    """Float channels [C, N] in [-1, 1] -> a file. start: seconds of the first time stamp; gap: (at, length) in seconds
    of a hole in the time stamps."""
    kinds = {
        "u8": (np.uint8, 127, 128),
        "s16": (np.int16, 32767, 0),
        "s32": (np.int32, 2**31 - 200, 0),
        "flt": (np.float32, 1, 0),
    }
    kind, factor, offset = kinds[fmt]
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        stream.codec_context.format = fmt
        for at in range(0, channels.shape[1], 1024):
            part = channels[:, at : at + 1024]
            packed = (part.T.reshape(1, -1) * factor + offset).astype(kind)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), fmt, layout)
            late = gap[1] if gap and at / rate >= gap[0] else 0.0
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = at + round((start + late) * rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path
