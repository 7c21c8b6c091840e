"""The ffmpeg program, and what it says about a media file."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from .images import IMAGE_SUFFIXES, frame_files


def ffmpeg() -> str:
    """Path of the ffmpeg program (the one that imageio-ffmpeg carries, or IMAGEIO_FFMPEG_EXE)."""
    import imageio_ffmpeg  # here, so that training starts where it is missing

    return str(imageio_ffmpeg.get_ffmpeg_exe())


@dataclass(frozen=True)
class MediaInfo:
    """Streams of a media file: `fps` and `duration` (seconds) are 0 where unknown."""

    has_video: bool
    has_audio: bool
    fps: float
    duration: float


def probe(path: Path) -> MediaInfo:
    """Read what ffmpeg says of a file; raises UserError when it is missing or unreadable."""
    if not path.exists():
        raise UserError(f"{path} does not exist: give the path of a video or audio file")
    if path.is_dir():
        return MediaInfo(True, False, 0.0, 0.0)
    run = subprocess.run([ffmpeg(), "-hide_banner", "-i", str(path)], capture_output=True)
    text = run.stderr.decode("utf-8", "replace")
    if "Input #0" not in text:
        reason = text.strip().splitlines()[-1] if text.strip() else "no output"
        raise UserError(f"{path} cannot be read as video or audio ({reason.split(': ')[-1]}): give a media file")
    duration = re.search(r"Duration: (\d+):(\d+):([\d.]+)", text)
    rate = re.search(r"Stream #.*Video:.*?([\d.]+) (?:fps|tbr)", text)
    return MediaInfo(
        has_video=bool(re.search(r"Stream #.*Video:(?!.*\(attached pic\))", text)),
        has_audio=bool(re.search(r"Stream #.*Audio:", text)),
        fps=float(rate.group(1)) if rate else 0.0,
        duration=sum(float(t) * s for t, s in zip(duration.groups(), (3600, 60, 1), strict=True)) if duration else 0.0,
    )


def check_video(path: Path) -> MediaInfo:
    """`probe`, and refuse what is not a moving picture."""
    if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
        raise UserError(f"{path} is a single image: give a video (or a folder of numbered frames) of a talking person")
    info = probe(path)
    if not info.has_video:
        raise UserError(f"{path} has no video stream: give a video of a talking person")
    return info


def expected_frames(path: Path, fps: float) -> int | None:
    """About how many frames `read_frames` will yield; None where the container does not say."""
    return len(frame_files(path)) if path.is_dir() else round(probe(path).duration * fps) or None
