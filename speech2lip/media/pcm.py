"""Sound that is still arriving: raw PCM on a pipe, and WAV files that grow."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np

from ..errors import UserError
from .sound import SAMPLE_RATE

_READ = 1280  # bytes of 16-bit sound at once: one frame at 25 per second
POLL = 0.01  # seconds between looks at a file that may grow
_RATE = SAMPLE_RATE.to_bytes(4, "little")


def sound_of_stream(descriptor: int) -> Iterator[np.ndarray]:
    """16-bit mono PCM at 16 kHz from a file descriptor (such as standard input), until its end."""
    rest = b""
    while data := os.read(descriptor, _READ):
        data = rest + data
        whole = len(data) // 2 * 2
        rest = data[whole:]
        yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768


def sound_of_growing_file(path: Path, patience: float = 2.0) -> Generator[np.ndarray, None, None]:
    """A 16 kHz, 16-bit mono WAV or raw PCM file that is still being written; it has ended when it has not
    grown for `patience` seconds."""
    try:
        stream = open(path, "rb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): give a growing file, or - for sound on standard input"
        ) from error
    with stream:
        grown, rest, started = time.monotonic(), b"", False
        while time.monotonic() - grown < patience:
            data = stream.read(_READ)
            if not data:
                time.sleep(POLL)
                continue
            grown = time.monotonic()
            data = rest + data
            if not started and data[:4] == b"RIFF":
                if len(data) < 4096 and b"data" not in data:
                    rest = data
                    continue
                data = _after_header(data, path)
            started = True
            whole = len(data) // 2 * 2
            rest = data[whole:]
            if whole:
                yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768


def _after_header(data: bytes, path: Path) -> bytes:
    """What follows a WAV header, if its format is the one that streams have."""
    format_at, data_at = data.find(b"fmt "), data.find(b"data")
    if format_at < 0 or data_at < 0:
        raise UserError(f"{path} is no WAV file that can be read while it grows: write 16 kHz, 16-bit mono PCM")
    body = data[format_at + 8 :]
    if body[:2] != b"\x01\x00" or body[2:4] != b"\x01\x00" or body[4:8] != _RATE or body[14:16] != b"\x10\x00":
        rate, channels, bits = (int.from_bytes(b, "little") for b in (body[4:8], body[2:4], body[14:16]))
        raise UserError(
            f"{path} has {channels} channels of {bits} bits at {rate} Hz: live sound must be 16-bit mono at 16000 Hz "
            "(`ffmpeg -i SOURCE -f s16le -ar 16000 -ac 1 - | speech2lip render --stream --audio - ...`)"
        )
    return data[data_at + 8 :]
