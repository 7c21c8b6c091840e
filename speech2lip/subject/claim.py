"""Whether a folder may become a subject's: nothing that a user put there is replaced."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from .layout import SubjectLayout

_MOST = 2**20  # bytes of a file that are looked at


def check_free(layout: SubjectLayout, targets: Sequence[Path], kept: Sequence[Path], remedy: str) -> None:
    """Refuse a folder that is no subject of ours and holds something of a name that is written.

    targets: files, and folders that are emptied first; kept: files that are read and stay as they are;
    remedy: what to do, for the message. UserError names the first such file or folder. An empty folder is in nobody's way.
    """
    if is_subject(layout):
        return
    staying = {path.resolve() for path in kept}
    for target in targets:
        if _holds(target) and target.resolve() not in staying:
            raise UserError(
                f"{layout.root} is no subject of this program and has {target.relative_to(layout.root)}, which would be "
                f"replaced: {remedy}"
            )


def _holds(path: Path) -> bool:
    """A file, a link, or a folder with something in it."""
    if path.is_dir():
        return any(True for _ in os.scandir(path))
    return os.path.lexists(path)


def is_subject(layout: SubjectLayout) -> bool:
    """Whether one of the files that tell a subject's folder is there: half-made and damaged ones are ours too."""
    marks = {
        layout.subject: b'"lip_box"', layout.source_record: b'"clip_stamp"', layout.landmarks: b"sharpness.npy",
    }  # fmt: skip
    return any(mark in _beginning(path) for path, mark in marks.items()) or _has_stages(_beginning(layout.stages))


def _has_stages(content: bytes) -> bool:
    """The marks of finished stages, or of none yet."""
    return content.strip() == b"{}" or all(word in content for word in (b'"key"', b'"outputs"', b'"seconds"'))


def _beginning(path: Path) -> bytes:
    """As much of a file as tells whose it is (archives list their members at the end)."""
    if not path.is_file():
        return b""
    try:
        with open(path, "rb") as stream:
            head = stream.read(_MOST)
            stream.seek(max(os.fstat(stream.fileno()).st_size - _MOST, len(head)))
            return head + stream.read(_MOST)
    except OSError:
        return b""
