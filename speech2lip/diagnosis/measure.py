"""Measuring a clip for its findings, on what the first stage of preprocessing has stored."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from ..background import ordered_map
from ..config import Config
from ..detection.detect import FaceDetector
from ..facemesh import face_box
from ..media.coding import coding_of
from ..media.decode import read_frames
from ..media.facts import Selection
from ..media.images import read_image, read_sized
from ..media.probe import probe
from ..media.sound import load_audio, stream_channels
from ..preparation.sound import moved
from ..preparation.source import selection, sound_selection
from ..progress import track as progress
from ..subject.layout import SubjectLayout
from ..subject.records import ClipLandmarks
from ..subject.schema import AGAIN
from .face import octave_detail
from .material import Channels, Material, Pixels
from .voice import BINS, piled_up

_SAMPLED = 24  # faces whose detail is measured
_LOOKED_AT = 8  # frames of the source in which faces are counted
_SIDE = 640  # pixels of the longer side, at which they are
_BURNT = 250  # brightness from which on a pixel is at the end of the range
_LARGE = 256  # pixels of a stored square, from which on it is read at half its size


def measure(
    config: Config, video: Path, sound: Path, layout: SubjectLayout, name: str, hidden: np.ndarray | None
) -> Material:
    """Everything that findings need. config: with the subject's `data.fps`; layout: a folder with landmarks and stored
    squares; name: what the clip is called; hidden: [T] bool of a finished subject."""
    clip, select = layout.load_landmarks(), selection(config)
    facts = probe(video, select).video
    assert facts is not None  # what has no picture was refused
    heard = sound_selection(config, video, sound)
    return Material(
        name=name,
        fps=config.data.fps,
        video=facts,
        clip=clip,
        pixels=_pixels(layout, clip),
        octaves=_octaves(layout, clip),
        hidden=hidden,
        crowd=_crowd(video, config.data.fps, len(clip.seen), select),
        coding=coding_of(video, select),
        wav=moved(load_audio(sound, heard), config.data.offset),
        channels=channels_of(sound, heard),
    )


def _pixels(layout: SubjectLayout, clip: ClipLandmarks) -> Pixels:
    """A look at every stored square, at half its size where it is large."""
    smaller = 2 if clip.crop.size >= _LARGE else 1

    def look(index: int) -> np.ndarray:
        path = layout.face_image(index)
        image = read_sized(path, (clip.crop.size, clip.crop.size), AGAIN, smaller)
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)

    rows, before = [], None
    for index, grey in enumerate(progress(ordered_map(look, range(len(clip.seen))), "look", len(clip.seen))):
        change = 0.0 if before is None else float(cv2.absdiff(grey, before).mean())
        face = face_levels(grey, clip.landmarks[index] / smaller if clip.seen[index] else None)
        rows.append((float(grey.mean()), *face, change))
        before = grey
    return Pixels(*np.array(rows, np.float64).T)


def face_levels(grey: np.ndarray, landmarks: np.ndarray | None) -> tuple[float, float, float, float]:
    """Median, 5th and 95th percentile of the brightness of a face, and the share of it at the end of the range; grey:
    [S, S] uint8; landmarks: [478, 2+] in its pixels, None without a face (NaN)."""
    part = None if landmarks is None else _cut(grey, landmarks)
    if part is None or not part.size:
        return (float("nan"),) * 4
    low, middle, high = np.percentile(part, [5, 50, 95])
    return float(middle), float(low), float(high), float((part >= _BURNT).mean())


def _cut(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The part of a picture [S, S, ...] that a face's box covers."""
    left, top, width, height = face_box(landmarks)
    x, y = max(round(float(left)), 0), max(round(float(top)), 0)
    return image[y : max(round(float(top + height)), 0), x : max(round(float(left + width)), 0)]


def _octaves(layout: SubjectLayout, clip: ClipLandmarks) -> np.ndarray:
    """Detail of some faces, at full size: [N, 3]."""
    seen = np.flatnonzero(clip.seen)
    chosen = seen[np.unique(np.linspace(0, len(seen) - 1, _SAMPLED).astype(int))]
    out = []
    for index in chosen:
        grey = cv2.cvtColor(read_image(layout.face_image(int(index))), cv2.COLOR_RGB2GRAY)
        part = _cut(grey, clip.landmarks[index])
        if min(part.shape) >= 16:  # else there is no quarter of it to look at
            out.append(octave_detail(part.astype(np.float32)))
    return np.array(out).reshape(-1, 3)


def _crowd(video: Path, fps: float, frames: int, select: Selection) -> np.ndarray:
    """Sampled frames of the source, and how many faces each shows: [K, 2]."""
    found = []
    with closing(FaceDetector()) as detector:
        for index in np.unique(np.linspace(0, frames - 1, _LOOKED_AT + 2).astype(int)[1:-1]):
            with closing(read_frames(video, fps, _SIDE, int(index), select)) as reader:
                frame = next(reader, None)
            if frame is not None:
                found.append((int(index), len(detector(frame))))
    return np.array(found, int).reshape(-1, 2)


def channels_of(sound: Path, select: Selection = Selection()) -> Channels:
    """Energy and clipping of a sound as it is stored."""
    energy: np.ndarray | None = None
    histogram, seconds = np.zeros(BINS), 0.0
    for samples, rate in stream_channels(sound, select):
        wave = np.nan_to_num(samples.astype(np.float64))
        product = wave @ wave.T
        energy = product if energy is None or energy.shape != product.shape else energy + product
        places = np.minimum(np.abs(wave).ravel() * (BINS / 2), BINS - 1).astype(int)
        histogram += np.bincount(places, minlength=BINS)
        seconds += wave.shape[1] / rate
    return Channels(np.zeros((1, 1)) if energy is None else energy, piled_up(histogram), seconds)
