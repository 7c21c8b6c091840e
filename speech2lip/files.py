"""Files that are never half-written."""

from __future__ import annotations

import errno
import functools
import io
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import UserError
from .locks import try_lock

_PREFIX = ".speech2lip-"  # of temporary names, which are short: the target's may be as long as the file system allows
_LONGEST_SUFFIX = 16
_UNFINISHED = ".unfinished"  # how names of temporary folders end; any other folder is somebody else's
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.EEXIST,
    errno.ELOOP,
)
_SHORT = re.compile(r"\d+ requested and \d+ written")  # NumPy's words, without a number, for a disk that got full
_BROKEN = (*_FULL, errno.EROFS, errno.EIO)  # only ever said of the place that is written to


@contextmanager
def atomic_path(target: Path, follow: bool = False) -> Iterator[Path]:
    """A temporary path beside `target` that replaces it when the block ends well.

    A block that raises leaves neither the temporary file nor a changed target. The
    temporary name keeps the suffix, which encoders look at. A disk that is full, read-only or
    broken is a UserError that names `target`. What a killed process left in the folder is removed.
    follow: where `target` is a link, what it leads to is written and the link stays; only for what the user named: a
    folder that somebody else made may hold links to anywhere.
    """
    suffix = target.suffix
    target = link_target(target) if follow else target
    with writing(target), draft_beside(target, suffix) as temporary:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)


@contextmanager
def draft_beside(target: Path, suffix: str) -> Iterator[Path]:
    """A new file beside `target`, for its writer alone, that goes when the block ends, however it ends."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target.parent)
    temporary, handle = _temporary(target, suffix)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def place_secret(target: Path, data: bytes) -> None:
    """Write a file that nobody but its owner may read, whole or not at all. One that is there already stays, also one that
    another process has just made. UserError where the place takes nothing."""
    with writing(target):
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with draft_beside(target, target.suffix) as temporary:
            temporary.write_bytes(data)
            try:
                os.link(temporary, target)  # fails where the name is taken
            except FileExistsError:
                return
            except OSError:  # a file system without links
                if not target.exists():
                    os.replace(temporary, target)


@contextmanager
def new_folders(*targets: Path) -> Iterator[tuple[Path, ...]]:
    """Temporary folders beside `targets` that become them, all or none, when the block ends well.

    A block that raises leaves nothing, and nothing that is at a target is ever replaced: UserError. A place that takes
    nothing is a UserError, too.
    """
    made = [folder for target in targets for folder in target.parents if not folder.exists()]
    try:
        with ExitStack() as stack:
            temporary = [stack.enter_context(_temporary_folder(target)) for target in targets]
            yield tuple(temporary)
            with ExitStack() as undo:
                for source, target in zip(temporary, targets, strict=True):
                    move_folder(source, target)
                    undo.callback(shutil.rmtree, target)
                undo.pop_all()
    finally:
        for folder in made:
            with suppress(OSError):  # not empty: it is in use by now
                folder.rmdir()


def move_folder(source: Path, target: Path) -> None:
    """Rename a folder; UserError where something is at `target`, which stays."""
    with writing(target):
        if os.path.lexists(target):
            raise UserError(is_there(target))
        if os.name == "posix":  # a name that was claimed is nobody else's, and a folder may replace an empty one
            os.mkdir(target)
        try:
            os.rename(source, target)
        except BaseException:
            if os.name == "posix":
                os.rmdir(target)
            raise


def is_there(target: Path) -> str:
    """The sentence for a name that is taken."""
    return f"{target} is there already, and is not replaced: give another name, or move it away first"


@contextmanager
def _temporary_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target`, locked while its writer lives; it goes at the end unless it was moved."""
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent)
        path, handle = _locked_folder(target.parent)
    try:
        with writing(target):
            os.chmod(path, 0o777 & ~_umask())
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def _locked_folder(parent: Path) -> tuple[Path, int | None]:
    """A new folder, and the handle whose lock says that its writer lives (None: folders have no locks here)."""
    while True:
        path = Path(tempfile.mkdtemp(_UNFINISHED, _PREFIX, parent))
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # a tidy process was quicker than the lock
            continue
        except OSError:
            return path, None
        if try_lock(handle) and path.is_dir():
            return path, handle
        os.close(handle)
        if path.is_dir():
            return path, None


