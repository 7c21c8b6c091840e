"""The sound: loud enough, clean, unclipped, and how much of it is speech."""

from __future__ import annotations

import numpy as np

from ..audio.level import LevelMeter
from ..config import LearnableConfig
from ..evaluation.activity import frame_level
from ..metrics.basic import runs
from .finding import FATAL, NOTE, OK, Finding, graded, spans_of
from .material import Channels

_LEVEL_NOTE, _LEVEL_WARNING = -35.0, -45.0  # dB of full scale of the loud parts; real clips have -25 to -11
_NOISE_NOTE, _NOISE_WARNING = 20.0, 12.0  # dB from pauses up to speech; real clips have 23 to 60
_SHARE_NOTE, _SHARE_WARNING = 0.5, 0.35  # of frames with speech; real clips have 0.59 to 0.89
_PAUSE = 3.0  # seconds of silence that are worth naming
_PILE_NOTE, _PILE_WARNING = 0.0005, 0.005  # share of samples; clean speech has none
_OPPOSITE = -0.5  # correlation of two channels
_QUIET = 0.03  # amplitude of the largest sample, below which nothing can have been clipped
_FINE = 0.3  # share of amplitudes that must occur: 8-bit sound has too few steps to tell
BINS = 4000  # of amplitudes, 0..2 of full scale: lossy codecs overshoot what was clipped
_LOUD = 0.7  # share of samples that are quieter than those in which clipping is looked for
_STEP, _RISE = 1.1, 1.25  # amplitudes are compared in steps of a tenth; by how much their density must rise
_TINY = 1e-4  # share of samples below which a step tells nothing


def level(wav: np.ndarray, need: LearnableConfig) -> Finding:
    """Whether the voice is loud enough; wav: [N] 16 kHz."""
    meter = LevelMeter()
    meter.push(wav)
    loud = max(meter.loud_decibels, -120.0)
    text = f"the loud parts are at {loud:.0f} dB of full scale"
    if loud < need.level:
        return Finding("sound_level", FATAL, text, "Give the clip's own speech with --voice FILE.")
    severity = graded(loud, _LEVEL_NOTE, _LEVEL_WARNING)
    return Finding("sound_level", severity, text, "" if severity == OK else "Raise the recording's level.")


def noise(wav: np.ndarray, fps: float, frames: int) -> Finding:
    """How far speech stands above what is heard in pauses; wav: [N] 16 kHz; frames: of the picture."""
    low, high = np.percentile(frame_level(wav, fps, frames), [5, 95])
    severity = graded(float(high - low), _NOISE_NOTE, _NOISE_WARNING)
    text = f"speech is {high - low:.0f} dB above the pauses"
    return Finding("noise", severity, text, "" if severity == OK else "Record in a quiet room, without music.")


def speech_frames(wav: np.ndarray, fps: float, frames: int) -> np.ndarray:
    """Frames [T] bool with sound as loud as speech: above a third of the way from noise to speech in dB."""
    loud = frame_level(wav, fps, frames)
    low, high = np.percentile(loud, [5, 95])
    return np.asarray(loud > low + (high - low) / 3)


def speech_share(wav: np.ndarray, fps: float, frames: int) -> Finding:
    """How much of the clip is speech, or at least as loud; long pauses are its spans."""
    speech = speech_frames(wav, fps, frames)
    share = float(speech.mean())
    pauses = tuple(span for span in spans_of(~speech) if span[1] - span[0] >= _PAUSE * fps)
    severity = graded(share, _SHARE_NOTE, _SHARE_WARNING)
    remedy = "" if severity == OK else "Cut long silences out, or record more speech."
    return Finding("speech_share", severity, f"{share:.0%} of the clip is as loud as speech", remedy, pauses)


def piled_up(histogram: np.ndarray) -> float:
    """Share of samples that an overdriven recorder cut off; histogram: [BINS] of amplitudes 0..2 of full scale.

    Of speech, larger amplitudes are always rarer. What was cut off piles up at one amplitude, also after a lossy codec
    has rounded it: there the density rises again. All above the lowest density before that counts.
    """
    total, used = histogram.sum(), np.flatnonzero(histogram)
    largest = int(used[-1]) if len(used) else 0
    if 2 * largest / BINS < _QUIET or len(used) < _FINE * largest:
        return 0.0
    loud = max(int(np.searchsorted(np.cumsum(histogram), _LOUD * total)), 1)
    edges = np.unique((loud * _STEP ** np.arange(np.log(BINS / loud) / np.log(_STEP) + 1)).astype(int).clip(0, BINS))
    counts = np.add.reduceat(histogram, edges[:-1])
    density = counts / np.diff(edges)
    least = np.minimum.accumulate(density)
    risen = np.flatnonzero((density > _RISE * least) & (counts > _TINY * total))
    if not len(risen):
        return 0.0
    return float(counts[density[: risen[0]].argmin() + 1 :].sum() / total)


def clipping(channels: Channels) -> Finding:
    """Whether the recorder was overdriven."""
    severity = graded(channels.clipped, _PILE_NOTE, _PILE_WARNING)
    text = f"{channels.clipped:.2%} of the samples are cut off"
    return Finding("clipping", severity, text, "" if severity == OK else "Record at a lower level.")


def opposite_channels(channels: Channels) -> Finding:
    """Whether two channels cancel each other when they are mixed."""
    loud = np.sqrt(np.diag(channels.energy))
    if len(loud) != 2 or loud.min() <= 0:
        return Finding("channels", OK, f"{len(loud)} channel{'s' if len(loud) > 1 else ''}")
    alike = float(channels.energy[0, 1] / (loud[0] * loud[1]))
    if alike < _OPPOSITE:
        text = f"the two channels are in opposite phase (correlation {alike:.2f}); the louder one is heard"
        return Finding("channels", NOTE, text, "Check the cable, or export one channel.")
    return Finding("channels", OK, f"2 channels, correlation {alike:.2f}")


def long_silence(wav: np.ndarray, fps: float, frames: int) -> Finding:
    """Whether the sound stops before the picture, or is missing for long; digital silence alone counts."""
    dead = frame_level(wav, fps, frames) <= -79.0  # the least that `frame_level` gives is -80
    spans = tuple((int(a), int(b)) for a, b in runs(dead) if b - a >= _PAUSE * fps)
    seconds = sum(end - start for start, end in spans) / fps
    if not spans:
        return Finding("silence", OK, "the sound has no holes")
    severity = graded(seconds * fps / frames, 0.0, 0.25)  # a quarter without sound is a broken recording
    return Finding(
        "silence", severity, f"there is no sound at all for {seconds:.1f} s", "Leave those parts out.", spans
    )
