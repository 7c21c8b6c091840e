"""The archive of one person: a ZIP file whose members are stored as they are, and a manifest that vouches for each.

`manifest.json` holds the format's version, the name, facts for a reader, and size and SHA-256 of every other member. Nothing is
compressed: an archive never holds more than its own size, whoever made it.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..arrays import Unsound
from ..errors import UserError
from ..files import atomic_path, check_input, writing
from ..names import is_folder_name

FORMAT = "speech2lip-subject-1"
MANIFEST = "manifest.json"
MOST_FILES = 500_000  # over an hour of video
_LARGEST_MANIFEST = 2**27  # bytes
_LARGEST_DIRECTORY = 2**27  # bytes of the archive's list of members
_DEEPEST = 3  # parts of a path
_PIECE = 2**20  # bytes at once
_DATE = (1980, 1, 1, 0, 0, 0)  # the same for every archive, so that the same files give the same bytes
_MODE = stat.S_IFREG | 0o644
_END, _END64_PLACE, _END64 = 22, 20, 56  # bytes of the records at an archive's end
_REMEDY = "export the subject again, or copy the file again from where it is sound"

Content = Path | bytes | memoryview  # of a member: a file, or what would be in it


@dataclass(frozen=True)
class Member:
    """size: bytes; sha256: of the content, 64 hexadecimal digits."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """name: of the subject; facts: for a reader, not relied on; files: by their path in the archive."""

    name: str
    facts: Mapping[str, Any]
    files: Mapping[str, Member]


# ---------------------------------------------------------------- writing


def write_archive(out: Path, name: str, facts: Mapping[str, Any], members: Mapping[str, Content]) -> Manifest:
    """Write an archive, atomically; the same members give the same bytes. UserError for a file that changes meanwhile."""
    if len(members) > MOST_FILES:
        raise UserError(f"{name} has {len(members)} files, an archive holds up to {MOST_FILES}: export a shorter clip")
    if len({place.casefold() for place in members}) != len(members):
        raise UserError(f"{name} has files whose names differ in capitals alone: rename them, and preprocess again")
    with atomic_path(out, follow=True) as path, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        files = {place: _write(archive, place, members[place]) for place in sorted(members)}
        manifest = Manifest(name, facts, files)
        _write(archive, MANIFEST, _manifest_bytes(manifest))
    return manifest


def _write(archive: zipfile.ZipFile, place: str, content: Content) -> Member:
    info = zipfile.ZipInfo(place, _DATE)
    info.external_attr, info.create_system = _MODE << 16, 3
    info.file_size = content.stat().st_size if isinstance(content, Path) else len(content)
    size, digest = 0, hashlib.sha256()
    with archive.open(info, "w", force_zip64=info.file_size >= zipfile.ZIP64_LIMIT) as stream:
        for piece in _pieces(content):
            size += len(piece)
            digest.update(piece)
            stream.write(piece)
    return Member(size, digest.hexdigest())


def _pieces(content: Content) -> Iterator[bytes | memoryview]:
    if not isinstance(content, Path):
        yield content
        return
    promised, given = content.stat().st_size, 0
    with open(content, "rb") as stream:
        while piece := stream.read(_PIECE):
            given += len(piece)
            yield piece
    if given != promised:
        raise UserError(f"{content} was changed while it was read: run the same command again")


def _manifest_bytes(manifest: Manifest) -> bytes:
    files = {path: {"size": member.size, "sha256": member.sha256} for path, member in manifest.files.items()}
    content = {
        "format": FORMAT, "program": __version__, "name": manifest.name, "facts": dict(manifest.facts), "files": files,
    }  # fmt: skip
    return json.dumps(content, indent=1).encode()


# ---------------------------------------------------------------- reading


@dataclass(frozen=True)
class Archive:
    """An archive whose list of members agrees with its manifest; contents are compared when they are extracted."""

    path: Path
    manifest: Manifest
    _content: zipfile.ZipFile

    @property
    def size(self) -> int:
        """Bytes that all members take."""
        return sum(member.size for member in self.manifest.files.values())

    def extract(self, place: str, target: Path) -> None:
        """Write one member into the new file `target`; UserError where it is not what the manifest says."""
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "xb") as stream:
                for piece in self._verified(place):
                    stream.write(piece)

    def _verified(self, place: str) -> Iterator[bytes]:
        """Pieces of a member, no more than it promised; UserError at the end where its checksum is another."""
        wanted, left, digest = self.manifest.files[place], self.manifest.files[place].size, hashlib.sha256()
        with sound(self.path), self._content.open(place) as stream:
            while piece := stream.read(min(_PIECE, left + 1)):
                left -= len(piece)
                if left < 0:
                    raise Unsound(f"{place} has more than the {wanted.size} bytes of the manifest")
                digest.update(piece)
                yield piece
            if digest.hexdigest() != wanted.sha256:
                raise Unsound(f"the checksum of {place} is not that of the manifest")


@contextmanager
def reading(path: Path) -> Iterator[Archive]:
    """Open an archive of anybody's; UserError for whatever is not one that `write_archive` could have written."""
    check_input(path, "an archive that `speech2lip subjects export` wrote")
    with sound(path):
        _check_directory(path)
        content = zipfile.ZipFile(path)
    with content:
        with sound(path):
            manifest = _checked(content, path.stat().st_size)
        yield Archive(path, manifest, content)


