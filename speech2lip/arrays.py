"""Array files of ours, checked against one description before anything is made of them.

Shapes are compared while only the header is known, so that neither a damaged nor a hostile file costs memory.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from .errors import UserError

LONGEST_CLIP = 2_000_000  # frames; over two hours at 240 per second
_DENSEST = 200  # bytes that one byte of a compressed entry may become, beyond
_FREE = 2**24  # so many
_MOST_JSON = 2**24  # bytes
_PIECE = 2**22  # values that are looked at together
_WORDS = {"f": "floating point", "b": "true or false", "iu": "whole numbers"}


@dataclass(frozen=True)
class Entry:
    """What an array must be.

    shape: sizes, or names of sizes which must agree wherever they occur; kind: of numpy's dtypes, "f", "b" or
    "iu"; low, high: of its values, which must be finite; optional: it may be missing.
    """

    shape: tuple[int | str, ...]
    kind: str = "f"
    low: float = -1e9
    high: float = 1e9
    optional: bool = False


class Unsound(Exception):
    """What is wrong with a file, to be put into a sentence."""


def read_npz(path: Path, entries: Mapping[str, Entry], sizes: Mapping[str, int], remedy: str) -> dict[str, np.ndarray]:
    """The described entries of an .npz file, others are left alone. sizes: what is known of the named sizes.

    UserError, which names the file and the entry and ends in `remedy`, for whatever does not fit.
    """
    _check_file(path, remedy)
    known = dict(sizes)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_entries(archive, entries, known)
    except Exception as error:  # zipfile, zlib and numpy each raise their own kinds for a damaged file
        raise UserError(f"{path} is damaged or of another version ({_first_line(error)}): {remedy}") from error


def read_npy(path: Path, entry: Entry, sizes: Mapping[str, int], remedy: str) -> np.ndarray:
    """The array of an .npy file, mapped to memory and read-only; UserError as in `read_npz`."""
    _check_file(path, remedy)
    try:
        with open(path, "rb") as stream:
            shape, _, dtype = _header(stream)
            _check_shape("it", entry, shape, dtype, dict(sizes))
            start, size = stream.tell(), os.fstat(stream.fileno()).st_size
            if size != start + math.prod(shape) * dtype.itemsize:
                raise Unsound(f"it has {size} bytes, its header promises {start + math.prod(shape) * dtype.itemsize}")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        _check_values("it", entry, array)
    except Exception as error:  # numpy and its parser raise many kinds for a damaged header
        raise UserError(f"{path} is damaged or of another version ({_first_line(error)}): {remedy}") from error
    return array


def read_any_npy(path: Path, remedy: str) -> np.ndarray:
    """The array of somebody else's .npy file, of any shape, mapped to memory; UserError where it is not sound."""
    _check_file(path, remedy)
    try:
        array = np.load(path, "r", allow_pickle=False)
        if array.dtype.kind not in "fiu":
            raise Unsound(f"it is of type {array.dtype}, needed are numbers")
    except Exception as error:  # numpy and its parser raise many kinds for a damaged header
        raise UserError(f"{path} cannot be read ({_first_line(error)}): {remedy}") from error
    return array


def is_json_with(path: Path, names: set[str]) -> bool:
    """Whether a file is JSON with (at least) these entries: what this program wrote there before, and may write again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and names <= set(found)


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """The object in a JSON file; UserError for anything else."""
    _check_file(path, remedy)
    try:
        with open(path, "rb") as stream:
            data = stream.read(_MOST_JSON + 1)
        if len(data) > _MOST_JSON:
            raise Unsound(f"it has over {_MOST_JSON >> 20} MB")
        content = json.loads(data.decode("utf-8"))
        if not isinstance(content, dict):
            raise Unsound(f"it holds a {type(content).__name__}, needed is an object")
    except (OSError, ValueError, RecursionError, Unsound) as error:
        raise UserError(f"{path} is damaged ({_first_line(error)}): {remedy}") from error
    return content


def _check_file(path: Path, remedy: str) -> None:
    if not path.exists():
        raise UserError(f"{path} is missing: {remedy}")
    if not path.is_file():  # a pipe that nobody writes would be waited for
        raise UserError(f"{path} is no file: {remedy}")


def _read_entries(archive: zipfile.ZipFile, entries: Mapping[str, Entry], known: dict[str, int]) -> dict[str, Any]:
    there = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    out = {}
    for name, entry in entries.items():
        if name in there:
            out[name] = _read_entry(archive, there[name], name, entry, known)
        elif not entry.optional:
            raise Unsound(f"{name} is missing")
    return out


def _read_entry(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, entry: Entry, known: dict[str, int]
) -> np.ndarray:
    with archive.open(info) as stream:
        shape, fortran, dtype = _header(stream)
        _check_shape(name, entry, shape, dtype, known)
        size = math.prod(shape) * dtype.itemsize
        if stream.tell() + size != info.file_size or info.file_size > _DENSEST * info.compress_size + _FREE:
            raise Unsound(f"{name} does not have the size that its header promises")
        data = stream.read()  # to the end, where its checksum is compared
    array = np.frombuffer(bytearray(data), dtype).reshape(shape, order="F" if fortran else "C")
    _check_values(name, entry, array)
    return array


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    read: Any = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise Unsound(f"numpy's format {version} is not used here")
    return read(stream)


def _check_shape(name: str, entry: Entry, shape: tuple[int, ...], dtype: np.dtype, known: dict[str, int]) -> None:
    if dtype.kind not in entry.kind or dtype.itemsize > 8:
        raise Unsound(f"{name} is of type {dtype}, needed are {_WORDS[entry.kind]}")
    fits = len(shape) == len(entry.shape)
    for size, wanted in zip(shape, entry.shape, strict=False):
        fits = fits and size == (known.setdefault(wanted, size) if isinstance(wanted, str) else wanted)
        fits = fits and 0 <= size <= LONGEST_CLIP
    if not fits:
        needed = tuple(known.get(w, w) if isinstance(w, str) else w for w in entry.shape)
        raise Unsound(f"{name} has the shape {shape}, needed is {needed}")


def _check_values(name: str, entry: Entry, array: np.ndarray) -> None:
    flat = array.reshape(-1)
    for at in range(0, len(flat), _PIECE):
        piece = flat[at : at + _PIECE]
        if entry.kind == "b":
            sound = bool((piece.view(np.uint8) <= 1).all())
        else:
            low, high = float(piece.min()), float(piece.max())
            sound = math.isfinite(low) and math.isfinite(high) and entry.low <= low and high <= entry.high
        if not sound:
            raise Unsound(f"{name} has values that are no numbers, or outside {entry.low:g} to {entry.high:g}")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
