"""Tracking against exact geometry, and against the synthetic speaker's ground truth."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from speech2lip.config import BundleConfig
from speech2lip.geometry.camera import Intrinsics, Poses, project
from speech2lip.media.images import read_image
from speech2lip.subject.layout import SubjectLayout
from speech2lip.tracking import alignment
from speech2lip.tracking.alignment import align
from speech2lip.tracking.bundle import track_head
from speech2lip.tracking.least_squares import by_turn, camera_jacobian, row_products, turn_jacobian
from speech2lip.tracking.observations import ClipObservations

RNG = np.random.default_rng(3)


def _rotation_error(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Degrees [T] between two rotation tracks, up to one constant change of the head's axes."""
    a, b = Rotation.from_rotvec(found), Rotation.from_rotvec(true)
    offset = (b.inv() * a).mean()
    return np.degrees((b * offset * a.inv()).magnitude())


def _head_points() -> np.ndarray:
    """A bulging, face-like cloud of 478 points whose special vertices lie where they should."""
    from speech2lip import facemesh as topology

    y, x = np.divmod(np.arange(478), 22)
    points = np.stack([(x - 10.5) * 6.0, (y - 11) * 7.0, np.zeros(478)], 1)
    points[:, 2] = 0.006 * points[:, 0] ** 2 + 0.003 * points[:, 1] ** 2 + RNG.normal(0, 4, 478)
    places = {33: (-43, -20, 8), 263: (43, -20, 8), 468: (-31.5, -20, 5), 473: (31.5, -20, 5), 152: (0, 90, 20)}
    places |= {topology.NOSE_BASE: (0, 25, -20)}
    for index, place in places.items():
        points[index] = place
    return points


@pytest.fixture(scope="module")
def exact():
    """Landmarks of a rigid head under smooth motion, with their poses and camera."""
    frames, camera = 160, Intrinsics(700.0, 191.5, 191.5)
    t = np.arange(frames) / 25
    euler = np.stack([14 * np.sin(1.9 * t), 7 * np.sin(2.6 * t + 1), 4 * np.sin(1.3 * t)], 1)
    poses = Poses(
        Rotation.from_euler("yxz", euler, degrees=True).as_rotvec(),
        np.stack([10 * np.sin(t), 5 * np.cos(t), 600 + 20 * np.sin(0.7 * t)], 1),
    )
    head = _head_points()
    seen = np.einsum("tij,nj->tni", poses.matrices()[:, :3, :3], head) + poses.trans[:, None]
    weak = seen[..., 2:] - poses.trans[:, None, 2:]
    pixels = project(seen, camera)
    return np.concatenate([pixels, weak * camera.focal / 600], 2), poses, camera


def test_exact_landmarks_give_exact_rotations(exact):
    landmarks, poses, camera = exact
    track = track_head(ClipObservations(landmarks, np.ones(160, bool), [(0, 160)], (camera.cx, camera.cy), 440.0))
    assert np.median(_rotation_error(track.poses.rotvec, poses.rotvec)) < 0.35
    assert track.residual < 0.1
    assert abs(track.camera.focal / camera.focal - 1) < 0.15


def test_smoothing_removes_noise_without_lag(exact):
    landmarks, poses, camera = exact
    noisy = landmarks + np.random.default_rng(0).normal(0, 0.8, (160, 1, 3)) * [1, 1, 0]
    noisy = noisy + np.random.default_rng(1).normal(0, 1.0, noisy.shape) * [1, 1, 0]

    def track(smooth):
        clip = ClipObservations(noisy, np.ones(160, bool), [(0, 160)], (camera.cx, camera.cy), 440.0)
        return track_head(clip, smooth=smooth).poses

    def jitter(values):
        return np.abs(np.diff(values, 2, axis=0)).mean()

    raw, smooth = track(0.0), track(1.0)
    assert jitter(smooth.rotvec) < 0.5 * jitter(raw.rotvec)
    assert np.median(_rotation_error(smooth.rotvec, poses.rotvec)) < np.median(
        _rotation_error(raw.rotvec, poses.rotvec)
    )
    yaw, truth = smooth.rotvec[:, 1], poses.rotvec[:, 1]
    scores = [np.corrcoef(yaw[5 + lag : 150 + lag], truth[5:150])[0, 1] for lag in range(-3, 4)]
    assert int(np.argmax(scores)) == 3


def test_tracking_across_a_gap_stays_accurate(exact):
    landmarks, poses, camera = exact
    seen = np.ones(160, bool)
    seen[70:76] = False
    damaged = landmarks.copy()
    damaged[70:76] = 0
    track = track_head(ClipObservations(damaged, seen, [(0, 160)], (camera.cx, camera.cy), 440.0))
    assert _rotation_error(track.poses.rotvec, poses.rotvec)[70:76].max() < 1.5


