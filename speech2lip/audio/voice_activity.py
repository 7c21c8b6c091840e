"""Where somebody speaks: Silero VAD on 32 ms of sound at a time, and what that means for each video frame.

The network (the package carries its weights) tells speech from music, noise and breath. It is asked the
same of a file and of live sound, and keeps nothing but its state.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from ..media.sound import SAMPLE_RATE
from ..nets.pretrained.silero import CONTEXT, FRAME, SileroNet, State
from ..weights.bundled import load_bundled

FRAME_SECONDS = FRAME / SAMPLE_RATE
_BEGINS, _ENDS = 0.3, 0.15  # probability above which speech begins, and below which it ends (docs/audio.md)
_AT_ONCE = 1024  # frames whose spectra are computed together


class VoiceDetector:
    """Hears 16 kHz sound in pieces of any length; gives the probability of speech of each 32 ms."""

    def __init__(self) -> None:
        self._sound = np.zeros(CONTEXT, np.float32)
        self._state: State | None = None
        _network()  # read now, not when the first sound waits

    def push(self, wav: np.ndarray) -> np.ndarray:
        """More samples [N] in [-1, 1] -> probabilities float32 [n] of the frames that they complete, in their order."""
        self._sound = np.concatenate([self._sound, np.clip(wav, -1, 1).astype(np.float32)])
        count = (len(self._sound) - CONTEXT) // FRAME
        parts = [self._hear(min(_AT_ONCE, count - at)) for at in range(0, count, _AT_ONCE)]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    def finish(self) -> np.ndarray:
        """The probability of the last, incomplete frame [0 or 1], as if silence followed."""
        left = len(self._sound) - CONTEXT
        return self.push(np.zeros(FRAME - left, np.float32)) if left else np.zeros(0, np.float32)

    @torch.no_grad()
    def _hear(self, count: int) -> np.ndarray:
        used = count * FRAME
        frames = torch.from_numpy(self._sound[: CONTEXT + used]).unfold(0, CONTEXT + FRAME, FRAME)
        probability, self._state = _network()(frames, self._state)
        self._sound = self._sound[used:].copy()
        return probability.numpy()


class LiveAttention:
    """How far frames belong to speech while sound arrives, by what was heard until now.

    The future, from which a file's mouth opens in time, is not known. Where all else is quiet, the model's own mouth rests well
    enough and begins in time, so the mouth is left to it. It is led to rest where music or noise goes on beside the speech.
    """

    def __init__(self, fps: float):
        self._fps, self._detector, self._heard = fps, VoiceDetector(), SpeechPresence(**LIVE)
        self._background, self._frames, self._shown = _Background(), 0, 1.0

    def hear(self, wav: np.ndarray) -> None:
        """More samples [N] in [-1, 1]."""
        probability = self._detector.push(wav)
        self._heard.push(probability)
        self._background.push(wav, probability < _ENDS)

    def next(self, count: int) -> np.ndarray:
        """Of the next `count` frames: [count] in 0..1."""
        numbers = self._frames + np.arange(count)
        self._frames += count
        wanted = 1 - self._background.share * (1 - self._heard.at(numbers / self._fps))
        out = np.empty(count, np.float32)
        for k, share in enumerate(wanted):  # what is known suddenly is shown gradually
            low, high = self._shown - _FALLS / self._fps, self._shown + LIVE["steepest"] / self._fps
            out[k] = self._shown = min(max(float(share), low), high)
        return out


class _Background:
    """How loud the sound goes on where nobody speaks, beside speech; rumble below 120 Hz does not count."""

    def __init__(self) -> None:
        from scipy.signal import butter, sosfilt

        self._filter, self._sections = sosfilt, butter(4, 120, "high", fs=SAMPLE_RATE, output="sos")
        self._state = np.zeros((len(self._sections), 2))
        self._sound = np.zeros(0)
        self._all = deque[float](maxlen=round(30 / FRAME_SECONDS))
        self._quiet = deque[float](maxlen=round(2 / FRAME_SECONDS))

    def push(self, wav: np.ndarray, quiet: np.ndarray) -> None:
        """More samples [N]; quiet: whether nobody speaks in each of the frames [n] that they complete."""
        if not len(wav):
            return
        heard, self._state = self._filter(self._sections, wav, zi=self._state)
        self._sound = np.concatenate([self._sound, heard])
        used = len(quiet) * FRAME
        power = (self._sound[:used].reshape(-1, FRAME) ** 2).mean(1)
        levels, self._sound = 10 * np.log10(power + 1e-12), self._sound[used:]
        self._all.extend(levels.tolist())
        self._quiet.extend(levels[quiet].tolist())

    @property
    def share(self) -> float:
        """How far the mouth must be held at rest: 0 where it is quiet, 1 where the background would move it."""
        if len(self._quiet) * FRAME_SECONDS < _KNOWN:
            return 0.0
        speech = max(float(np.percentile(self._all, 95)), _LEAST_SPEECH)
        above = float(np.median(self._quiet)) - speech - _HARMLESS
        return float(_eased(np.array(above / (_HARMFUL - _HARMLESS))))


def speech_probability(pieces: Iterable[np.ndarray]) -> np.ndarray:
    """Probability of speech float32 [n] of each 32 ms of 16 kHz sound in pieces: two thousand numbers a minute."""
    detector = VoiceDetector()
    parts = [detector.push(piece) for piece in pieces]
    return np.concatenate([np.zeros(0, np.float32), *parts, detector.finish()])


def is_speech(probability: np.ndarray, before: bool = False) -> np.ndarray:
    """Whether each of frames [n] belongs to speech: it begins above 0.3 and goes on until below 0.15.

    before: whether the frame before the first did.
    """
    said = np.where(probability >= _BEGINS, 1, np.where(probability < _ENDS, 0, -1))
    last = np.maximum.accumulate(np.where(said >= 0, np.arange(len(said)), -1))  # the last frame that settles it
    return np.where(last >= 0, said[np.maximum(last, 0)] == 1, before)


@functools.cache
def _network() -> SileroNet:
    network = SileroNet().eval()
    network.load_state_dict(load_bundled("silero_vad"))
    return network


class SpeechPresence:
    """How far a moment belongs to speech, 0..1, while probabilities of each 32 ms become known.

    It is 1 in speech, from 0.2 s before it (mouths open before they sound) to 0.15 s after it, and eases to 0 over the
    next 0.2 s on that side and 0.3 s on this one. Pauses within a sentence therefore stay speech.

    memory: seconds of the past that are kept, None: all; least: frames that speech lasts; what is shorter is a click, a beat of a
    drum; steepest: how fast presence may rise, per second, where speech becomes known late. Live, where every frame of patience is
    late, `LIVE` is used.
    """

    def __init__(self, memory: float | None = None, least: int = 3, steepest: float = 10.0):
        self._memory, self._least, self._steepest = memory, least, steepest
        self._speech = np.zeros(0, bool)  # from frame `_first` on
        self._first, self._before = 0, False
        self._last: tuple[float, float] | None = None  # the last moment that was asked for, and its answer

    def push(self, probability: np.ndarray) -> None:
        """Probabilities [n] of the next frames of 32 ms."""
        fresh = is_speech(probability, self._before)
        self._speech = np.concatenate([self._speech, fresh])
        self._before = bool(self._speech[-1]) if len(self._speech) else False
        if self._memory is not None:
            spare = max(len(self._speech) - round(self._memory / FRAME_SECONDS), 0)
            self._speech, self._first = self._speech[spare:], self._first + spare

    def at(self, seconds: np.ndarray) -> np.ndarray:
        """Presence float32 [N] at moments [N] that ascend from call to call; what is not known yet counts as silence.

        Speech that becomes known late does not make the mouth jump.
        """
        since, until = self._distances(seconds)
        wanted = np.maximum(
            _eased((_FALLEN - since) / (_FALLEN - _HELD)), _eased((_RISING - until) / (_RISING - _RISEN))
        )
        out = np.empty(len(seconds), np.float32)
        for k, (moment, share) in enumerate(zip(seconds, wanted, strict=True)):
            if self._last is not None:
                share = min(share, self._last[1] + self._steepest * max(moment - self._last[0], 0.0))
            self._last = float(moment), float(share)
            out[k] = share
        return out

    def _distances(self, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Seconds [N] since speech was last heard, and until it is heard next; 0 within it, infinite where it is not known."""
        count = len(self._speech)
        if not count:
            return np.full(len(seconds), np.inf), np.full(len(seconds), np.inf)
        number, firm = np.arange(count), _lasting(self._speech, self._least)
        last = np.maximum.accumulate(np.where(firm, number, -1))
        following = np.minimum.accumulate(np.where(firm, number, count)[::-1])[::-1]
        place = np.floor(seconds / FRAME_SECONDS).astype(int) - self._first
        begun = np.clip(place, -1, count - 1)
        before = np.where(begun >= 0, last[begun], -1)
        after = np.where(place < count, following[np.clip(place, 0, count - 1)], count)
        end, start = ((self._first + k) * FRAME_SECONDS for k in (before + 1, after))
        since = np.where(before >= 0, np.maximum(seconds - end, 0), np.inf)
        return since, np.where(after < count, np.maximum(start - seconds, 0), np.inf)


