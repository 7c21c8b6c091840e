"""Decoded sound as NumPy: channels mixed so that speech stays, gaps filled with silence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

_CANCELLED = 0.5  # energy of a mix over that of unrelated channels, below which they cancel
_HEARD = 0.1  # energy of the centre over the loudest channel's, from which it carries the speech
_GAP = 0.03  # seconds by which time stamps may be off before sound is moved: less than a frame
_LONGEST_GAP = 3600.0  # seconds beyond which a time stamp is a mistake
_PIECE = 30.0  # seconds of silence at once
_CENTRE, _BASS = "FC", ("LFE", "LFE2")


def planar(frame: AudioFrame) -> np.ndarray:
    """Samples [channels, N] float32, full scale at 1."""
    raw = frame.to_ndarray()
    if not frame.format.is_planar:
        raw = raw.reshape(-1, len(frame.layout.channels)).T
    if raw.dtype == np.uint8:
        return ((raw.astype(np.float32) - 128) / 128).astype(np.float32)
    if raw.dtype.kind == "i":
        return (raw / np.float64(2 ** (8 * raw.dtype.itemsize - 1))).astype(np.float32)
    return np.asarray(raw, np.float32)


def channel_names(frame: AudioFrame) -> tuple[str, ...]:
    """Such as ("FL", "FR", "FC", "LFE", "BL", "BR")."""
    return tuple(channel.name for channel in frame.layout.channels)


def mix_weights(names: tuple[str, ...], energy: np.ndarray) -> np.ndarray:
    """Weights [channels] of a mono mix; energy: [channels, channels] sums of products of the channels.

    The centre of surround sound, where it is heard: films have the speech there. Else the mean of
    the channels but the bass; or the loudest one, where they are in opposite phase and cancel.
    """
    loud = np.diag(energy)
    if len(names) > 2 and _CENTRE in names and loud[names.index(_CENTRE)] > _HEARD * loud.max():
        return np.eye(len(names))[names.index(_CENTRE)]
    used = np.array([name not in _BASS for name in names], float)
    weights = used / max(used.sum(), 1)
    if weights @ energy @ weights < _CANCELLED * (loud * weights**2).sum():
        return np.eye(len(names))[int((loud * used).argmax())]
    return weights


def timeline(frames: Iterable[AudioFrame], zero: Fraction) -> Iterator[tuple[np.ndarray, tuple[str, ...], int]]:
    """(samples [channels, N], channels' names, rate) from `zero` seconds on, without gap or overlap.

    Frames lie where their time stamps say: before them comes silence, and what overlaps is left out.
    Time stamps that are off by less than 0.03 s are taken for inexact.
    """
    now = Fraction(0)
    for number, frame in enumerate(frames):
        samples, names, rate = planar(frame), channel_names(frame), frame.sample_rate
        if frame.pts is not None and frame.time_base is not None:
            ahead = frame.pts * frame.time_base - zero - now
            if (abs(ahead) > _GAP or number == 0) and ahead < _LONGEST_GAP:
                for length in _pieces(round(ahead * rate), round(_PIECE * rate)):
                    yield np.zeros((len(names), length), np.float32), names, rate
                samples = samples[:, max(0, -round(ahead * rate)) :]
                now += max(ahead, Fraction(0))
        now += Fraction(samples.shape[1], rate)
        if samples.shape[1]:
            yield samples, names, rate


def _pieces(length: int, most: int) -> Iterator[int]:
    while length > 0:
        yield min(length, most)
        length -= most
