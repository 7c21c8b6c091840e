"""The clip that a subject was made from: what it held, and whether the kept one still holds it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..errors import UserError
from ..files import atomic_path
from ..media.images import frame_files

_PIECE = 2**20  # bytes that are hashed at once


@dataclass(frozen=True)
class Stamp:
    """What a change of a file rarely leaves as it is. size: bytes; time: of the last change, ns; of a folder of
    frames the sum and the latest."""

    size: int
    time: int


@dataclass(frozen=True)
class SourceRecord:
    """`source.json`. clip: the user's file or folder; kept: the source in the subject's folder, or the clip
    itself where it is a folder of frames; sha256: of the content; the stamps are those at which both held it."""

    clip: str
    kept: str
    sha256: str
    clip_stamp: Stamp
    kept_stamp: Stamp


def stamp(path: Path) -> Stamp:
    """Cheap look at a file, or at a folder of frames. UserError where there is none."""
    try:
        found = [p.stat() for p in _files(path)]
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): give a file that is there and may be read"
        ) from error
    return Stamp(sum(s.st_size for s in found), max(s.st_mtime_ns for s in found))


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes; of a folder of frames, of their names and bytes in order."""
    digest = hashlib.sha256()
    try:
        for file in _files(path):
            if path.is_dir():
                digest.update(f"{file.name}\0{file.stat().st_size}\0".encode("utf-8", "surrogateescape"))
            with open(file, "rb") as stream:
                while piece := stream.read(_PIECE):
                    digest.update(piece)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): give a file that is there and may be read"
        ) from error
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    return frame_files(path) if path.is_dir() else [path]


def write_record(path: Path, record: SourceRecord) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")


def read_record(path: Path) -> SourceRecord | None:
    """None where there is no record: subjects of older versions and imported ones have none."""
    if not path.is_file():
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        clip, kept, digest = (_text(raw[k]) for k in ("clip", "kept", "sha256"))
        first, second = (Stamp(int(raw[k]["size"]), int(raw[k]["time"])) for k in ("clip_stamp", "kept_stamp"))
        return SourceRecord(clip, kept, digest, first, second)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error!r}): delete it and preprocess the clip again") from error


def clip_of(path: Path) -> Path | None:
    """The user's own file that a subject was made from, where the record `path` names one that is still there."""
    record = read_record(path)
    return Path(record.clip) if record is not None and os.path.isfile(record.clip) else None


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError(value)
    return value


def check_kept(source: Path, path: Path, record: SourceRecord) -> None:
    """Refuse a kept source that no longer holds what the subject was made from; path: of the record.

    Size and time tell in an instant; only where they differ (the folder was copied, perhaps) the
    content is compared, and the new time noted.
    """
    now = stamp(source)
    if now == record.kept_stamp:
        return
    if now.size != record.kept_stamp.size or content_hash(source) != record.sha256:
        raise UserError(
            f"{source} is not what this subject was made from (it has {now.size} bytes, it had {record.kept_stamp.size}): "
            f"put the clip back there, which was {record.clip}"
        )
    try:
        write_record(path, replace(record, kept_stamp=now))
    except UserError:  # a folder that may only be read: it is compared again next time
        return
