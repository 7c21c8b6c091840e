"""Whether a clip can teach anything: a face long enough, lips that move, sound, and one that belongs to them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..audio.level import LevelMeter
from ..audio.mel import BANDS, ROWS_PER_SECOND, MelStream
from ..config import Config, LearnableConfig
from ..errors import UserError
from ..facemesh import interocular, mouth_opening
from ..media.facts import Selection
from ..media.sound import SAMPLE_RATE, stream_audio
from ..subject.layout import SubjectLayout
from ..subject.records import ClipLandmarks
from .source import sound_selection

_GROUPS = 16  # of mel bands
_CONTEXT = np.array([-0.16, -0.08, 0.0, 0.08, 0.16])  # seconds around a moment whose sound is looked at
_LAGS = (-0.24, -0.12, 0.0, 0.12, 0.24)  # by which picture and sound of real clips differ
_FOLDS = 5
_GAP = 0.32  # seconds beside what is held out that are not learned from either
_FLOOR = 0.01  # of the loudness of speech: what is quieter is silence, digital or not
_RIDGE = 2.0  # times the root of the number of frames
# Of real clips, parts of 10, 15 and 20 s reach at least 0.11, 0.22 and 0.41; with the sound of another clip the mean
# is 0.04, the deviation about 2.3 over the root of the number of frames, the most 0.26.
_CHANCE = 4.6  # two such deviations
UNKNOWN, ENOUGH, LITTLE, NOTHING = (
    "unknown",
    "enough",
    "little",
    "nothing",
)  # that lips and sound have to do with each other
_WARN_SECONDS, _REFUSE_SECONDS = 10.0, 15.0  # of a face, below which chance alone makes such figures


def check_sound_to_learn(config: LearnableConfig, sound: Path, select: Selection = Selection()) -> None:
    """Refuse a clip's sound that is too short or silent. Takes a fraction of a second per minute."""
    meter, samples = LevelMeter(), 0
    for piece in stream_audio(sound, select=select):
        meter.push(piece)
        samples += len(piece)
    seconds, level = samples / SAMPLE_RATE, meter.loud_decibels
    if seconds < config.seconds:
        raise UserError(
            f"{sound} has {seconds:.1f} s of sound, needed are {config.seconds:g}: give a longer clip, better several minutes "
            "(or lower learnable.seconds)"
        )
    if level < config.level:
        raise UserError(
            f"{sound} is silent (its loud parts are at {level:.0f} dB of full scale, needed are {config.level:g}): give the clip's "
            "own speech with --voice FILE (or lower learnable.level)"
        )


def check_learnable(config: Config, video: Path, sound: Path, layout: SubjectLayout) -> None:
    """Refuse a clip whose lips do not move, are seen too shortly, or have nothing to do with the sound.

    Reads the landmarks of the first stage; takes about a second per ten minutes.
    """
    clip, need = layout.load_landmarks(), config.learnable
    seconds = clip.seen.sum() / config.data.fps
    if seconds < need.seconds:
        raise UserError(
            f"{video} shows a face for {seconds:.1f} s, needed are {need.seconds:g}: give a longer clip, better several minutes "
            "(or lower learnable.seconds)"
        )
    opening, eyes = lip_opening(clip)
    _check_movement(need, video, opening, eyes / clip.crop.scale)
    _check_sync(config, video, sound, opening)


def _check_movement(need: LearnableConfig, video: Path, opening: np.ndarray, eyes: float) -> None:
    moved = movement(opening)
    if 100 * moved < need.lips:
        raise UserError(
            f"the lips of {video} move {moved * eyes:.2f} pixels, needed are {need.lips / 100 * eyes:.1f} (the eyes are {eyes:.0f} apart): "
            "give a clip of a person talking, not a photograph (or lower learnable.lips)"
        )


def movement(opening: np.ndarray) -> float:
    """How much a mouth moves, in the unit of its opening [T] (NaN: no face): the standard deviation of means over three
    frames. Speech takes longer than that; landmarks that tremble on a photograph's noise do not."""
    steady = np.convolve(opening, np.ones(3) / 3, "valid")
    return float(np.nanstd(steady)) if np.isfinite(steady).any() else 0.0


def _check_sync(config: Config, video: Path, sound: Path, opening: np.ndarray) -> None:
    need, fps = config.learnable.sync, config.data.fps
    if need <= -1:
        return
    rows = band_rows(sound, fps, len(opening), sound_selection(config, video, sound), config.data.offset)
    found, verdict = judge_sync(config.learnable, opening, rows, fps)
    said = _sync_sentence(video, sound, found, verdict)
    if verdict == NOTHING:
        raise UserError(
            f"{said}, needed is {need:g}): give a clip that is not dubbed, or its own speech with --voice FILE (or set "
            "learnable.sync=-1)"
        )
    if verdict == LITTLE:
        print(
            f"warning: {said}, usual is {need:g} or more): a mouth cannot be learned from dubbed speech",
            file=sys.stderr,
        )


