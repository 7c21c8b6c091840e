import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech2lip.audio.backend import frame_count
from speech2lip.audio.features import (
    backend_from_params,
    extract_windows,
    load_features,
    make_backend,
    mask_cuts,
    save_features,
)
from speech2lip.audio.log_mel import LogMel, standardiser
from speech2lip.audio.rows import window_offsets
from speech2lip.config import AudioConfig
from speech2lip.errors import UserError
from speech2lip.media.sound import SAMPLE_RATE, load_audio


def _speechlike(seconds=3.0, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    envelope = np.clip(np.sin(2 * np.pi * 1.7 * t), 0, 1)
    return (envelope * np.sin(2 * np.pi * 300 * t) * 0.5 + 0.002 * rng.standard_normal(len(t))).astype(np.float32)


def test_windows_have_shape_and_frame_count():
    wav = _speechlike(3.02)
    windows = LogMel(24, 0.02)(wav, 25.0)
    assert windows.shape == (76, 24, 80) and windows.dtype == np.float32
    assert frame_count(len(wav), 29.97) == round(3.02 * 29.97)


def test_a_click_appears_in_the_window_of_its_frame():
    """Frame i is centred on i / fps: a click at 1.2 s is loudest in the middle of frame 30."""
    wav = 0.001 * np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE).astype(np.float32)
    wav[int(1.2 * SAMPLE_RATE)] = 1.0
    level = LogMel(25, 0.02)(wav, 25.0).mean(2)
    assert level[30].argmax() == 12
    assert level[32].argmax() == 8  # two frames later it lies 80 ms, four rows, earlier


@settings(deadline=None, max_examples=10)
@given(st.floats(0.01, 3.0))
def test_level_does_not_matter(gain):
    wav = _speechlike()
    a, b = LogMel(16, 0.02)(wav, 25.0), LogMel(16, 0.02)(wav * np.float32(gain), 25.0)
    np.testing.assert_allclose(a, b, atol=0.02)
    assert a.std() > 0.3


def test_standardised_speech_has_zero_mean_and_silence_stays_low():
    rows = np.concatenate([np.full((50, 80), -4.0), np.random.default_rng(0).normal(1, 0.7, (50, 80))])
    out = standardiser(rows, -2.0)(rows)
    assert abs(out[50:].mean()) < 0.05
    assert (out[:50] == -2.0).all()


def test_no_window_reaches_across_a_cut():
    windows = np.arange(20, dtype=np.float32)[:, None, None] + np.zeros((20, 5, 3), np.float32)
    out = mask_cuts(windows, [(0, 10), (10, 20)], 25.0, window_offsets(5, 0.04), -9.0)
    assert (out[9, 3:] == -9).all() and (out[9, :3] == 9).all()
    assert (out[10, :2] == -9).all() and (out[10, 2:] == 10).all()
    np.testing.assert_array_equal(out[3:7], windows[3:7])


def test_short_or_broken_audio_is_refused(tmp_path):
    backend = LogMel(24, 0.02)
    with pytest.raises(UserError, match=r"0\.05 s"):
        extract_windows([np.zeros(100, np.float32)], 25.0, backend, tmp_path / "a.wav")
    with pytest.raises(UserError, match="not numbers"):
        extract_windows([np.full(16000, np.nan, np.float32)], 25.0, backend, tmp_path / "a.wav")
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(UserError, match="cannot be read"):
        load_audio(tmp_path / "text.wav")
    with pytest.raises(UserError, match="does not exist"):
        load_audio(tmp_path / "nothing.wav")


def test_silence_gives_finite_features():
    assert np.isfinite(LogMel(24, 0.02)(np.zeros(SAMPLE_RATE, np.float32), 25.0)).all()


def test_features_of_another_backend_are_refused(tmp_path):
    backend = LogMel(24, 0.02)
    save_features(tmp_path / "audio.npy", backend(_speechlike(), 25.0), backend.params())
    assert load_features(tmp_path / "audio.npy", backend.params()).shape == (75, 24, 80)
    with pytest.raises(UserError, match="needs"):
        load_features(tmp_path / "audio.npy", LogMel(16, 0.02).params())


def test_pickled_features_are_refused(tmp_path):
    np.save(tmp_path / "audio.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    params = LogMel(24, 0.02).params()
    (tmp_path / "audio.json").write_text(json.dumps(params))
    with pytest.raises(UserError, match="type object"):
        load_features(tmp_path / "audio.npy", params)


def test_silence_is_silence_and_a_few_words_in_it_are_not():
    """Without speech every row is the value of silence, at any noise below -60 dB; words in a minute of
    silence have the features that they have in three seconds of it."""
    backend, rng = LogMel(20, 0.02), np.random.default_rng(0)
    quiet = (1e-5 * rng.standard_normal(SAMPLE_RATE)).astype(np.float32)
    assert (backend(quiet, 25.0) == backend.silence).all()
    words = _speechlike()
    short, long = (
        backend(np.concatenate([words, np.zeros(n * SAMPLE_RATE, np.float32)]), 25.0)[
            : len(words) * 25 // SAMPLE_RATE - 10
        ]
        for n in (3, 60)
    )
    assert np.abs(short - long).mean() < 0.1 * short.std() and short.std() > 0.3


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=8), st.integers(0, 9))
def test_pieces_give_the_features_of_the_whole(cuts, seed):
    """Wherever sound is cut into pieces, the rows and windows are the same."""
    wav = np.random.default_rng(seed).normal(0, 0.05, 12000).astype(np.float32)
    places = np.unique(np.minimum(np.cumsum(cuts), len(wav)))
    backend = LogMel(20, 0.02)
    (whole,), (pieces,) = backend.rows([wav]), backend.rows(np.split(wav, places))
    np.testing.assert_allclose(pieces.values[:], whole.values[:], atol=1e-4)
    assert len(whole.values) == 1 + len(wav) // 200


def test_memory_does_not_grow_with_the_sound():
    """Windows of 320 s are read in less than 1 MB more than those of 20 s; all of them are 51 MB larger."""

    def peak(seconds):
        piece = _speechlike(4.0)
        tracemalloc.start()
        windows = extract_windows((piece for _ in range(seconds // 4)), 25.0, LogMel(20, 0.02), "sound")
        for at in range(0, len(windows), 64):
            assert windows[at : at + 64].std() > 0.3
        largest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return largest

    assert peak(320) < peak(20) + 1e6


def test_what_lies_ahead_is_kept_with_the_features_and_waited_for():
    from speech2lip.audio.live import LiveFeatures

    usual, short = (make_backend(AudioConfig(backend="mel", ahead=ahead)) for ahead in (-1.0, 0.05))
    assert "ahead" not in usual.params() and short.params()["ahead"] == 0.05
    again = backend_from_params(short.params())
    np.testing.assert_array_equal(again.offsets, short.offsets)
    waits = [LiveFeatures(backend, 25.0, [_speechlike()]).lookahead for backend in (usual, short)]
    assert waits[0] - waits[1] == pytest.approx(usual.offsets[-1] - 0.05)
    for wrong in (-1.0, 9.0, True, "soon"):
        with pytest.raises(UserError, match="ahead"):
            backend_from_params({**short.params(), "ahead": wrong})
