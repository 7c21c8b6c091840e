"""Texture, flicker, areas and the classifier, against values that are known."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech2lip.metrics import texture as t


def _noise(seed: int = 0, shape=(120, 160)) -> np.ndarray:
    return np.random.default_rng(seed).normal(128, 10, shape).astype(np.float32)


SQUARE = np.array([[20.0, 20], [100, 20], [100, 80], [20, 80]])


def test_square_has_its_pixels_and_its_area():
    assert t.inside(SQUARE, (120, 160)).sum() == 81 * 61  # centres on the edge belong to it
    assert t.polygon_area(SQUARE) == 80 * 60
    assert t.polygon_area(SQUARE[::-1]) == 80 * 60


@given(st.floats(0.1, 5), st.floats(-50, 50))
def test_area_grows_with_the_square_of_the_size(size, shift):
    assert t.polygon_area(SQUARE * size + shift) == pytest.approx(4800 * size**2, rel=1e-6)


def test_texture_of_white_noise_is_its_deviation():
    fine = t.detail(_noise(), 200.0)  # blurred with sigma 4, little of the noise is left to subtract
    assert t.texture(fine, t.inside(SQUARE, fine.shape)) == pytest.approx(10, rel=0.05)


def test_texture_falls_with_blur_and_ignores_slow_shading():
    where, shading = t.inside(SQUARE, (120, 160)), np.linspace(0, 60, 160, dtype=np.float32)
    sharp = t.texture(t.detail(_noise(), 200.0), where)
    assert t.texture(t.detail(_noise() + shading, 200.0), where) == pytest.approx(sharp, rel=0.02)
    assert t.texture(t.detail(cv2.GaussianBlur(_noise(), (0, 0), 1), 200.0), where) < 0.4 * sharp
    assert np.isnan(t.texture(t.detail(_noise(), 200.0), t.inside(SQUARE / 30, (120, 160))))


def test_flicker_is_zero_for_steady_motion_and_known_for_noise():
    where = t.inside(SQUARE, (120, 160))
    first, last = _noise(1), _noise(2)
    assert t.flicker(first, (first + last) / 2, last, where) == pytest.approx(0, abs=1e-4)
    assert t.flicker(first, _noise(3), last, where) == pytest.approx(10 * np.sqrt(1.5), rel=0.05)


def test_same_pictures_cannot_be_told_apart_and_blurred_ones_can():
    real = [_noise(k, (36, 48)) for k in range(80)]
    other = [_noise(k + 500, (36, 48)) for k in range(80)]
    soft = [cv2.GaussianBlur(p, (0, 0), 0.6) for p in other]
    energies = [np.stack([t.octave_energies(p) for p in pictures]) for pictures in (real, other, soft)]
    assert 0.3 < t.told_apart(energies[0], energies[1]) < 0.7
    assert t.told_apart(energies[0], energies[2]) > 0.99
    assert np.isnan(t.told_apart(energies[0][:5], energies[2][:5]))


def test_frames_without_a_face_do_not_count():
    real = np.stack([t.octave_energies(_noise(k, (36, 48))) for k in range(40)])
    made = real + 1.0
    made[3], real[30] = np.nan, np.nan
    assert t.told_apart(real, made) == pytest.approx(1.0)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9), st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_area_under_the_curve_counts_pairs(low, high):
    pairs = [1.0 if b > a else 0.5 if a == b else 0.0 for a in low for b in high]
    assert t._area_under_curve(np.array(low), np.array(high)) == pytest.approx(np.mean(pairs))
