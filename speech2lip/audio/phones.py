"""Phones of English speech, recognised by PocketSphinx (its wheel carries the acoustic model)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UserError
from ..media.sound import SAMPLE_RATE
from .rows import chunks_at_silence

# The English model's phones; silence and noise are rows of zeros.
PHONES = (
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH", "K",
    "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH",
)  # fmt: skip
ROWS_PER_SECOND = 100.0
_CHUNK_SECONDS = 20
_SILENCE = 1e-3  # root mean square below which nothing is said; speech is levelled to 0.1


def phone_segments(wav: np.ndarray) -> list[tuple[str, float, float]]:
    """(phone, start, end) in seconds of a 16 kHz waveform [N], phones in the order in which they are heard."""
    try:
        import pocketsphinx
    except ImportError as error:
        raise UserError(
            "audio.backend=phones needs the package pocketsphinx, which is not installed: run "
            '`pip install "speech2lip[published]"`, or use audio.backend=mel'
        ) from error
    model = pocketsphinx.get_model_path("en-us/en-us-phone.lm.bin")
    decoder: Any = pocketsphinx.Decoder(allphone=model, lm=None, dict=None, lw=2.0, loglevel="FATAL")
    pcm = (np.clip(wav, -1, 1) * 32767).astype("<i2")
    out = []
    for start, end in chunks_at_silence(wav, _CHUNK_SECONDS * SAMPLE_RATE):
        decoder.start_utt()
        decoder.process_raw(pcm[start:end].tobytes(), full_utt=True)
        decoder.end_utt()
        offset = start / SAMPLE_RATE
        for segment in decoder.seg():
            first, last = segment.start_frame / ROWS_PER_SECOND, (segment.end_frame + 1) / ROWS_PER_SECOND
            out.append((segment.word.split("(")[0], offset + first, offset + last))
    return out


def phone_rows(wav: np.ndarray) -> np.ndarray:
    """One row per 10 ms [T, 39] float32: 1 for the phone that is heard, smoothed over 50 ms."""
    count = int(np.ceil(len(wav) / SAMPLE_RATE * ROWS_PER_SECOND))
    rows = np.zeros((count, len(PHONES)), np.float32)
    number = {name: k for k, name in enumerate(PHONES)}
    for name, start, end in phone_segments(wav):
        if name in number:
            rows[round(start * ROWS_PER_SECOND) : round(end * ROWS_PER_SECOND), number[name]] = 1
    rows[_levels(wav, count) < _SILENCE] = 0  # the recogniser hears phones in digital silence
    kernel = np.hanning(7)[1:-1]
    kernel /= kernel.sum()
    return np.stack([np.convolve(column, kernel, "same") for column in rows.T], 1).astype(np.float32)


def _levels(wav: np.ndarray, count: int) -> np.ndarray:
    """Root mean square of each 10 ms [count]."""
    block = int(SAMPLE_RATE / ROWS_PER_SECOND)
    padded = np.pad(wav, (0, count * block - len(wav)))
    return np.sqrt((padded.reshape(count, block) ** 2).mean(1))