def link_target(path: Path) -> Path:
    """What a link leads to, whether or not it is there; any other path as it is."""
    if not path.is_symlink():
        return path
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise UserError(f"cannot write {path} (a link that leads nowhere): choose another place") from error


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """While the block writes to `target`, a place that takes nothing is a UserError that names it."""
    try:
        yield
    except OSError as error:
        error = _numbered(error)
        ours = error.filename is None or Path(os.fsdecode(error.filename)).parent in (target.parent, *target.parents)
        if error.errno in _BROKEN or (error.errno in _DENIED and ours):
            raise UserError(cannot_write(target, error)) from error
        raise


@contextmanager
def temporary_space() -> Iterator[None]:
    """While the block writes to nameless temporary files, a folder for them that takes nothing is a UserError that names it."""
    try:
        yield
    except OSError as error:
        error = _numbered(error)
        if error.errno in (*_FULL, errno.EROFS) or "temporary directory" in str(error):
            where = tempfile.tempdir or os.environ.get("TMPDIR") or "the usual places for them"
            raise UserError(
                f"cannot write temporary files in {where} ({error.strerror}): free space there, or set TMPDIR to a folder with more"
            ) from error
        raise


def _numbered(error: OSError) -> OSError:
    """The error, or what it stands for where NumPy has lost its number."""
    if error.errno is None and _SHORT.search(str(error)):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return error


def cannot_write(target: Path | str, error: OSError) -> str:
    """The sentence for a place that takes nothing."""
    way_out = "free space there, or choose another place" if error.errno in _FULL else "choose a writable place"
    return f"cannot write {target} ({error.strerror}): {way_out}"


def write_bytes(target: Path, data: Any) -> None:
    """Write a file in place; UserError where that cannot be done."""
    with writing(target), open(target, "wb") as stream:
        stream.write(data)


def save_arrays(target: Path, compressed: bool = False, **arrays: Any) -> None:
    """Write an .npz file, atomically."""
    import numpy as np  # here, so that commands begin at once

    packed = io.BytesIO()  # an archive that is interrupted by a full disk cannot be closed without a complaint
    (np.savez_compressed if compressed else np.savez)(packed, **arrays)
    with atomic_path(target) as path:
        path.write_bytes(packed.getbuffer())


def check_writable(target: Path) -> None:
    """Refuse a file (where it is a link, what that leads to) that could not be written later; leaves nothing behind."""
    target = link_target(target)
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


def check_input(path: Path, what: str, folders: bool = False) -> None:
    """Refuse what cannot be a file to read, before anything waits for it; what: "a video", "speech"; folders: they are taken
    too, of frames for example."""
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
    if stat.S_ISDIR(kind) and not folders:
        raise UserError(f"{path} is a folder: give a file with {what}")
    if not stat.S_ISDIR(kind) and not stat.S_ISREG(kind):
        raise UserError(f"{path} is a pipe or a device, not a regular file: give a file with {what}")
    if stat.S_ISREG(kind) and status.st_size == 0:
        raise UserError(f"{path} is empty: give a file with {what}")


def copy_file(source: Path, target: Path) -> None:
    """An independent copy, atomically: shared blocks where the file system copies on writing, never a link."""
    with atomic_path(target) as path:
        try:
            _copy_range(source, path)
        except (OSError, AttributeError):  # not between these file systems, or not on this one
            shutil.copyfile(source, path)


def _copy_range(source: Path, target: Path) -> None:
    """Copy within the kernel. OSError or AttributeError where it cannot."""
    with open(source, "rb") as read, open(target, "wb") as write:
        left = os.fstat(read.fileno()).st_size
        while left > 0:
            done = os.copy_file_range(read.fileno(), write.fileno(), min(left, 2**30))
            if done == 0:
                raise OSError("the source has become shorter")
            left -= done


@functools.cache
def remove_leftovers(folder: Path) -> None:
    """Remove temporary files and folders of processes that were killed; once for every folder."""
    for path in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            folder_of_ours = path.suffix == _UNFINISHED and path.is_dir()
            handle = os.open(path, (os.O_RDONLY if folder_of_ours else os.O_RDWR) | getattr(os, "O_NOFOLLOW", 0))
            try:
                if try_lock(handle) is True:  # its writer holds it as long as it lives
                    shutil.rmtree(path) if folder_of_ours else path.unlink(missing_ok=True)
            finally:
                os.close(handle)


def _temporary(target: Path, suffix: str) -> tuple[Path, int | None]:
    """A new file beside `target`, and the handle whose lock says that its writer lives (None: no locks here)."""
    suffix = suffix if len(suffix) <= _LONGEST_SUFFIX else ""
    while True:
        handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=suffix, dir=target.parent)
        locked = try_lock(handle)
        if locked is None:
            os.close(handle)
            return Path(name), None
        if os.path.exists(name):  # else a tidy process was quicker than the lock
            return Path(name), handle
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
