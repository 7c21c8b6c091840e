"""A clip that cannot teach anything is refused with the figure, before anything slow."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from speech2lip.config import default_config
from speech2lip.errors import UserError
from speech2lip.facemesh import EYE_OUTER, INNER_PAIRS, LANDMARKS
from speech2lip.media.sound import SAMPLE_RATE, save_wav
from speech2lip.preparation.learnable import (
    band_rows,
    check_learnable,
    check_sound_to_learn,
    lip_opening,
    sync_correlation,
)
from speech2lip.subject.layout import SubjectLayout
from speech2lip.subject.records import ClipLandmarks, Crop

FPS, EYES, SCALE = 25.0, 100.0, 0.5  # EYES: pixels of the crop


def _babble(seconds: float, seed: int) -> np.ndarray:
    """How open a mouth is, 0..1, that says syllables of many lengths, at 25 per second."""
    rng, count = np.random.default_rng(seed), round(seconds * FPS)
    kernel = np.hanning(9) / np.hanning(9).sum()
    return np.convolve(rng.random(count + 8), kernel, "valid") ** 2


@dataclass(frozen=True)
class _Made:
    layout: SubjectLayout
    video: Path
    sound: Path

    def check(self, *settings: str) -> None:
        check_learnable(default_config(["data.fps=25", *settings]), self.video, self.sound, self.layout)


def _make(folder: Path, opening: np.ndarray, loudness: np.ndarray, seen: int | None = None) -> _Made:
    """A clip's landmarks with a mouth that opens by `opening` (crop pixels), and noise as loud as `loudness`."""
    landmarks = np.zeros((len(opening), LANDMARKS, 3), np.float32)
    landmarks[:, EYE_OUTER[1], 0] = EYES
    landmarks[:, INNER_PAIRS[:, 1], 1] = opening[:, None]
    face = np.arange(len(opening)) < (len(opening) if seen is None else seen)
    layout = SubjectLayout(folder)
    layout.save_landmarks(
        ClipLandmarks(landmarks, face, np.ones(len(opening)), ((0, len(opening)),), Crop(0, 0, 512, round(512 * SCALE)), (512, 512), np.zeros(len(opening), int))
    )  # fmt: skip
    at = np.arange(len(loudness) * SAMPLE_RATE // 25) / SAMPLE_RATE * FPS
    envelope = np.interp(at, np.arange(len(loudness)), loudness)
    save_wav(folder / "sound.wav", 0.3 * envelope * np.random.default_rng(0).normal(size=len(at)).clip(-3, 3))
    return _Made(layout, folder / "me.mp4", folder / "sound.wav")


def test_speech_that_the_lips_follow_is_accepted_without_a_word(tmp_path, capsys):
    mouth = _babble(30, 1)
    _make(tmp_path, 20 * mouth, mouth).check()
    assert capsys.readouterr().err == ""


def test_a_photograph_is_refused_with_pixels_of_the_video(tmp_path):
    still = 0.02 * np.random.default_rng(0).normal(size=750)  # in pixels of the crop, which is half as large
    made = _make(tmp_path, still + 3, _babble(30, 1))
    with pytest.raises(UserError, match=r"^the lips of \S+me.mp4 move 0.02 pixels, needed are 0.6 .*talking"):
        made.check()
    made.check("learnable.lips=0", "learnable.sync=-1")


def test_dubbed_sound_is_refused(tmp_path):
    made = _make(tmp_path, 20 * _babble(30, 1), _babble(30, 2))
    with pytest.raises(
        UserError, match=r"have nothing to do with each other \(correlation -?0.\d\d .*learnable.sync=-1"
    ):
        made.check()
    made.check("learnable.sync=-1")


def test_a_short_dubbed_clip_is_only_warned_of(tmp_path, capsys):
    _make(tmp_path, 20 * _babble(12, 1), _babble(12, 2)).check()
    assert capsys.readouterr().err.startswith("warning: the lips of ")


def test_of_a_very_short_one_nothing_can_be_said(tmp_path, capsys):
    _make(tmp_path, 20 * _babble(6, 1), _babble(6, 2)).check()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("lag", [-5, 5])
def test_picture_and_sound_may_be_apart(tmp_path, lag):
    mouth = _babble(30, 1)
    made = _make(tmp_path, 20 * mouth, np.roll(mouth, lag))
    opening, _ = lip_opening(made.layout.load_landmarks())
    assert sync_correlation(opening, band_rows(made.sound, FPS, len(opening)), FPS) > 0.6


def test_a_face_that_is_seen_too_shortly_is_refused(tmp_path):
    made = _make(tmp_path, 20 * _babble(30, 1), _babble(30, 1), seen=55)
    with pytest.raises(UserError, match=r"shows a face for 2.2 s, needed are 2.5"):
        made.check()
    made.check("learnable.seconds=2")


def test_frames_without_a_face_and_sound_that_ends_early_are_no_numbers_lost(tmp_path):
    mouth = _babble(30, 1)
    made = _make(tmp_path, 20 * mouth, mouth[:600], seen=700)
    opening, _ = lip_opening(made.layout.load_landmarks())
    assert np.isnan(opening[700:]).all() and np.isfinite(opening[:700]).all()
    assert sync_correlation(opening, band_rows(made.sound, FPS, len(opening)), FPS) > 0.5


@pytest.mark.parametrize(("level", "decibels"), [(0.0, -400), (2e-4, -73)])
def test_muted_sound_is_refused_with_its_level(tmp_path, level, decibels):
    save_wav(tmp_path / "a.wav", level * np.sign(np.sin(np.arange(5 * SAMPLE_RATE))))
    with pytest.raises(UserError, match=rf"is silent \(its loud parts are at {decibels} dB .*--voice FILE"):
        check_sound_to_learn(default_config().learnable, tmp_path / "a.wav")
    check_sound_to_learn(default_config(["learnable.level=-400"]).learnable, tmp_path / "a.wav")


def test_sparse_speech_is_not_silence_and_short_sound_is_refused(tmp_path):
    wav = np.zeros(20 * SAMPLE_RATE)
    wav[: 2 * SAMPLE_RATE] = 0.1 * np.sin(np.arange(2 * SAMPLE_RATE))
    save_wav(tmp_path / "a.wav", wav)
    check_sound_to_learn(default_config().learnable, tmp_path / "a.wav")
    save_wav(tmp_path / "b.wav", wav[: 2 * SAMPLE_RATE])
    with pytest.raises(UserError, match=r"has 2.0 s of sound, needed are 2.5"):
        check_sound_to_learn(default_config().learnable, tmp_path / "b.wav")
