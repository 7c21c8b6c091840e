"""Sound that is still arriving: raw PCM or WAV on a pipe, and files that grow."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..waiting import Notice
from .heads import LONGEST_HEAD, foreign_kind, looks_like
from .sound import SAMPLE_RATE

_READ = 1280  # bytes of 16-bit sound at once: one frame at 25 per second
POLL = 0.01  # seconds between looks at a file that may grow
_LONGEST_HEADER = 2**20  # bytes before the sound of a WAV file, such as notes and pictures
_LONGEST_SOUND = 0x7FFF0000  # bytes; programs that cannot know the length write more than this
_PCM, _EXTENSIBLE = 1, 0xFFFE  # kinds of WAV


def sound_of_stream(descriptor: int) -> Iterator[np.ndarray]:
    """16-bit mono sound at 16 kHz, raw PCM or WAV, from a file descriptor (such as standard input), until its end.

    UserError for other rates and channels, and for what is no PCM: compressed sound, video.
    """
    return _samples(_arriving(descriptor), "standard input", sized=True)


def sound_of_growing_file(path: Path, patience: float = 2.0) -> Generator[np.ndarray, None, None]:
    """A 16 kHz, 16-bit mono WAV or raw PCM file that is still being written; it has ended when it has not
    grown for `patience` seconds, and a named pipe when its last writer has left."""
    try:  # a named pipe would be waited for in here, where no signal is heard
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): give a growing file, or - for sound on standard input"
        ) from error
    try:
        piped = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        yield from _samples(_piped(descriptor, path) if piped else _grown(descriptor, patience), str(path), sized=False)
    finally:
        os.close(descriptor)


def _arriving(descriptor: int) -> Iterator[bytes]:
    try:
        while data := os.read(descriptor, _READ):
            yield data
    except OSError as error:
        raise UserError(
            f"standard input cannot be read ({error.strerror}): pipe 16 kHz mono PCM or WAV into it"
        ) from error


def _grown(descriptor: int, patience: float) -> Iterator[bytes]:
    grown = time.monotonic()
    while time.monotonic() - grown < patience:
        data = _read_now(descriptor)
        if data:
            grown = time.monotonic()
            yield data
        else:
            time.sleep(POLL)


def _piped(descriptor: int, path: Path) -> Iterator[bytes]:
    begun, notice = False, Notice(f"waiting for a program that writes sound into the pipe {path}")
    while True:
        data = _read_now(descriptor)
        if data:
            begun = True
            yield data
        elif begun and data is not None:
            return
        else:
            notice.look()
            time.sleep(POLL)


def _read_now(descriptor: int) -> bytes | None:
    """What is there; empty at the end, None where more may come."""
    try:
        return os.read(descriptor, _READ)
    except BlockingIOError:
        return None


def _samples(pieces: Iterator[bytes], name: str, sized: bool) -> Generator[np.ndarray, None, None]:
    """Bytes as they come -> float32 in [-1, 1]. sized: believe the length that a WAV header gives."""
    data, left = _opened(pieces, name)
    left = left if sized else None
    while data is not None:
        data = data[:left]
        whole = len(data) // 2 * 2
        if whole:
            yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768
        left = None if left is None else left - whole
        more = next(pieces, None) if left is None or left > 0 else None
        data = None if more is None else data[whole:] + more


def _opened(pieces: Iterator[bytes], name: str) -> tuple[bytes | None, int | None]:
    """The first bytes of sound, and how many there will be in all (None: unknown)."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) < LONGEST_HEAD and looks_like(head):
            continue  # the head of a file, perhaps
        if kind := foreign_kind(head):
            break
        if not _is_wav(head):
            return head, None
        if (found := _after_header(head, name)) is not None:
            return found
        if len(head) > _LONGEST_HEADER:
            break
    if kind := foreign_kind(head):
        raise UserError(
            f"{name} is {kind}, needed is 16 kHz mono PCM or WAV: decode it first "
            "(`ffmpeg -i SOURCE -f s16le -ar 16000 -ac 1 -`), or leave out --stream"
        )
    if _is_wav(head):
        raise UserError(f"{name} begins as a WAV file without sound: write 16 kHz, 16-bit mono PCM")
    return head or None, None


def _is_wav(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WAVE"


def _after_header(data: bytes, name: str) -> tuple[bytes, int | None] | None:
    """What follows a WAV header, and its length, if its format is the one that streams have; None: more is needed."""
    at, known = 12, False
    while len(data) >= at + 8:
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8
        if kind == b"data":
            if not known:
                raise UserError(
                    f"{name} is a damaged WAV file (it does not say its format): write 16-bit mono at 16000 Hz"
                )
            return data[at:], size if 0 < size < _LONGEST_SOUND else None
        if kind == b"fmt " and len(data) >= at + min(size, 40):
            _check_format(data[at : at + size], name)
            known = True
        at += size + size % 2
    return None


def _check_format(body: bytes, name: str) -> None:
    kind, channels, rate, bits = (int.from_bytes(body[a:b], "little") for a, b in ((0, 2), (2, 4), (4, 8), (14, 16)))
    if kind == _EXTENSIBLE:
        kind = int.from_bytes(body[24:26], "little")
    if (kind, channels, rate, bits) != (_PCM, 1, SAMPLE_RATE, 16):
        coded = "" if kind == _PCM else f" in format {kind}"
        raise UserError(
            f"{name} has {channels} channels of {bits} bits at {rate} Hz{coded}: live sound must be 16-bit mono PCM at 16000 Hz "
            "(`ffmpeg -i SOURCE -f s16le -ar 16000 -ac 1 - | speech2lip render --stream --audio - ...`)"
        )
