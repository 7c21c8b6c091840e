"""The source video: whose folder this is, and a copy of the clip beside the subject."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from ..config import Config
from ..errors import UserError
from ..files import copy_file
from ..media.encode import exact_rate
from ..media.facts import Selection
from ..subject.layout import SubjectLayout
from ..subject.source import SourceRecord, Stamp, content_hash, read_record, stamp, write_record

_USUAL_RATE, _LOWEST_RATE, _HIGHEST_RATE = 25.0, 20.0, 31.0  # frames per second


def selection(config: Config) -> Selection:
    """Which streams of the clip are read."""
    return Selection(config.data.video_stream, config.data.audio_stream, config.data.allow_partial)


def sound_selection(config: Config, video: Path, sound: Path) -> Selection:
    """Which stream of `sound` is read: the settings concern the clip alone."""
    return selection(config) if sound == video else Selection()


def frame_rate(wanted: float, source: float, nominal: float = 0.0) -> float:
    """Frames per second of a subject; wanted: 0 leaves it to the source's (0: unknown), which is halved, thirded ... where it
    is above 31, and doubled ... where it is below 20, as speech is faster, unless that is above 31.

    source: the average; nominal: the rate while frames come evenly (0: the average), which is taken unless frames
    would be left out: time stamps that jitter can have any.
    """
    if wanted or not source:
        return wanted or _USUAL_RATE
    if nominal and _visible(nominal) >= min(source, _visible(source)):
        return _visible(nominal)
    return _visible(source)


def _visible(source: float) -> float:
    rate = float(exact_rate(source))
    if rate > _HIGHEST_RATE:
        return rate / math.ceil(rate / _HIGHEST_RATE)
    faster = rate * math.ceil(_LOWEST_RATE / rate)
    return faster if faster <= _HIGHEST_RATE else rate


@dataclass(frozen=True)
class Clip:
    """What enters preprocessing. video: file or folder of frames; sha256: of its content, which it had at
    `seen`; sound: file with the speech of the clip; fps: frames per second, as they are read."""

    video: Path
    sha256: str
    seen: Stamp
    sound: Path
    fps: float


def check_clip(video: Path, layout: SubjectLayout, remedy: str) -> tuple[str, Stamp]:
    """SHA-256 and stamp of a clip; refuses one that is not the clip that the folder was made from.

    remedy: what to do about it, for the message. A clip that was moved or renamed is the same clip.
    """
    record, now = _known(layout), stamp(video)
    here = str(video.resolve())
    if record is None:
        return content_hash(video), now
    if (here, now) == (record.clip, record.clip_stamp):
        return record.sha256, now
    digest = content_hash(video)
    if digest == record.sha256:
        return digest, now
    if here != record.clip:
        raise UserError(f"{layout.root} was made from {record.clip}, {video} is another clip: {remedy}")
    gone = layout.source_record if _lies_within(video, layout) else layout.root
    raise UserError(
        f"{layout.root} was made from {video}, which has changed since: {remedy}, or delete {gone} to start over"
    )


def _known(layout: SubjectLayout) -> SourceRecord | None:
    """What the folder was made from; of a folder of an older version, the source that it kept."""
    record = read_record(layout.source_record)
    if record is not None or not layout.subject.is_file():
        return record
    try:
        source = layout.source_path(layout.load_subject())
    except UserError:
        return None  # of a format that is written anew, or without its source: there is nothing to compare
    seen = stamp(source)
    return SourceRecord(str(source.resolve()), os.fspath(source), content_hash(source), seen, seen)


def kept_path(video: Path, layout: SubjectLayout) -> Path:
    """Where the source of a subject lies: the clip itself (resolved), or a copy in the subject's folder."""
    if video.is_dir() or _lies_within(video, layout):
        return video.resolve()
    return layout.root / f"source{_suffix(video)}"


def keep_source(clip: Clip, layout: SubjectLayout) -> str:
    """Copy the clip beside the subject, and note what it held; returns its path, relative to the folder.

    A folder of frames, and a video that lies in the subject's folder already, stay where they are.
    """
    kept = kept_path(clip.video, layout)
    if kept == clip.video.resolve():
        name = os.path.relpath(kept, layout.root.resolve())
    else:
        copy_file(clip.video, kept)
        name = kept.name
    seen = stamp(kept)
    if content_hash(kept) != clip.sha256:
        raise UserError(f"{clip.video} was changed while it was read: run the same command again")
    write_record(layout.source_record, SourceRecord(str(clip.video.resolve()), name, clip.sha256, clip.seen, seen))
    return name


def restore_source(clip: Clip, layout: SubjectLayout) -> None:
    """Copy the clip again where a finished folder lacks its source, or has only a link to it."""
    record = read_record(layout.source_record)
    source = layout.root / (record.kept if record is not None else layout.load_subject().source)
    linked = not source.is_dir() and source.exists() and (source.is_symlink() or source.stat().st_nlink > 1)
    if record is not None and source.exists() and not linked and stamp(source) == record.kept_stamp:
        return
    keep_source(clip, layout)


def _lies_within(video: Path, layout: SubjectLayout) -> bool:
    return video.resolve().parent == layout.root.resolve()


def _suffix(video: Path) -> str:
    """The file's, where it is one: decoders look at it."""
    suffix = video.suffix.lower()
    return suffix if suffix.isascii() and suffix[1:].isalnum() and len(suffix) <= 10 else ""
