"""Metrics against their oracles and properties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from speech2lip.metrics.basic import best_lag, lag_curve, partial_slope, psnr, runs
from speech2lip.metrics.image import frame_psnr, seam_gradient, ssim_map
from speech2lip.metrics.motion import jitter, landmark_distance, stabilise


def frame_ssim(a, b, where=None, data_range=1.0):
    mean, similarity = ssim_map(a, b, data_range)
    return mean if where is None else similarity[where].mean()


def _camera() -> tuple[np.ndarray, np.ndarray]:
    camera = data.camera()
    noise = np.random.RandomState(5).randn(*camera.shape) * 20
    return camera, np.clip(camera + noise, 0, 255).astype(np.uint8)


def test_psnr_has_its_known_values():
    a, b = np.array([[0.0, 1], [2, 3]]), np.array([[3.0, 2], [1, 0]])
    assert frame_psnr(a, b, data_range=3) == pytest.approx(2.5527, abs=1e-4)
    camera, noisy = _camera()
    assert frame_psnr(camera, noisy, data_range=255) == pytest.approx(22.409353, abs=1e-4)


@given(st.integers(0, 99), st.floats(0.01, 0.5))
def test_psnr_of_tensors_is_that_of_pictures(seed, level):
    """A weight of zeros and ones is a region."""
    rng = np.random.default_rng(seed)
    a = rng.random((2, 12, 10, 3))
    b = a + level * rng.normal(size=a.shape)
    where = rng.random((2, 12, 10)) < 0.5
    pictures = [frame_psnr(*x) for x in zip(a, b, where, strict=True)]
    tensors = (torch.from_numpy(x).permute(0, 3, 1, 2) for x in (a, b, where[..., None]))
    assert psnr(*tensors) == pytest.approx(pictures, abs=1e-9)


def test_ssim_has_its_known_value():
    camera, noisy = _camera()
    assert frame_ssim(camera, noisy, data_range=255) == pytest.approx(0.357959, abs=1e-4)


@settings(deadline=None, max_examples=8)
@given(st.floats(0.01, 0.2), st.integers(0, 50))
def test_image_metrics_are_symmetric_and_fall_with_noise(level, seed):
    rng = np.random.default_rng(seed)
    image = data.astronaut()[100:180, 180:260] / 255.0
    noise = rng.normal(0, 1, image.shape)
    near, far = image + level * noise, image + 2 * level * noise
    where = np.zeros(image.shape[:2], bool)
    where[20:60, 20:60] = True
    for metric in (frame_psnr, frame_ssim):
        assert metric(image, near, where) == pytest.approx(metric(near, image, where))
        assert metric(image, near, where) > metric(image, far, where)
    assert frame_psnr(image, image) == np.inf and frame_ssim(image, image) == pytest.approx(1)


def test_regions_ignore_the_rest():
    a, b = np.zeros((40, 40, 3)), np.zeros((40, 40, 3))
    b[:10] = 1
    where = np.zeros((40, 40), bool)
    where[25:35] = True
    assert frame_psnr(a, b, where) == np.inf and frame_ssim(a, b, where) == pytest.approx(1)


def test_seams_show_where_the_mask_rises():
    y, x = np.mgrid[:60, :60]
    mask = np.clip((20 - np.hypot(x - 30, y - 30)) / 6 + 0.5, 0, 1)
    smooth = np.repeat((x / 60)[..., None], 3, 2)
    pasted = smooth + 0.3 * (mask[..., None] > 0.5)
    # a ramp of 1/60 per pixel, met at every angle: the mean of |cos| is 2 / pi
    assert seam_gradient(smooth, mask) == pytest.approx(2 / np.pi / 60, rel=0.02)
    assert seam_gradient(pasted, mask) / seam_gradient(smooth, mask) > 2
    stripes = np.repeat(np.where(np.hypot(x - 30, y - 30) > 30, 1.0, 0.0)[..., None], 3, 2)
    assert seam_gradient(stripes, mask) == pytest.approx(0, abs=1e-9)  # edges elsewhere do not count
    assert np.isnan(seam_gradient(smooth, np.zeros((60, 60))))


def test_landmark_distance_by_hand():
    """Two points one pixel further apart on each side, and moved as a whole, which does not count."""
    real = np.array([[[0.0, 0], [10, 0]]])
    generated = np.array([[[4.0, 7], [16, 7]]])
    np.testing.assert_allclose(landmark_distance(generated, real), [1.0])
    np.testing.assert_allclose(landmark_distance(real + 5, real), [0.0])


def test_jitter_is_zero_for_stillness_and_steady_motion_and_blind_to_cuts():
    t = np.arange(20.0)
    still = np.zeros((20, 4, 2))
    steady = still + t[:, None, None]
    scale, shots = np.full(20, 50.0), (t >= 10).astype(int)
    assert np.nanmax(jitter(still, scale)) == 0 and np.nanmax(jitter(steady, scale)) == pytest.approx(0)
    shaking = still + 0.5 * (-1.0) ** t[:, None, None]
    np.testing.assert_allclose(jitter(shaking, scale)[1:-1], 100 * 2 / 50)
    cut = still + 30 * shots[:, None, None]
    assert np.nanmax(jitter(cut, scale)) > 1 and np.nanmax(jitter(cut, scale, shots)) == 0
    assert np.isnan(jitter(cut, scale, shots)[[0, 9, 10, 19]]).all()
    assert np.isnan(jitter(still[:2], scale[:2])).all()


@settings(deadline=None, max_examples=20)
@given(st.floats(0.3, 3), st.floats(-3, 3), st.floats(-40, 40), st.integers(0, 99))
def test_steady_coordinates_take_out_place_turn_and_size(size, angle, shift, seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 20, (1, 12, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = size * points @ turn.T + shift
    still = np.arange(5)
    np.testing.assert_allclose(stabilise(moved, still, points[0, still]), points, atol=1e-6)
    opened = points.copy()
    opened[:, 11] += [0, 4]
    apart = stabilise(size * opened @ turn.T + shift, still, points[0, still]) - points
    np.testing.assert_allclose(apart[0, 11], [0, 4], atol=1e-6)


@given(st.integers(-6, 6), st.integers(0, 99))
def test_lag_is_found_and_gaps_do_not_hide_it(lag, seed):
    series = np.random.default_rng(seed).normal(size=120)
    late = np.roll(series, lag)
    late[30:34] = np.nan
    assert best_lag(late, series)[0] == lag
    assert len(lag_curve(late, series)) == 31


def test_partial_slope_tells_two_causes_apart():
    rng = np.random.default_rng(5)
    real = rng.normal(size=200)
    base = 0.7 * real + rng.normal(size=200)
    made = 3 + 0.8 * real + 0.25 * base
    made[::50] = np.nan
    assert partial_slope(made, base, real) == pytest.approx(0.25)
    assert partial_slope(made, real, base) == pytest.approx(0.8)
    assert np.isnan(partial_slope(made, base, 2 * base)) and np.isnan(partial_slope(made[:3], base[:3], real[:3]))


def test_runs_by_hand():
    assert runs(np.array([1, 1, 0, 1], bool)).tolist() == [[0, 2], [3, 4]]
    assert runs(np.zeros(3, bool)).shape == (0, 2)