_FALLS = 5.0  # per second: how fast presence may fall live
_KNOWN = 0.3  # seconds of background, below which nothing is said of it
_HARMLESS, _HARMFUL = -32.0, -26.0  # dB of the background beside the loud parts of speech (docs/features.md)
_LEAST_SPEECH = -45.0  # dB of full scale: no speech is quieter
_RISING, _RISEN = 0.4, 0.2  # seconds before speech at which the mouth begins to be its own, and wholly is
_HELD, _FALLEN = 0.15, 0.45  # seconds after speech until which it is, and at which it rests
LIVE: dict[str, Any] = {"memory": 4.0, "least": 1, "steepest": 12.5}  # frames to come look back less than four seconds


def _lasting(speech: np.ndarray, least: int) -> np.ndarray:
    """Speech [n] without what lasts less than `least` frames."""
    change = np.diff(np.pad(speech.astype(np.int8), 1))
    begin, end = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    out = speech.copy()
    for a, b in zip(begin, end, strict=True):
        out[a:b] = b - a >= least
    return out


def _eased(share: np.ndarray) -> np.ndarray:
    """0..1 with slopes of 0 at both ends (smoothstep)."""
    share = np.clip(share, 0, 1)
    return np.asarray(share * share * (3 - 2 * share))


def presence_in_sound(pieces: Iterable[np.ndarray], fps: float, count: int) -> np.ndarray:
    """How far each of `count` frames belongs to speech, [count] in 0..1, by a 16 kHz sound in pieces [N]."""
    heard = SpeechPresence()
    heard.push(speech_probability(pieces))
    return heard.at(np.arange(count) / fps)