@contextmanager
def sound(path: Path) -> Iterator[None]:
    """Whatever zipfile makes of a damaged or hostile archive is a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # zipfile, struct and json each raise their own kinds
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"{path} is no sound archive of a subject ({lines[0][:160]}): {_REMEDY}") from error


def _check_directory(path: Path) -> None:
    """Refuse a list of members so long that reading it alone would fill the memory; zipfile reads it whole.

    The records at the end are looked for where zipfile looks first: an archive of ours has no comment behind them.
    """
    with open(path, "rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _END - _END64_PLACE - _END64))
        tail = stream.read()
    end = tail[-_END:]
    if len(end) < _END or end[:4] != b"PK\5\6" or end[-2:] != b"\0\0":
        raise Unsound("it does not end as a ZIP file without a comment does")
    count, length = struct.unpack("<H", end[10:12])[0], struct.unpack("<L", end[12:16])[0]
    large = tail[: -_END - _END64_PLACE]
    if tail[-_END - _END64_PLACE :][:4] == b"PK\6\7":
        if len(large) != _END64 or large[:4] != b"PK\6\6":
            raise Unsound("its records of a large ZIP file are not at its end")
        count, length = struct.unpack("<Q", large[32:40])[0], struct.unpack("<Q", large[40:48])[0]
    if count > MOST_FILES + 1 or length > _LARGEST_DIRECTORY:
        raise Unsound(f"it lists {count} files in {length} bytes, allowed are {MOST_FILES} in {_LARGEST_DIRECTORY}")


def _checked(content: zipfile.ZipFile, size: int) -> Manifest:
    """The manifest, where the members are those that it names; size: of the archive. Unsound otherwise."""
    members = content.infolist()
    if len(members) > MOST_FILES + 1:
        raise Unsound(f"it has {len(members)} files, allowed are {MOST_FILES}")
    for info in members:
        _check_member(info)
    if sum(info.file_size for info in members) > size:
        raise Unsound("it holds more than its own size")
    folded = {info.filename.casefold() for info in members}
    if len(folded) != len(members):
        raise Unsound("two of its files have the same name")
    manifest = _manifest(content)
    sizes = {info.filename: info.file_size for info in members if info.filename != MANIFEST}
    different = sorted(set(sizes) ^ set(manifest.files))
    if different:
        raise Unsound(f"{different[0][:80]} is in {'it' if different[0] in sizes else 'its manifest'} alone")
    wrong = [place for place, member in manifest.files.items() if sizes[place] != member.size]
    if wrong:
        raise Unsound(f"{wrong[0]} has {sizes[wrong[0]]} bytes, the manifest says {manifest.files[wrong[0]].size}")
    return manifest


def _check_member(info: zipfile.ZipInfo) -> None:
    """Refuse all but plain files, as they are, at plain places below the archive."""
    parts = info.orig_filename.split("/")  # as it is in the file: zipfile itself cuts some names
    plain = all(is_folder_name(part) and not part.startswith(".") for part in parts)
    if not plain or len(parts) > _DEEPEST or info.orig_filename != info.filename:
        raise Unsound(f"{info.orig_filename[:80]!r} is no plain place for a file")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise Unsound(f"{info.filename} is a link, a folder or a device")
    if info.flag_bits & 1 or info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise Unsound(f"{info.filename} is compressed or encrypted")


def _manifest(content: zipfile.ZipFile) -> Manifest:
    try:
        info = content.getinfo(MANIFEST)
    except KeyError as error:
        raise Unsound(f"it has no {MANIFEST}") from error
    if info.file_size > _LARGEST_MANIFEST:
        raise Unsound(f"its manifest has over {_LARGEST_MANIFEST >> 20} MB")
    raw = json.loads(content.read(info).decode("utf-8"))
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        found = raw.get("format") if isinstance(raw, dict) else raw
        raise Unsound(f"its format is {str(found)[:40]!r}, this program reads {FORMAT}")
    name, facts, files = raw.get("name"), raw.get("facts"), raw.get("files")
    if not isinstance(name, str) or not isinstance(facts, dict) or not isinstance(files, dict):
        raise Unsound("its manifest lacks a name, facts or files")
    return Manifest(name, facts, dict(_members(files.items())))


def _members(entries: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Member]]:
    for place, entry in entries:
        size, digest = (entry.get("size"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
        if isinstance(size, bool) or not isinstance(size, int) or size < 0 or not isinstance(digest, str):
            raise Unsound(f"its manifest has no size and checksum of {place[:80]}")
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise Unsound(f"the checksum of {place[:80]} in its manifest is none")
        yield place, Member(size, digest)
