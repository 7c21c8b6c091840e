"""How far sound and lips are apart, on made ones whose answer is known; and that a clip's sound is moved to its lips."""

import shutil

import numpy as np
import pytest
from making_speech import FPS, babble, rows_told

from speech2lip.config import default_config
from speech2lip.media.sound import load_audio, save_wav
from speech2lip.preparation.offset import estimate_offset
from speech2lip.preparation.sound import extract_audio, moved
from speech2lip.subject.layout import SubjectLayout


@pytest.mark.parametrize("late", range(-8, 9))
def test_sound_that_is_late_has_a_positive_offset(late):
    mouth = babble(40, 1)
    heard = np.concatenate([np.zeros(20), mouth, np.zeros(20)])[
        20 - late : 20 - late + len(mouth)
    ]  # heard[t + late] = mouth[t]
    found = estimate_offset(mouth, rows_told(heard), FPS)
    assert found.clear and abs(found.frames - late) < 0.3


def test_offsets_between_frames():
    fine = np.interp(np.arange(0, 1000, 0.1), np.arange(1000), babble(40, 1))
    at = np.arange(20, 980) * 10
    found = estimate_offset(fine[at + 5], rows_told(fine[at]), FPS)  # heard half a frame after it is seen
    assert found.clear and 0.3 < found.frames < 0.7


@pytest.mark.parametrize("seed", range(6))
def test_other_peoples_speech_and_a_few_words_are_not_clear(seed):
    mouth, other = babble(20, seed), babble(20, seed + 50)
    assert not estimate_offset(mouth, rows_told(other, seed=seed), FPS).clear
    assert not estimate_offset(mouth[:150], rows_told(mouth[:150], seed=seed), FPS).clear


def test_one_rhythm_all_the_time_is_not_clear():
    """At a lag of a whole period it is the same again."""
    mouth = 0.5 + 0.5 * np.sin(2 * np.pi * np.arange(1000) / 6)
    assert not estimate_offset(mouth, rows_told(mouth), FPS).clear


def test_frames_without_a_face_or_sound_do_not_count():
    mouth = babble(40, 1)
    rows, seen = rows_told(np.roll(mouth, 4)), mouth.copy()
    rows[800:], seen[100:300] = np.nan, np.nan
    found = estimate_offset(seen, rows, FPS)
    assert found.clear and abs(found.frames - 4) < 0.3
    assert not estimate_offset(np.full(1000, np.nan), rows, FPS).clear


@pytest.fixture
def late(subject_config, tmp_path):
    """A folder that has landmarks alone, and the speaker's sound a fifth of a second late."""
    of = SubjectLayout(subject_config.data.root)
    layout = SubjectLayout(tmp_path / "subject")
    layout.audio.parent.mkdir(parents=True)
    shutil.copy(of.landmarks, layout.landmarks)
    save_wav(tmp_path / "late.wav", moved(load_audio(of.audio), -0.2))
    return tmp_path / "late.wav", layout, load_audio(of.audio)


def _extract(late, *settings):
    sound, layout, right = late
    extract_audio(default_config(["data.fps=25", "audio.backend=mel", *settings]), sound, layout)
    made = load_audio(layout.audio)
    lags = range(-4800, 4801, 160)
    short = right[8000:-8000]
    scores = [
        float(np.dot(made[8000 + lag : 8000 + lag + len(short)], short))
        if 8000 + lag + len(short) <= len(made)
        else -1e9
        for lag in lags
    ]
    return lags[int(np.argmax(scores))] / 16000


def test_a_late_sound_is_moved_to_its_lips(late, capsys):
    """To within a frame; the synthetic speaker's own sound is half a frame early."""
    assert abs(_extract(late)) <= 0.04
    assert "ms late, and is moved to its lips (data.correct_offset=false leaves it)" in capsys.readouterr().out


@pytest.mark.parametrize("setting, left", [("data.correct_offset=false", 0.2), ("data.offset=0.1", 0.1)])
def test_who_knows_better_is_obeyed(late, capsys, setting, left):
    assert _extract(late, setting) == pytest.approx(left, abs=0.011)
    assert "moved" not in capsys.readouterr().out


def test_a_sound_in_its_place_stays(late, capsys):
    sound, _, right = late
    save_wav(sound, right)
    assert _extract(late) == 0 and "moved" not in capsys.readouterr().out
