"""Files that are never half-written."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from .errors import UserError

_UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)  # said of places that are written to


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` that replaces it when the block ends well.

    A block that raises leaves neither the temporary file nor a changed target. The
    temporary name keeps the suffix, which encoders look at.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
    except OSError as error:
        raise UserError(f"cannot write {target} ({error.strerror}): choose a writable place") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        if error.errno in _UNWRITTEN or str(error.filename).endswith(name):
            raise UserError(f"cannot write {target} ({error.strerror}): make room, or choose another place") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def save_arrays(target: Path, **arrays: Any) -> None:
    """Write an .npz file, atomically."""
    with atomic_path(target) as path, open(path, "wb") as stream:
        np.savez(stream, **arrays)


def check_writable(target: Path) -> None:
    """Refuse a file that could not be written later; leaves nothing behind."""
    made = [folder for folder in target.parents if not folder.exists()]
    try:
        with atomic_path(target):
            raise InterruptedError
    except InterruptedError:
        pass
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def check_input(path: Path, what: str) -> None:
    """Refuse what cannot be a file to read, before anything waits for it; what: "a video", "speech"."""
    try:
        status = path.stat()
        kind = status.st_mode
        if stat.S_ISDIR(kind):
            os.listdir(path)
        elif stat.S_ISREG(kind):
            open(path, "rb").close()
    except (OSError, ValueError) as error:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise UserError(f"{path} does not exist: give the path of {what}") from error
        raise UserError(
            f"{path} cannot be read ({getattr(error, 'strerror', error)}): give {what} that may be read"
        ) from error
    if not stat.S_ISDIR(kind) and not stat.S_ISREG(kind):
        raise UserError(f"{path} is a pipe or a device: give a file with {what}")
    if stat.S_ISREG(kind) and status.st_size == 0:
        raise UserError(f"{path} is empty: give a file with {what}")


def copy_file(source: Path, target: Path) -> None:
    """An independent copy, atomically: shared blocks where the file system copies on writing, never a link."""
    with atomic_path(target) as path:
        try:
            _copy_range(source, path)
        except (OSError, AttributeError):  # not between these file systems, or not on this one
            try:
                shutil.copyfile(source, path)
            except OSError as error:
                raise UserError(
                    f"cannot write {target} ({error.strerror}): make room, or choose another place"
                ) from error


def _copy_range(source: Path, target: Path) -> None:
    """Copy within the kernel. OSError or AttributeError where it cannot."""
    with open(source, "rb") as read, open(target, "wb") as write:
        left = os.fstat(read.fileno()).st_size
        while left > 0:
            done = os.copy_file_range(read.fileno(), write.fileno(), min(left, 2**30))
            if done == 0:
                raise OSError("the source has become shorter")
            left -= done


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
