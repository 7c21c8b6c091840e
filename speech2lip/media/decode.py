"""Decoding by presentation time, with exact seeking."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import cv2
import numpy as np

from ..errors import UserError
from .ffmpeg import ffmpeg
from .images import frame_files, read_image


def read_frames(
    path: Path, fps: float, max_side: int | None = None, start: int = 0
) -> Generator[np.ndarray, None, None]:
    """Decode a video, or a folder of image frames, at a constant rate.

    path: video file, or folder of images taken in name order as one frame each;
    max_side: shrink frames so that no side exceeds it; start: first frame wanted (the
    frames are the same ones as when reading from the beginning). Yields RGB uint8 [H, W, 3].
    """
    if path.is_dir():
        yield from _read_folder(path, max_side, start)
        return
    begin = start / fps
    filters = f"fps=fps={fps:.8g}:start_time={begin:.8f}"
    if max_side:
        filters += f",scale=w='min({max_side},iw)':h='min({max_side},ih)':force_original_aspect_ratio=decrease"
    seek = ["-ss", f"{begin - 2:.6f}"] if begin > 2 else []
    command = [ffmpeg(), "-v", "error", "-nostdin", "-copyts", "-start_at_zero", *seek, "-i", str(path)]
    command += ["-map", "0:v:0", "-vf", filters]
    command += ["-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, bufsize=1 << 22)
        assert process.stdout is not None
        count = 0
        try:
            while (size := _ppm_header(process.stdout)) is not None:
                width, height = size
                data = process.stdout.read(width * height * 3)
                if len(data) < width * height * 3:
                    break
                count += 1
                yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
            if process.wait() != 0 and count == 0:
                errors.seek(0)
                reason = errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
                raise UserError(f"{path} cannot be decoded ({''.join(reason)}): convert it with ffmpeg first")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def _ppm_header(stream) -> tuple[int, int] | None:  # type: ignore[no-untyped-def]
    """Read `P6 <width> <height> 255`, as ffmpeg writes it; None at the end of the stream."""
    if stream.readline().strip() != b"P6":
        return None
    width, height = stream.readline().split()
    stream.readline()
    return int(width), int(height)


def _read_folder(folder: Path, max_side: int | None, start: int) -> Iterator[np.ndarray]:
    for file in frame_files(folder)[start:]:
        frame = read_image(file)
        shrink = max_side / max(frame.shape[:2]) if max_side else 1.0
        yield cv2.resize(frame, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else frame
