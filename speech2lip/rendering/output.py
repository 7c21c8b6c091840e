"""Whether a video can be written, asked before anything slow begins."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError
from ..files import check_writable, link_target
from ..media.encode import container_of, live_container_of

_LEAST_SPACE = 16 * 2**20  # bytes: half a minute of a small face; what is rendered for long needs more


def check_output(out: Path, *sources: Path | None, live: bool = False) -> None:
    """Refuse a video that could not be written, or that would replace one of `sources`.

    UserError for: a folder, a pipe or a device; a suffix that is none of `CONTAINERS`; a folder that is read-only
    or cannot be made; a disk that is full; the same file as a source, by whatever name.
    live: written as it is made, by `LiveWriter`: `-`, pipes and devices are taken as they are, and the suffixes are those
    of `LIVE_CONTAINERS`.
    """
    if live and (str(out) == "-" or (out.exists() and not out.is_file() and not out.is_dir())):
        live_container_of(str(out))
        if str(out) == "-" and sys.__stdout__ is None:
            raise UserError("cannot write - (standard output is closed): give a file or a pipe")
        return
    link_target(out)  # a ring of links is refused here, before anything asks what is there
    _check_kind(out, live)
    for source in sources:
        if source is not None:
            check_other_file(out, source)
    check_writable(out)
    there = next(folder for folder in link_target(out).absolute().parents if folder.exists())
    free = shutil.disk_usage(there).free
    if free < _LEAST_SPACE:
        raise UserError(
            f"cannot write {out} ({free / 2**20:.1f} MB are free there, and a video needs {_LEAST_SPACE >> 20} MB or more): "
            "make room, or choose another place"
        )


def _check_kind(out: Path, live: bool) -> None:
    if out.is_dir():
        raise UserError(
            f"cannot write {out} (it is a folder): give the name of a video in it, such as {out / 'result.mp4'}"
        )
    if out.exists() and not out.is_file():
        raise UserError(
            f"cannot write {out} (it is a pipe or a device): give the name of a file, or use `speech2lip render --stream`"
        )
    if live:
        live_container_of(str(out))
    else:
        container_of(out)
    for parent in out.absolute().parents:
        if parent.exists():
            if not parent.is_dir():
                raise UserError(f"cannot write {out} ({parent} is a file and no folder): choose another place")
            return


def check_other_file(out: Path, source: Path) -> None:
    """Refuse to write over a file that is read, also through links and before it is there."""
    same = out.resolve() == source.resolve()
    if not same and out.exists() and source.exists():
        same = os.path.samefile(out, source)
    if same:
        known = "" if out == source else f" {source}, under another name"
        raise UserError(f"--out {out} is the input{known or ' itself'}: it would be overwritten, give another name")


def check_lossless(out: Path, wanted: bool) -> None:
    """Refuse a kind of video that has no sound without loss, where that is wanted."""
    if wanted and not container_of(out).lossless:
        raise UserError(
            f"{out} cannot hold sound without loss (render.lossless_sound): give a name that ends in .mp4, .mkv or .mov"
        )


@contextmanager
def unwritten(out: Path) -> Iterator[None]:
    """Ctrl-C and SIGTERM inside the block say that `out` was not written."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise type(interrupt)(f"interrupted; {out} was not written, run the same command again") from interrupt
