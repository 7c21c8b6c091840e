"""Reading any audio as 16 kHz mono, and writing 16-bit WAV files."""

from __future__ import annotations

import subprocess
import tempfile
import wave
from collections.abc import Generator
from pathlib import Path

import numpy as np

from ..errors import UserError
from .ffmpeg import ffmpeg, probe

SAMPLE_RATE = 16_000


def load_audio(path: Path) -> np.ndarray:
    """Decode a file's first audio stream to float32 [samples] in [-1, 1], 16 kHz mono.

    Sample 0 is the container's start, as frame 0 is for video: a stream that starts later
    is preceded by silence, so sound and picture keep their offset.
    """
    return np.concatenate(list(stream_audio(path)))


def stream_audio(path: Path, seconds: float = 30.0) -> Generator[np.ndarray, None, None]:
    """`load_audio` in pieces of `seconds`, so that memory does not grow with the file."""
    if not probe(path).has_audio:
        raise UserError(f"{path} has no audio track: give a file with speech")
    command = [ffmpeg(), "-v", "error", "-nostdin", "-i", str(path), "-map", "0:a:0", "-ac", "1"]
    command += ["-af", f"aresample={SAMPLE_RATE}:async=1:first_pts=0", "-f", "f32le", "-"]
    heard = False
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        try:
            while piece := process.stdout.read(4 * round(seconds * SAMPLE_RATE)):
                heard = True
                yield np.frombuffer(piece[: len(piece) // 4 * 4], "<f4")
            process.wait()
            if not heard:
                errors.seek(0)
                reason = errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
                raise UserError(
                    f"{path} has an empty or undecodable audio track ({''.join(reason)}): give a file with speech"
                )
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def check_sound(path: Path) -> None:
    """Refuse audio that cannot be decoded or is too short to hold speech: before hours of training, not after."""
    pieces = stream_audio(path, 1.0)
    samples = len(next(pieces))
    pieces.close()
    if samples < SAMPLE_RATE // 20:
        raise UserError(f"{path} is shorter than 0.05 s: give audio with speech")


def save_wav(path: Path, samples: np.ndarray, rate: int = SAMPLE_RATE) -> None:
    """Write float samples [N] in [-1, 1] as 16-bit PCM."""
    pcm = (np.clip(samples, -1, 1) * 32767).round().astype("<i2")
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(rate)
        stream.writeframes(pcm.tobytes())
