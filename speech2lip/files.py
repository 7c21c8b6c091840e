"""Files that are never half-written."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
    try:
        with atomic_path(target):
            raise InterruptedError
    except InterruptedError:
        pass


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
