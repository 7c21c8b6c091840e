"""Packets of a stream -> decoded frames, with a tally of what could not be decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .container import read_errors

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


@dataclass
class Tally:
    """What decoding has met: frames shown, frames lost to errors, the last error, the time of the last frame, and
    the frames that would fill what time stamps leave out between frames (recordings of a changing rate have such gaps too)."""

    shown: int = 0
    lost: int = 0
    reason: str = ""
    now: float | None = None
    left_out: int = 0

    def see(self, time: float | None, fps: float) -> None:
        """The next frame is shown at `time` seconds; fps: of the file."""
        if self.now is not None and time is not None:
            self.left_out += max(0, round((time - self.now) * fps) - 1)
        self.now = time if time is not None else self.now


def decoded(container: InputContainer, stream: VideoStream, tally: Tally, landed: bool = False) -> Iterator[VideoFrame]:
    """Frames in the order of presentation from where the container stands.

    What cannot be decoded is counted and left out. landed: after a seek, decoding begins at the next key
    frame, and frames that are shown before it, which lean on what was not read, are left out.
    """
    stream.thread_type = "AUTO"
    first: int | None = None
    for packet in _packets(container, stream, tally):
        if landed and first is None and packet.size:
            if not packet.is_keyframe or packet.pts is None:
                continue
            first = packet.pts
        for frame in _frames(packet, container, tally):
            if first is None or (frame.pts is not None and frame.pts >= first):
                tally.see(frame.time, float(stream.average_rate or 0))
                yield frame


def _packets(container: InputContainer, stream: VideoStream, tally: Tally) -> Iterator[Packet[VideoStream]]:
    try:
        yield from container.demux(stream)
    except read_errors() as error:
        tally.reason = reason_of(error)


def _frames(packet: Packet[VideoStream], container: InputContainer, tally: Tally) -> Iterator[VideoFrame]:
    try:
        frames = packet.decode()
    except read_errors() as error:
        tally.reason = reason_of(error)
        tally.lost += _counts(container, tally)
        return
    for frame in frames:
        tally.lost += bool(frame.is_corrupt) and _counts(container, tally)
        tally.shown += not frame.is_corrupt
        yield frame  # type: ignore[misc]


def _counts(container: InputContainer, tally: Tally) -> bool:
    """Whether an error means a lost frame: transmissions begin anywhere, in pictures that hang in the air."""
    return tally.shown > 0 or not container.format.name.startswith("mpeg")


def reason_of(error: Exception) -> str:
    """FFmpeg's own words."""
    return str(getattr(error, "strerror", None) or error)
