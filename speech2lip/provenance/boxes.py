"""What C2PA's hash of an MP4 file leaves out: boxes that players pass over (C2PA 2.2, A.5; ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_LEFT_OUT = (b"ftyp", b"free", b"skip", b"mfra")
_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")  # of a `uuid` box with credentials
_PIECE = 2**20
_MOST_BOXES = 100_000


class Box(NamedTuple):
    """A box at the top of a file: its kind, where it begins, and its size with its header."""

    kind: bytes
    start: int
    size: int


def is_mp4(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(8)[4:] == b"ftyp"


def top_boxes(path: Path) -> list[Box]:
    """The boxes at the top of a file, in order."""
    with open(path, "rb") as stream:
        return list(_boxes(stream))


def unhashed(path: Path) -> str:
    """SHA-256 of all boxes that C2PA's hash leaves out, in order, but for the credentials themselves."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for box in _boxes(stream):
            if box.kind in _LEFT_OUT:
                _add(digest, stream, box)
    return digest.hexdigest()


def credentials_in(path: Path) -> int:
    """How many boxes with credentials an MP4 file has."""
    with open(path, "rb") as stream:
        return sum(box.kind == b"uuid" and _starts(stream, box) == _C2PA for box in _boxes(stream))


def _boxes(stream: BinaryIO) -> Iterator[Box]:
    """Boxes at the top of a file. They end where one reaches beyond the file."""
    end, start = stream.seek(0, 2), 0
    for _ in range(_MOST_BOXES):
        stream.seek(start)
        header = stream.read(16)
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        elif size == 0:
            size = end - start  # the last box, until the end
        if len(header) < 8 or size < 8 or start + size > end:
            return
        yield Box(header[4:8], start, size)
        start += size


def _starts(stream: BinaryIO, box: Box) -> bytes:
    stream.seek(box.start + 8)
    return stream.read(16)


def _add(digest: hashlib._Hash, stream: BinaryIO, box: Box) -> None:
    stream.seek(box.start)
    left = box.size
    while left and (piece := stream.read(min(left, _PIECE))):
        digest.update(piece)
        left -= len(piece)