# ---------------------------------------------------------------- the synthetic speaker


def _jitter(rotvec: np.ndarray) -> float:
    """Degrees: mean absolute second difference over time."""
    return float(np.degrees(np.abs(np.diff(rotvec, 2, axis=0)).mean()))


def test_rotations_follow_the_truth(subject_config, truth):
    """The skin's colours hold poses still: no more jitter than twice the head's own acceleration."""
    track = SubjectLayout(subject_config.data.root).load_track()
    assert np.median(_rotation_error(track.poses.rotvec, truth["rotvec"])) < 0.8
    assert _jitter(track.poses.rotvec) < 2 * _jitter(truth["rotvec"])


def test_colours_correct_what_landmarks_get_wrong(subject_config, truth):
    """From landmarks alone poses are biased and jitter; the same poses aligned in colour are not."""
    layout = SubjectLayout(subject_config.data.root)
    found = layout.load_landmarks()
    landmarks, seen, crop = found.landmarks, found.seen, found.crop
    centre = crop.to_crop(np.array([191.5, 191.5]))

    def images(frame: int) -> np.ndarray:
        return read_image(layout.face_image(frame))

    middle, side = (float(centre[0]), float(centre[1])), 384 * crop.scale
    clip = ClipObservations(landmarks, seen, [(0, len(seen))], middle, side, images)
    head = track_head(clip)
    aligned = align(head, replace(clip, segments=[(0, 200), (200, len(seen))]))
    before, after = (_rotation_error(h.poses.rotvec, truth["rotvec"]) for h in (head, aligned))
    assert np.median(after) < 0.6 * np.median(before)
    assert _jitter(aligned.poses.rotvec) < 0.4 * _jitter(head.poses.rotvec)


def test_alignment_weighs_landmarks_by_the_configured_noise(subject_config, monkeypatch):
    """Twice the noise: a quarter of the information; with the redundancy too, an eighth."""
    found = SubjectLayout(subject_config.data.root).load_landmarks()
    clip = ClipObservations(found.landmarks, found.seen, [(0, len(found.seen))], (191.5, 191.5), 384.0, lambda f: None)
    information = []

    def stand_in(start, problem, options):
        information.append(problem.landmark_terms(start, np.arange(len(start.poses)))[0])
        return start

    monkeypatch.setattr(alignment, "refine", stand_in)
    head = track_head(clip)
    for options in (BundleConfig(), BundleConfig(noise=0.04), BundleConfig(noise=0.04, redundancy=20)):
        align(head, clip, bundle=options)
    np.testing.assert_allclose(information[1] * 4, information[0])
    np.testing.assert_allclose(information[2] * 8, information[0])


def test_alignment_follows_neighbours_where_no_face_is_seen(subject_config, truth):
    layout = SubjectLayout(subject_config.data.root)
    found = layout.load_landmarks()
    landmarks, seen, crop = found.landmarks[:90], found.seen[:90].copy(), found.crop
    seen[40:44] = False
    landmarks[40:44] = 0
    centre = crop.to_crop(np.array([191.5, 191.5]))
    middle, side = (float(centre[0]), float(centre[1])), 384 * crop.scale
    clip = ClipObservations(landmarks, seen, [(0, 90)], middle, side, lambda f: read_image(layout.face_image(f)))
    aligned = align(track_head(clip), clip)
    error = _rotation_error(aligned.poses.rotvec, truth["rotvec"][:90])
    assert error[40:44].max() < max(error[39], error[44]) + 0.2


def test_observations_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match=r"needed is \[60, 478, 3\]"):
        ClipObservations(np.zeros((60, 468, 3)), np.ones(60, bool), [], (0.0, 0.0), 1.0)
    with pytest.raises(ValueError, match="within 60 frames"):
        ClipObservations(np.zeros((60, 478, 3)), np.ones(60, bool), [(0, 61)], (0.0, 0.0), 1.0)


def test_products_by_rows_are_the_products_of_each_point():
    points, rotvec = RNG.normal(0, 50, (4, 9, 3)) + [0, 0, 600], RNG.normal(0, 0.4, (4, 3))
    camera, rotation = camera_jacobian(points, 900.0), Rotation.from_rotvec(rotvec).as_matrix()
    np.testing.assert_allclose(row_products(camera, rotation), camera @ rotation[:, None], atol=1e-12)
    turned = RNG.normal(0, 50, (4, 9, 3))
    np.testing.assert_allclose(by_turn(camera, turned, rotvec), camera @ turn_jacobian(turned, rotvec), atol=1e-9)
