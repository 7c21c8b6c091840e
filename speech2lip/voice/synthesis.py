"""Speech with phoneme timings from espeak-ng, also such that fits a given time."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from ..errors import UserError
from ..media.sound import SAMPLE_RATE
from .espeak import LIMIT

USUAL_RATE = 160  # words per minute
FASTEST, SLOWEST = 240, 130  # words per minute that sound like a hurried and a calm person
LONGEST_TEXT = 2000  # characters of a cue, which is more than two minutes of speech
_ROUNDS = 4  # of the search for a rate: the library rounds rates and pauses
_CLOSE = 0.93  # share of the time from which speech fills it
_QUIET = 0.003  # of full scale, below which the ends of an utterance are silence
_KEPT = 0.02  # seconds of that silence that stay


@dataclass(frozen=True)
class Utterance:
    """wav: float32 [samples] at 16 kHz; phonemes: (start seconds, espeak mnemonic) in order."""

    wav: np.ndarray
    phonemes: tuple[tuple[float, str], ...]

    @property
    def duration(self) -> float:
        return len(self.wav) / SAMPLE_RATE


def synthesize(text: str, voice: str = "en-us", words_per_minute: int = USUAL_RATE) -> Utterance:
    """Speak `text` with espeak-ng; the same text always gives the same samples. RuntimeError where it cannot."""
    root = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-m", "speech2lip.voice.espeak", voice, str(words_per_minute), text]
    run = subprocess.run(command, cwd=root, capture_output=True, timeout=2 * LIMIT)
    if run.returncode != 0:
        reason = run.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise RuntimeError(f"espeak-ng could not speak {text[:40]!r} ({''.join(reason)})")
    header, _, samples = run.stdout.partition(b"\n")
    facts = json.loads(header)
    wav = np.frombuffer(samples, "<i2").astype(np.float32) / 32768
    divisor = np.gcd(facts["rate"], SAMPLE_RATE)
    wav = resample_poly(wav, SAMPLE_RATE // divisor, facts["rate"] // divisor).astype(np.float32)
    return Utterance(wav, tuple((start, name) for start, name in facts["phonemes"]))


def speech_of(text: str, voice: str, origin: str) -> np.ndarray:
    """`text` as speech at `USUAL_RATE`, float32 [samples] at 16 kHz, without silence at its ends. UserError as of `speech_within`."""
    _check_length(text, origin)
    wav = _without_ends(_spoken(text, voice, USUAL_RATE, origin))
    if not len(wav):
        raise UserError(f"{origin}: {_shown(text)} holds nothing that is spoken: write words")
    return wav


def speech_within(text: str, seconds: float, voice: str, origin: str) -> np.ndarray:
    """`text` as speech that lasts at most `seconds`, float32 [samples] at 16 kHz, without silence at its ends.

    It is spoken at `USUAL_RATE`, or faster or slower, between `SLOWEST` and `FASTEST`, as the time asks for. What is shorter
    even then stays shorter. UserError, which begins with `origin`, for text that takes longer, holds no words or is in
    no language of `voice`.
    """
    _check_length(text, origin)
    rate, best = float(USUAL_RATE), np.zeros(0, np.float32)
    for _ in range(_ROUNDS):
        wav = _without_ends(_spoken(text, voice, round(rate), origin))
        needed = len(wav) / SAMPLE_RATE
        if not needed:
            raise UserError(
                f"{origin}: {_shown(text)} holds nothing that is spoken: write words, or leave the span out"
            )
        if needed <= seconds and len(wav) > len(best):
            best = wav
        at_end = (rate >= FASTEST and needed > seconds) or (rate <= SLOWEST and needed <= seconds)
        if at_end or _CLOSE * seconds <= needed <= seconds:
            break
        rate = min(max(rate * needed / (seconds * (1 + _CLOSE) / 2), SLOWEST), FASTEST)
    if not len(best):
        raise UserError(
            f"{origin}: {_shown(text)} takes {needed:.1f} s when it is spoken fast, and its span has {seconds:.1f} s: make "
            "the text shorter or the span longer"
        )
    return best


def _check_length(text: str, origin: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise UserError(f"{origin}: the text has {len(text)} characters, and {LONGEST_TEXT} may be: cut it into parts")


def _spoken(text: str, voice: str, rate: int, origin: str) -> np.ndarray:
    try:
        return synthesize(text, voice, rate).wav
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{origin}: {_shown(text)} took too long to speak: make it shorter") from error
    except RuntimeError as error:
        raise UserError(
            f"{origin}: {_shown(text)} cannot be spoken by the built-in voice ({error}): give a voice that espeak-ng has with "
            "render.voice, such as en-us, de or fr-fr, or sound of your own"
        ) from error


def _without_ends(wav: np.ndarray) -> np.ndarray:
    """Speech without the silence before and after it; empty where there is nothing else."""
    loud = np.flatnonzero(np.abs(wav) > _QUIET)
    if not len(loud):
        return wav[:0]
    kept = round(_KEPT * SAMPLE_RATE)
    return wav[max(int(loud[0]) - kept, 0) : int(loud[-1]) + 1 + kept]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:39]}…")
