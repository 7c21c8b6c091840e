"""Files that arrive in pieces, and can go on after an interruption."""

from __future__ import annotations

import filecmp
import json
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import UserError
from ..files import atomic_path, cannot_write, copy_file
from ..names import subject_name

_FACTS = "upload.json"
_LONGEST_SUFFIX = 8
_IDENTITY = re.compile(r"[0-9a-f]{16}")


class UnknownUpload(UserError):
    """There is no such upload."""


class WrongOffset(UserError):
    """A piece does not follow what has arrived."""


class TooLarge(UserError):
    """An upload is larger than is allowed, or than is left."""


@dataclass(frozen=True)
class Upload:
    """id; name: of the file, plain; size: bytes that were announced; offset: bytes that have arrived; at: seconds since the epoch."""

    id: str
    name: str
    size: int
    offset: int
    at: float

    @property
    def complete(self) -> bool:
        return self.offset == self.size


class Uploads:
    """Uploads of one user, each in a folder of its own.

    most: bytes of one file; total: of all, what is announced counted as if it had arrived.
    """

    def __init__(self, folder: Path, most: int = 8 * 2**30, total: int = 64 * 2**30):
        self.folder, self.most, self.total = folder, most, total

    def begin(self, name: str, size: int) -> Upload:
        """Announce a file; TooLarge where there is no room."""
        if not 0 < size <= self.most:
            raise TooLarge(f"{name} has {size} bytes, allowed are 1 to {self.most}: give a smaller file")
        held = sum(upload.size for upload in self.all())
        if held + size > self.total:
            raise TooLarge(
                f"{name} has {size} bytes, and {max(self.total - held, 0)} are left: remove other uploads first"
            )
        upload = Upload(secrets.token_hex(8), _plain(name), size, 0, time.time())
        folder = self.folder / upload.id
        try:
            folder.mkdir(parents=True)
            (folder / upload.name).touch()
            with atomic_path(folder / _FACTS) as path:
                path.write_text(json.dumps({k: v for k, v in asdict(upload).items() if k != "offset"}), "utf-8")
        except OSError as error:
            raise UserError(cannot_write(folder, error)) from error
        return upload

    def take(self, file: Path) -> Path:
        """A copy of a file of this machine, as if it had been sent; returns its path. One that is here already is not copied again."""
        name, size = _plain(file.name), file.stat().st_size
        filecmp.clear_cache()  # which believes a file unchanged that has its old size and time
        for known in self.all():
            there = self.folder / known.id / known.name
            if known.complete and (known.name, known.size) == (name, size) and filecmp.cmp(there, file, shallow=False):
                return there
        upload = self.begin(file.name, size)
        copy_file(file, self.folder / upload.id / upload.name)
        return self.path(upload.id)

    def get(self, identity: str) -> Upload:
        folder = self.folder / identity
        try:
            if not _IDENTITY.fullmatch(identity):
                raise ValueError(identity)
            facts = json.loads((folder / _FACTS).read_text("utf-8"))
            return Upload(offset=(folder / facts["name"]).stat().st_size, **facts)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UnknownUpload(f"there is no upload {identity!r}") from error

    def add(self, identity: str, offset: int, piece: bytes) -> Upload:
        """Append a piece that begins at `offset`; WrongOffset, with nothing written, where that is not where the file ends."""
        upload = self.get(identity)
        if offset != upload.offset:
            raise WrongOffset(
                f"upload {identity} has {upload.offset} bytes, and a piece begins at {offset}: go on at {upload.offset}"
            )
        if offset + len(piece) > upload.size:
            raise TooLarge(
                f"upload {identity} was announced with {upload.size} bytes, and more arrived: announce it anew"
            )
        path = self.folder / identity / upload.name
        try:
            with open(path, "r+b") as stream:
                stream.seek(offset)
                stream.write(piece)
        except OSError as error:
            raise UserError(cannot_write(path, error)) from error
        return self.get(identity)

    def path(self, identity: str) -> Path:
        """The file of a complete upload; UserError before."""
        upload = self.get(identity)
        if not upload.complete:
            raise UserError(f"upload {identity} has {upload.offset} of {upload.size} bytes: send the others first")
        return self.folder / identity / upload.name

    def remove(self, identity: str) -> None:
        self.get(identity)
        shutil.rmtree(self.folder / identity, ignore_errors=True)

    def all(self) -> Iterator[Upload]:
        """In the order in which they were announced."""
        folders = self.folder.iterdir() if self.folder.is_dir() else ()
        known = [self.get(f.name) for f in folders if (f / _FACTS).is_file()]
        yield from sorted(known, key=lambda upload: upload.at)


def _plain(name: str) -> str:
    """A file's name that leads nowhere else; its ending stays."""
    last = re.split(r"[/\\]", name)[-1]
    stem, dot, suffix = last.rpartition(".")
    if not dot or not suffix.isalnum() or not suffix.isascii() or len(suffix) > _LONGEST_SUFFIX:
        stem, suffix = last, "bin"
    return f"{subject_name(stem or 'file')}.{suffix.lower()}"
