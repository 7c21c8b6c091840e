"""What is known of a media file before it is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """How RGB stands for YUV, in the names that ffmpeg has for ITU-T H.273's numbers (`bt709`, `smpte170m`,
    `bt470bg`, `bt2020nc`, `smpte2084`, ...); full_range: Y is 0..255 and not 16..235."""

    matrix: str = "bt709"
    primaries: str = "bt709"
    transfer: str = "bt709"
    full_range: bool = False
