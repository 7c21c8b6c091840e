"""What a media file holds: facts that decoders report, found before anything slow starts."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .container import audio_stream, is_picture, open_media, read_errors, video_stream
from .facts import AudioFacts, MediaInfo, Selection, VideoFacts
from .images import frame_files, read_image
from .packets import Tally, decoded
from .picture import facts_of

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

TOLERATED = 2  # frames that may be lost, as at the end of a recording that was switched off
_LOOKED_AT = 5  # frames that are decoded to see whether they are interlaced
_LISTED = ("mov", "avi")  # formats that list the place of each frame before the first, or behind the last
_BEFORE_END = 5_000_000  # microseconds before the promised end from which packets are looked for
_MISSING = 0.5  # seconds by which a file may be shorter than its header says


def probe(path: Path, select: Selection = Selection()) -> MediaInfo:
    """What is known of a file, or of a folder of frames; UserError when it is missing or unreadable.

    The file is opened, and its first frames are decoded; the answer is kept until the file changes.
    """
    if path.is_dir():
        return MediaInfo(_folder_facts(path), None)
    try:
        status = path.stat()
    except OSError:
        return _probe(path, select, ())
    return _probe(path, select, (status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(64)
def _probe(path: Path, select: Selection, version: tuple[int, ...]) -> MediaInfo:
    with open_media(path) as container:
        sound = audio_stream(container, path, select.audio)
        picture = video_stream(container, path, select.video)
        video = facts_of(picture, _first_frames(container, picture, path), path) if picture is not None else None
        frames, lost = _listed(container, picture, version[1]) if picture is not None else (0, 0)
        return MediaInfo(video, _sound_facts(sound), duration_of(container) / 1_000_000, frames, lost)


def _folder_facts(folder: Path) -> VideoFacts:
    height, width = read_image(frame_files(folder)[0]).shape[:2]
    return VideoFacts(0, "images", width, height, 0.0, bits=8, subsampling="RGB")


def _sound_facts(stream: AudioStream | None) -> AudioFacts | None:
    if stream is None:
        return None
    return AudioFacts(stream.index, stream.codec_context.name, stream.rate or 0, stream.channels)


def _first_frames(container: InputContainer, stream: VideoStream, path: Path) -> list[VideoFrame]:
    tally = Tally()
    frames = list(islice(decoded(container, stream, tally), _LOOKED_AT))
    if not frames:
        raise UserError(
            f"{path} has no frames that can be decoded ({tally.reason or 'it ends at once'}): give another video"
        )
    return frames


def _listed(container: InputContainer, stream: VideoStream, size: int) -> tuple[int, int]:
    """Frames of the file's index, and those that lie behind its end."""
    if not container.format.name.startswith(_LISTED):
        return 0, 0
    ends = [entry.pos + entry.size for entry in stream.index_entries]
    return len(ends), sum(end > size for end in ends)


def check_video(path: Path, select: Selection = Selection()) -> MediaInfo:
    """`probe`, and refuse what is not a moving picture, or is only a part of one."""
    if path.is_file() and is_picture(path):
        raise UserError(f"{path} is a single image: give a video (or a folder of numbered frames) of a talking person")
    info = probe(path, select)
    if info.video is None:
        raise UserError(f"{path} has no video stream: give a video of a talking person")
    if not path.is_dir() and not select.allow_partial:
        refuse_part(path, info.frames - info.lost, info.lost)
        _check_length(path, select)
    return info


def refuse_part(path: Path, good: int, lost: int) -> None:
    """UserError when more than a few frames cannot be decoded."""
    if lost > TOLERATED:
        raise UserError(
            f"{path} can be decoded for {good} of {good + lost} frames: repair it, or go on with `data.allow_partial=true`"
        )


def _check_length(path: Path, select: Selection) -> None:
    """Refuse a file that ends sooner than its header says: the last packets are looked for at its end."""
    with open_media(path) as container:
        stream = video_stream(container, path, select.video)
        assert stream is not None and stream.time_base is not None
        if not container.duration or container.format.name.startswith(("mpeg", "h264", "hevc")):
            return  # whose duration is derived from what is there
        zero = Fraction(container.start_time or 0, 1_000_000)
        length = duration_of(container)
        promised = float(Fraction(length, 1_000_000))
        if length > _BEFORE_END:
            with suppress(*read_errors()):  # else it is read from the beginning
                container.seek((container.start_time or 0) + length - _BEFORE_END)
        end = _end(container)
    if end is None:  # some files without an index stand at their end after such a jump
        with open_media(path) as container:
            end = _end(container)
    found = float((end or zero) - zero)
    if found < promised - max(_MISSING, 0.02 * promised):
        fps = float(stream.average_rate or 25)
        good = max(0, round(found * fps))
        refuse_part(path, good, round(promised * fps) - good)


def duration_of(container: InputContainer) -> int:
    """Microseconds from the first time stamp to the last, 0 where unknown; Matroska's own figure counts from 0, also in files
    whose first time stamp is an hour."""
    start, duration = container.start_time or 0, container.duration or 0
    return duration - start if container.format.name.startswith("matroska") and 0 < start < duration else duration


def _end(container: InputContainer) -> Fraction | None:
    """Time stamp in seconds at which the last packet of any stream ends, read from where the container stands;
    None where no packet is left."""
    last: Fraction | None = None
    with suppress(*read_errors()):  # the damage that is looked for
        for packet in container.demux():
            if packet.pts is not None and packet.size and packet.time_base:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                last = end if last is None else max(last, end)
    return last


def expected_frames(path: Path, fps: float, select: Selection = Selection()) -> int | None:
    """About how many frames `read_frames` will yield; None where the container does not say."""
    return len(frame_files(path)) if path.is_dir() else round(probe(path, select).duration * fps) or None


def describe(info: MediaInfo) -> str:
    """One line for the user: what is read, and what is done with it."""
    parts = []
    if (video := info.video) is not None:
        even = video.interlaced or video.nominal <= video.fps
        uneven = "" if even else f" on average, up to {video.nominal:.5g}"
        rate = f", {video.fps:.5g} frames per second{uneven}" if video.fps else ""
        parts.append(
            f"{video.codec} {video.width}x{video.height}{rate}, {video.bits} bit {video.subsampling}, {video.stored.matrix}"
        )
        parts += video.notes
    if (sound := info.audio) is not None:
        parts.append(
            f"sound {sound.codec} {sound.rate} Hz, {sound.channels} channel{'s' if sound.channels > 1 else ''}"
        )
    return "; ".join(parts)
