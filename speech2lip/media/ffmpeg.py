"""The ffmpeg program, which the writers use."""

from __future__ import annotations


def ffmpeg() -> str:
    """Path of the ffmpeg program (the one that imageio-ffmpeg carries, or IMAGEIO_FFMPEG_EXE)."""
    import imageio_ffmpeg  # here, so that training starts where it is missing

    return str(imageio_ffmpeg.get_ffmpeg_exe())
