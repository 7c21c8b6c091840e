"""Decoding by presentation time, with exact seeking."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..errors import UserError
from .container import open_media, origin, start_of, video_stream
from .facts import MediaInfo, Selection, VideoFacts
from .images import frame_files, read_image
from .packets import Tally, decoded
from .picture import Converter, Deinterlacer
from .planes import Picture, carried_bits
from .probe import probe, refuse_part

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_BACK = (0.5, 4.0, 15.0, 60.0)  # seconds before a wanted frame from which decoding is tried, before it begins at 0
_SEEK_FROM = 2.0  # seconds into the clip from which seeking is worth it
_AROUND = 2  # frames that deinterlacing must have seen before the first that counts
_LONGEST_JUMP = 0.5  # seconds by which time stamps may fall back


def read_frames(
    path: Path, fps: float, max_side: int | None = None, start: int = 0, select: Selection = Selection(),
    part: tuple[slice, slice] | None = None,
) -> Generator[np.ndarray, None, None]:  # fmt: skip
    """Decode a video, or a folder of image frames, at a constant rate, as RGB alone.

    path: video file, or folder of images taken in name order as one frame each;
    max_side: shrink frames so that no side exceeds it, to be looked at: colours are up to 3 levels off; start: first frame
    wanted (the frames are the same ones as when reading from the beginning); part: the rows and columns that are wanted of frames
    of their own size, the whole by default. Yields RGB uint8 [H, W, 3], read-only:
    upright, in square pixels, to be written with the colour of `probe(path).video`. Frame k is the last one
    that is shown by k / fps, to the nearest frame. At the end of a file that could not be decoded
    completely: UserError, unless `select.allow_partial`.
    """
    if path.is_dir():
        for image in _read_folder(path, max_side, start):
            yield image if part is None else image[part]
        return

    def converter(facts: VideoFacts) -> Converter:
        return Converter(facts, max_side, 0 if part is None else carried_bits(facts))

    for picture in _pictures(path, fps, start, select, converter):
        yield picture.rgb if part is None else picture.part(*part)


def read_pictures(
    path: Path, fps: float, start: int = 0, select: Selection = Selection(), keep_hdr: bool = False
) -> Generator[Picture, None, None]:
    """As `read_frames`, with the source's own planes beside RGB where they are to be written again (`carried_bits`).

    keep_hdr: HDR is not tone-mapped when it is written; its planes come along in 10 bits.
    """
    if path.is_dir():
        for image in _read_folder(path, None, start):
            yield Picture(image)
        return
    yield from _pictures(path, fps, start, select, lambda facts: Converter(facts, bits=carried_bits(facts, keep_hdr)))


def _pictures(
    path: Path, fps: float, start: int, select: Selection, converter: Callable[[VideoFacts], Converter]
) -> Iterator[Picture]:
    info = probe(path, select)
    if info.video is None:
        raise UserError(f"{path} has no video stream: give a video of a talking person")
    convert, tally = converter(info.video), Tally()
    before, picture = None, None
    for frame in _at_rate(_Source(path, fps, select, info.video, tally), start):
        if frame is not before or picture is None:
            before, picture = frame, convert(frame)
        yield picture
    _check_complete(path, info, select, tally, start)


def _check_complete(path: Path, info: MediaInfo, select: Selection, tally: Tally, start: int) -> None:
    if not start and not tally.shown:
        raise UserError(
            f"{path} has no frames that can be decoded ({tally.reason or 'it is empty'}): give another video"
        )
    if not select.allow_partial:
        lost = max(tally.lost, info.lost)
        if lost:  # what lay in the damage left no trace but a gap
            lost = max(lost, tally.left_out)
        refuse_part(path, max(0, info.frames - lost) or tally.shown, lost)


class _Clock:
    """Time stamps -> frame numbers at a constant rate.

    The picture's first frame is put on the nearest number, and the others by their distance from it: time
    stamps that are rounded to milliseconds neither double nor drop a frame.
    """

    def __init__(self, stream: VideoStream, zero: Fraction, fps: float):
        self.rate = Fraction(fps).limit_denominator(100_000)
        self.begin = start_of(stream)
        self.first = _nearest((self.begin - zero) * self.rate)

    def slot(self, time: Fraction) -> int:
        return _nearest((time - self.begin) * self.rate) + self.first

    def time(self, slot: int) -> Fraction:
        return self.begin + (slot - self.first) / self.rate


def _nearest(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


@dataclass(frozen=True)
class _Source:
    """What is read, and the tally of reading it."""

    path: Path
    fps: float
    select: Selection
    facts: VideoFacts
    tally: Tally


_Timed = tuple[int, int, "VideoFrame"]  # number of a frame, number after it, and the frame


def _at_rate(source: _Source, start: int) -> Iterator[VideoFrame]:
    """Decoded frames start, start + 1, ... at a constant rate; a frame that is shown longer comes repeatedly."""
    held: VideoFrame | None = None
    number, end = start, start
    for slot, after, frame in _from(source, start):
        shown = held if held is not None else frame  # until anything is shown: the first frame
        while number < slot:
            yield shown
            number += 1
        held, end = frame, max(after, slot)
    while held is not None and (number < end or number == start == 0):
        yield held
        number += 1


def _from(source: _Source, start: int) -> Iterator[_Timed]:
    """Frames from one that is shown by number `start`, or from the beginning.

    What a seek lands on is not believed: where the first frame is later than `start`, decoding
    begins earlier, in the end at the beginning.
    """
    wanted = start - (_AROUND if source.facts.interlaced else 0)
    for back in _BACK:
        with closing(_read(source, start, back)) as frames:
            first = next(frames, None)
            if first is not None and first[0] <= wanted:
                yield first
                yield from frames
                return
    source.tally.shown = source.tally.lost = 0
    yield from _read(source, start, None)


def _read(source: _Source, start: int, back: float | None) -> Generator[_Timed, None, None]:
    """All frames from a key frame `back` seconds or more before number `start` (None: from the beginning);
    nothing where that is not possible or not worth it."""
    with open_media(source.path) as container:
        stream = video_stream(container, source.path, source.select.video)
        assert stream is not None
        clock = _Clock(stream, origin(container, source.path, source.select), source.fps)
        decoding = _lacks_times(container, stream)
        if back is not None and (decoding or not _seek(container, stream, clock.time(start) - Fraction(back))):
            return
        frames: Iterator[VideoFrame] = decoded(container, stream, source.tally, landed=back is not None)
        if source.facts.interlaced:
            frames = _deinterlaced(frames, Deinterlacer(stream, source.fps > 1.5 * source.facts.fps))
        for time, end, frame in _timed(frames, source, clock.begin, decoding):
            yield clock.slot(time), clock.slot(end), frame


def _seek(container: InputContainer, stream: VideoStream, time: Fraction) -> bool:
    """Go to a key frame at or before `time` (seconds); False where that is not possible or not worth it."""
    if stream.time_base is None or time - start_of(stream) < _SEEK_FROM:
        return False
    try:
        container.seek(floor(time / stream.time_base), stream=stream)
    except OSError:
        return False
    return True


def _deinterlaced(frames: Iterator[VideoFrame], filtered: Deinterlacer) -> Iterator[VideoFrame]:
    for frame in frames:
        yield from filtered(frame)
    yield from filtered(None)


def _lacks_times(container: InputContainer, stream: VideoStream) -> bool:
    """Whether a file has times of decoding alone, and its frames are shown in another
    order: distances of those times count then, from the beginning."""
    return container.format.name == "avi" and bool(stream.codec_context.has_b_frames)


def _timed(
    frames: Iterator[VideoFrame], source: _Source, begin: Fraction, decoding: bool
) -> Iterator[tuple[Fraction, Fraction, VideoFrame]]:
    """Frames with the seconds at which they begin and end; those without a time stamp follow each other."""
    usual = 1 / Fraction(source.facts.fps or source.fps).limit_denominator(100_000)
    before: Fraction | None = None
    first: int | None = None
    end = begin
    for frame in frames:
        base = frame.time_base or Fraction(0)
        if decoding:
            first = frame.dts if first is None else first
            known = frame.dts is not None and first is not None
            time = begin + (frame.dts - first) * base if known else end  # type: ignore[operator]
        else:
            time = end if frame.pts is None else Fraction(frame.pts * base)
        if before is not None and time < before - _LONGEST_JUMP:
            raise UserError(
                f"{source.path} has time stamps that fall back by {float(before - time):.1f} s after "
                f"{float(before - begin):.1f} s: cut it there, and use one part"
            )
        if before is not None and time > before:
            usual = time - before
        length = frame.duration * base  # of a last frame some encoders do not know it
        before, end = time, time + (length if 2 * length > usual else usual)
        yield time, end, frame


def _read_folder(folder: Path, max_side: int | None, start: int) -> Iterator[np.ndarray]:
    for file in frame_files(folder)[start:]:
        frame = read_image(file)
        shrink = max_side / max(frame.shape[:2]) if max_side else 1.0
        yield cv2.resize(frame, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else frame
