"""Makes the files of the table of inputs: small videos and sounds of every kind, and files that are none."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

RATE = 16_000
SECONDS = 20  # of speech-like sound


@dataclass(frozen=True)
class Film:
    """A video to make: format: PyAV's name of the container, by default that of the suffix; sound: codec, or none."""

    codec: str = "libx264"
    pixels: str = "yuv420p"
    size: tuple[int, int] = (96, 64)
    frames: int = 75
    rate: int = 25
    format: str | None = None
    sound: str | None = None
    sounds: int = 1
    videos: int = 1
    cover: bool = False
    options: dict[str, str] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    container: dict[str, str] = field(default_factory=dict)


def pictures(film: Film) -> Iterator[np.ndarray]:
    """Moving stripes, RGB [H, W, 3]."""
    width, height = film.size
    y, x = np.mgrid[:height, :width]
    for k in range(film.frames):
        grey = 128 + 80 * np.sin((x + 2 * k) / 7) * np.cos(y / 9)
        yield np.stack([grey, grey * 0.8, 255 - grey], -1).astype(np.uint8)


def video(path: Path, film: Film = Film()) -> Path:
    """Write a film."""
    import av

    with av.open(os.fspath(path), "w", format=film.format, container_options=film.container) as out:
        cover = _cover(out) if film.cover else None
        streams = [_stream(out, film) for _ in range(film.videos)]
        heard = [_sound_stream(out, film.sound) for _ in range(film.sounds)] if film.sound else []
        if cover is not None:
            _write_cover(out, cover)
        for number, picture in enumerate(pictures(film)):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=stream.pix_fmt)
                frame.pts, frame.time_base = number, Fraction(1, film.rate)
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))
        for stream in heard:
            _write_sound(out, stream, speech(film.frames / film.rate, 48_000))
    return path


def _stream(out: Any, film: Film) -> Any:
    stream = out.add_stream(film.codec, rate=film.rate, options=dict(film.options))
    stream.width, stream.height, stream.pix_fmt = *film.size, film.pixels
    for name, value in film.context.items():
        setattr(stream.codec_context, name, value)
    return stream


def _sound_stream(out: Any, codec: str) -> Any:
    stream = out.add_stream(codec, rate=48_000)
    stream.layout = "mono"
    return stream


def _cover(out: Any) -> Any:
    """A single picture as the first stream."""
    from av.stream import Disposition

    stream = out.add_stream("mjpeg", rate=1)
    stream.width, stream.height, stream.pix_fmt = 48, 48, "yuvj420p"
    stream.disposition = Disposition.attached_pic
    return stream


def _write_cover(out: Any, stream: Any) -> None:
    import av

    frame = av.VideoFrame.from_ndarray(np.full((48, 48, 3), 90, np.uint8), "rgb24").reformat(format="yuvj420p")
    frame.pts, frame.time_base = 0, Fraction(1, 1)
    out.mux([*stream.encode(frame), *stream.encode(None)])


def _write_sound(out: Any, stream: Any, wave: np.ndarray) -> None:
    import av

    frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
    out.mux([*stream.encode(frame), *stream.encode(None)])


def sound(path: Path, codec: str, format: str | None = None, seconds: float = 3.0) -> Path:
    """Sound in a container of its own."""
    import av

    with av.open(os.fspath(path), "w", format=format) as out:
        _write_sound(out, _sound_stream(out, codec), speech(seconds, 48_000))
    return path


def speech(seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    """Sound with the level and the pauses of speech, float [N] in [-1, 1]."""
    t = np.arange(round(seconds * rate)) / rate
    return 0.3 * np.sin(2 * np.pi * 180 * t) * np.clip(np.sin(2 * np.pi * 2.5 * t), 0, 1)


def wav(path: Path, samples: np.ndarray, rate: int = RATE, kind: str = "s16", size: int | None = None) -> Path:
    """A WAV file written by hand: samples [N] or [N, channels]; kind: u8, s16, s24, s32, f32 or f64; size: bytes of
    sound that the header claims."""
    samples = samples[:, None] if samples.ndim == 1 else samples
    bits = int(kind[1:])
    data = _pcm(samples, kind)
    channels = samples.shape[1]
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", 3 if kind[0] == "f" else 1, channels, rate, rate * block, block, bits)
    claimed = len(data) if size is None else size
    head = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", claimed)
    total = min(len(head) + claimed, 2**32 - 1)
    path.write_bytes(b"RIFF" + struct.pack("<I", total) + head + data)
    return path


def _pcm(samples: np.ndarray, kind: str) -> bytes:
    if kind[0] == "f":
        return samples.astype("<f4" if kind == "f32" else "<f8").tobytes()
    if kind == "u8":
        return (samples * 127 + 128).astype(np.uint8).tobytes()
    whole = (samples * (2.0 ** (int(kind[1:]) - 1) - 1)).astype("<i8")
    width = int(kind[1:]) // 8
    return whole.reshape(-1).view(np.uint8).reshape(-1, 8)[:, :width].tobytes()


def turned(path: Path) -> Path:
    """An .mp4 whose header says that it is to be shown turned by a quarter."""
    data = bytearray(video(path).read_bytes())
    at = data.index(b"tkhd") + 4 + 40 - 4
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 64 << 16, 0, 1 << 30)
    path.write_bytes(bytes(data))
    return path


def cut(path: Path, share: float) -> Path:
    """The first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def scratched(path: Path) -> Path:
    """A file whose middle third is noise."""
    data = bytearray(path.read_bytes())
    a, b = len(data) // 3, 2 * len(data) // 3
    data[a:b] = np.random.default_rng(0).bytes(b - a)
    path.write_bytes(bytes(data))
    return path


def text(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def link(path: Path, target: Path) -> Path:
    path.symlink_to(target)
    return path
