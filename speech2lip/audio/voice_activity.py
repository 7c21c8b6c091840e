"""Where somebody speaks: Silero VAD on 32 ms of sound at a time, and what that means for each video frame.

The network (the package carries its weights) tells speech from music, noise and breath. It is asked the
same of a file and of live sound, and keeps nothing but its state.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

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
    next 0.2 s on that side and 0.3 s on this one. Pauses within a sentence therefore stay speech. memory: seconds of the
    past that are kept; None: all.
    """

    def __init__(self, memory: float | None = None):
        self._memory = memory
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

        It never rises faster than offline, so speech that becomes known late does not make the mouth jump.
        """
        since, until = self._distances(seconds)
        wanted = np.maximum(
            _eased((_FALLEN - since) / (_FALLEN - _HELD)), _eased((_RISING - until) / (_RISING - _RISEN))
        )
        out = np.empty(len(seconds), np.float32)
        for k, (moment, share) in enumerate(zip(seconds, wanted, strict=True)):
            if self._last is not None:
                share = min(share, self._last[1] + _STEEPEST * max(moment - self._last[0], 0.0))
            self._last = float(moment), float(share)
            out[k] = share
        return out

    def _distances(self, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Seconds [N] since speech was last heard, and until it is heard next; 0 within it, infinite where it is not known."""
        count = len(self._speech)
        if not count:
            return np.full(len(seconds), np.inf), np.full(len(seconds), np.inf)
        number, firm = np.arange(count), _lasting(self._speech)
        last = np.maximum.accumulate(np.where(firm, number, -1))
        following = np.minimum.accumulate(np.where(firm, number, count)[::-1])[::-1]
        place = np.floor(seconds / FRAME_SECONDS).astype(int) - self._first
        begun = np.clip(place, -1, count - 1)
        before = np.where(begun >= 0, last[begun], -1)
        after = np.where(place < count, following[np.clip(place, 0, count - 1)], count)
        end, start = ((self._first + k) * FRAME_SECONDS for k in (before + 1, after))
        since = np.where(before >= 0, np.maximum(seconds - end, 0), np.inf)
        return since, np.where(after < count, np.maximum(start - seconds, 0), np.inf)


_RISING, _RISEN = 0.4, 0.2  # seconds before speech at which the mouth begins to be its own, and wholly is
_HELD, _FALLEN = 0.15, 0.45  # seconds after speech until which it is, and at which it rests
_STEEPEST = 1.5 / (_RISING - _RISEN)  # per second: of `_eased`, in its middle


def _lasting(speech: np.ndarray) -> np.ndarray:
    """Speech [n] without what lasts less than three frames: a click, a beat of a drum."""
    around = np.pad(speech, 2)
    middle = around[:-2] & around[1:-1] & around[2:]
    return np.asarray(middle[:-2] | middle[1:-1] | middle[2:])


def _eased(share: np.ndarray) -> np.ndarray:
    """0..1 with slopes of 0 at both ends (smoothstep)."""
    share = np.clip(share, 0, 1)
    return np.asarray(share * share * (3 - 2 * share))