def judge_sync(need: LearnableConfig, opening: np.ndarray, rows: np.ndarray, fps: float) -> tuple[float, str]:
    """Correlation of the mouth's opening [T] with what the sound's rows [T, 16] tell of it, and how much they have to
    do with each other: `NOTHING` where chance does not explain so little, `UNKNOWN` (and NaN) where a face is seen too
    shortly."""
    frames = int((np.isfinite(opening) & np.isfinite(rows[:, 0])).sum())
    if frames < _WARN_SECONDS * fps:
        return float("nan"), UNKNOWN
    found = sync_correlation(opening, rows, fps)
    sure = frames >= _REFUSE_SECONDS * fps and found < need.sync - _CHANCE / np.sqrt(frames)
    return found, NOTHING if sure else LITTLE if found < need.sync else ENOUGH


def _sync_sentence(video: Path, sound: Path, found: float, much: str) -> str:
    whose = "its sound" if sound == video else str(sound)
    return (
        f"the lips of {video} and {whose} have {much} to do with each other (correlation {found:.2f} on held-out parts"
    )


def lip_opening(clip: ClipLandmarks) -> tuple[np.ndarray, float]:
    """Opening of the mouth [T] over the distance between the eyes, less its median within each shot (NaN without
    a face), and that distance (median) in crop pixels."""
    eyes = np.where(clip.seen, interocular(clip.landmarks), np.nan)
    opening = np.where(clip.seen, mouth_opening(clip.landmarks), np.nan) / eyes
    for start, end in clip.shots:
        if clip.seen[start:end].any():
            opening[start:end] -= np.nanmedian(opening[start:end])
    return opening, float(np.nanmedian(eyes))


def band_rows(sound: Path, fps: float, count: int, select: Selection = Selection(), offset: float = 0.0) -> np.ndarray:
    """`rows_of` the sound of a file."""
    return rows_of(stream_audio(sound, select=select), fps, count, offset)


def rows_of(pieces: Iterable[np.ndarray], fps: float, count: int, offset: float = 0.0) -> np.ndarray:
    """Log loudness [count, 16] in groups of mel bands of a 16 kHz sound in pieces [N], at each frame's time; NaN after
    the sound's end. offset: seconds by which the sound comes late."""
    stream = MelStream()
    grouped = [_grouped(stream.push(piece)) for piece in pieces]
    rows = np.concatenate([*grouped, _grouped(stream.finish())])
    floor = _FLOOR * float(np.percentile(rows.mean(1), 95)) + 1e-9
    rows = np.log(rows + floor)
    at = (np.arange(count) / fps + offset) * ROWS_PER_SECOND
    return np.stack([np.interp(at, np.arange(len(rows)), band, right=np.nan) for band in rows.T], 1)


def _grouped(rows: np.ndarray) -> np.ndarray:
    return rows.reshape(len(rows), _GROUPS, BANDS // _GROUPS).mean(2)


def sync_correlation(opening: np.ndarray, rows: np.ndarray, fps: float) -> float:
    """How well sound tells the mouth's opening: a ridge regression from `rows` [T, 16] around each moment to
    `opening` [T], its correlation with the truth on parts that it was not learned from; the best of five lags."""
    return max(held_out_correlation(opening, _windows(rows, lag, fps), fps) for lag in _LAGS)


def _windows(rows: np.ndarray, lag: float, fps: float) -> np.ndarray:
    """Rows around each moment, shifted by `lag`, side by side: [T, 5 * 16]."""
    at = np.arange(len(rows))[:, None] + np.round((lag + _CONTEXT) * fps).astype(int)
    return rows[at.clip(0, len(rows) - 1)].reshape(len(rows), -1)


def held_out_correlation(opening: np.ndarray, windows: np.ndarray, fps: float) -> float:
    """Correlation of `opening` [T] with what a ridge regression makes of `windows` [T, C], on parts that it was not
    learned from; NaN entries do not count."""
    seen = np.isfinite(opening) & np.isfinite(windows).all(1)
    number, gap = np.arange(len(opening)), round(_GAP * fps)
    guess = np.full(len(opening), np.nan)
    edges = np.linspace(0, len(opening), _FOLDS + 1).astype(int)
    for start, end in pairwise(edges):
        known = seen & ((number < start - gap) | (number >= end + gap))
        asked = seen & (number >= start) & (number < end)
        if known.sum() > 20:
            guess[asked] = _ridge(windows[known], opening[known], windows[asked])
    both = np.isfinite(guess)
    if both.sum() < 3 or np.std(guess[both]) == 0 or np.std(opening[both]) == 0:
        return 0.0
    return float(np.corrcoef(guess[both], opening[both])[0, 1])


def _ridge(windows: np.ndarray, opening: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Regression of `opening` [N] on standardised `windows` [N, C], at `asked` [M, C]."""
    mean, spread = windows.mean(0), windows.std(0) + 1e-6
    inside = (windows - mean) / spread
    normal = inside.T @ inside + _RIDGE * np.sqrt(len(inside)) * np.eye(inside.shape[1])
    weights = np.linalg.solve(normal, inside.T @ (opening - opening.mean()))
    return np.asarray((asked - mean) / spread @ weights + opening.mean())
