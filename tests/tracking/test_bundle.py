"""Tracking against exact geometry, and against the synthetic speaker's ground truth."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from speech2lip.canonical.exposure import match_colour
from speech2lip.canonical.space import canonical_depth, lip_region, to_canonical
from speech2lip.config import BundleConfig
from speech2lip.detection.crop import dominant_face, head_crop
from speech2lip.detection.shots import find_shots
from speech2lip.facemesh import CHIN, LIPS, MESH_POINTS, MOUTH, mouth_opening
from speech2lip.geometry.camera import Intrinsics, Poses, project
from speech2lip.media.images import read_image
from speech2lip.subject.layout import SubjectLayout
from speech2lip.subject.records import Crop, extract
from speech2lip.tracking import alignment
from speech2lip.tracking.alignment import align
from speech2lip.tracking.bundle import track_head
from speech2lip.tracking.observations import ClipObservations
from speech2lip.tracking.smoothing import bridge, fill_landmarks

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


def test_bridged_gap_is_interpolated_and_long_gap_is_not():
    seen = np.ones(60, bool)
    seen[10:14] = False
    seen[30:45] = False
    assert bridge(seen, [(0, 60)], 10) == [(0, 30), (45, 60)]
    assert bridge(seen, [(0, 12), (12, 60)], 10) == [(0, 10), (14, 30), (45, 60)]
    landmarks = np.arange(60.0)[:, None, None] + np.zeros((60, 478, 2))
    landmarks[~seen] = 0
    filled = fill_landmarks(landmarks, seen, [(0, 30), (45, 60)])
    np.testing.assert_allclose(filled[10:14, 0, 0], [10, 11, 12, 13])


def test_tracking_across_a_gap_stays_accurate(exact):
    landmarks, poses, camera = exact
    seen = np.ones(160, bool)
    seen[70:76] = False
    damaged = landmarks.copy()
    damaged[70:76] = 0
    track = track_head(ClipObservations(damaged, seen, [(0, 160)], (camera.cx, camera.cy), 440.0))
    assert _rotation_error(track.poses.rotvec, poses.rotvec)[70:76].max() < 1.5


# ---------------------------------------------------------------- shots and crops


def test_cuts_are_found_and_motion_is_not_one():
    rng = np.random.default_rng(0)
    scenes = [rng.uniform(0, 255, (36, 48)) for _ in range(3)]
    thumbs = np.concatenate([s + rng.normal(0, 1, (30, 36, 48)) for s in scenes]).astype(np.float32)
    thumbs[10:20] += np.linspace(0, 60, 10)[:, None, None]  # a fast but continuous change of light
    thumbs[20:30] += 60
    assert find_shots(thumbs) == [(0, 30), (30, 60), (60, 90)]


def test_the_larger_more_persistent_face_is_chosen():
    big = np.array([100.0, 100, 80, 80])
    small = np.array([400.0, 50, 30, 30])
    samples = [
        (i * 10, np.stack([small, big + [i, i, 0, 0]]) if i % 3 else np.stack([big + [i, i, 0, 0]])) for i in range(10)
    ]
    boxes = dominant_face(samples, [(0, 100)])
    assert len(boxes) == 10 and (boxes[:, 2] == 80).all()


@given(st.integers(-40, 120), st.integers(-40, 120), st.integers(20, 90))
def test_crops_keep_source_pixels_and_repeat_the_border(x, y, side):
    frame = np.random.default_rng(0).integers(0, 255, (100, 110, 3), dtype=np.uint8)
    if x + side <= 0 or y + side <= 0 or x >= 110 or y >= 100:
        return
    patch = extract(frame, Crop(x, y, side, side))
    rows, columns = np.clip(np.arange(y, y + side), 0, 99), np.clip(np.arange(x, x + side), 0, 109)
    np.testing.assert_array_equal(patch, frame[rows][:, columns])


def test_head_crop_holds_the_head_and_shrinks_large_ones():
    crop = head_crop(np.array([[300.0, 500, 400, 400]]), 1080, 1920, 640)
    assert crop.size == 640 and crop.side > 640
    assert crop.x < 300 - 80 and crop.y < 500 - 200 and crop.x + crop.side > 700 + 80 and crop.y + crop.side > 1000
    small = head_crop(np.array([[200.0, 100, 100, 100]]), 640, 480, 640)
    assert small.size == small.side < 300


# ---------------------------------------------------------------- canonical space


def test_landmarks_of_a_rigid_head_stand_still_in_canonical_space():
    rng = np.random.default_rng(0)
    camera = Intrinsics(600.0, 128.0, 128.0)
    mesh = rng.normal(0, 40, (30, 3))
    poses = Poses(rng.normal(0, 0.15, (20, 3)), rng.normal(0, 10, (20, 3)) + [0, 0, 600])
    seen = np.einsum("tij,nj->tni", poses.matrices()[:, :3, :3], mesh) + poses.trans[:, None]
    still = to_canonical(project(seen, camera), poses, mesh, poses.matrices()[4], camera)
    np.testing.assert_allclose(still, np.broadcast_to(still[4], still.shape), atol=1e-6)


def test_canonical_depth_is_the_mesh_depth_where_it_covers():
    rng = np.random.default_rng(0)
    mesh = np.concatenate([rng.uniform(-50, 50, (MESH_POINTS, 2)), np.full((MESH_POINTS, 1), 3.0)], 1)
    pose = np.eye(4)
    pose[2, 3] = 500
    depth, covered = canonical_depth(mesh, pose, Intrinsics(500.0, 63.5, 63.5), 128)
    np.testing.assert_allclose(depth[covered], 503, atol=1e-2)
    assert covered.any() and not covered.all() and np.isfinite(depth).all()


def test_lip_region_covers_all_lips_and_fades_to_zero_inside_its_box():
    rng = np.random.default_rng(0)
    mouth = np.concatenate(
        [
            rng.uniform([100, 120], [150, 140], (50, len(LIPS), 2)),
            rng.uniform([105, 145], [145, 170], (50, len(CHIN), 2)),
        ],
        1,
    )
    region = lip_region(mouth, 112.0, 256, 0.2, 0.15)
    box = region.box
    inside = region.mask[box.top : box.top + box.height, box.left : box.left + box.width]
    assert region.mask[130, 125] == 1 and region.mask[165, 125] == 1
    assert region.mask.sum() == pytest.approx(inside.sum(), rel=1e-3)
    assert max(inside[0].max(), inside[-1].max(), inside[:, 0].max(), inside[:, -1].max()) < 0.02
    assert region.mask[:100].max() == 0


def test_colour_match_recovers_gain_and_offset_despite_outliers():
    rng = np.random.default_rng(0)
    reference = rng.uniform(60, 220, (400, 3))
    observed = 1.1 * reference - 6
    observed[:40] = 0
    found = match_colour(reference, observed)
    for level in (60, 140, 220):
        np.testing.assert_allclose(found[0] * level + found[1], 1.1 * level - 6, atol=1.0)


# ---------------------------------------------------------------- the synthetic speaker


def test_face_is_found_in_every_frame_and_opening_follows_the_truth(subject_config, truth):
    track = SubjectLayout(subject_config.data.root).load_track()
    assert track.valid.all()
    gap = np.linalg.norm(truth["lips"][:, 0] - truth["lips"][:, 1], axis=1)
    assert np.corrcoef(mouth_opening(track.landmarks), gap)[0, 1] > 0.97


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

    def stand_in(start, clip, points, keys, terms, options):
        information.append(terms(start, np.arange(len(start.poses)))[0])
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


def test_warps_between_observed_and_canonical_invert_each_other(subject_config):
    """With the tracked poses and the subject's own depth, over the whole lip region, in every frame."""
    import torch

    from speech2lip.geometry.camera import sample_map, warp_to_canonical, warp_to_observed
    from speech2lip.subject.index import parse_subject

    index = parse_subject(SubjectLayout(subject_config.data.root), 0.2)
    depth = torch.from_numpy(index.canonical.depth)
    ys, xs = np.nonzero(index.canonical.lip > 0.01)
    pixels = torch.from_numpy(np.stack([xs, ys], 1)).float().expand(len(index.transforms), -1, -1)
    transform = torch.from_numpy(index.transforms).float()
    observed = warp_to_observed(pixels, sample_map(depth, pixels), transform, index.subject.camera)
    back = warp_to_canonical(observed, depth, transform, index.subject.camera)
    again = warp_to_observed(back, sample_map(depth, back), transform, index.subject.camera)
    error = (again - observed).norm(dim=-1).flatten()
    assert error[:: max(1, len(error) // 1_000_000)].quantile(0.999) < 0.1


def test_canonical_lips_hold_the_mouth_still(subject_config):
    """The outer mouth corners' mean moves far less in canonical space than in the picture."""
    layout = SubjectLayout(subject_config.data.root)
    track = layout.load_track()
    moved = track.landmarks[:, MOUTH[: len(LIPS)]].mean(1).std(0)
    still = track.mouth[:, : len(LIPS)].mean(1).std(0)
    assert still[0] < 0.25 * moved[0]


def test_folder_is_small_and_complete(subject_config):
    layout = SubjectLayout(subject_config.data.root)
    subject = layout.load_subject()
    size = sum(f.stat().st_size for f in layout.root.rglob("*") if f.is_file())
    assert size / subject.frames < 150e3
    for path in (layout.canonical, layout.lip_mask, layout.face_mask, layout.head_mask, layout.depth, layout.features):
        assert path.is_file()
    assert layout.face_image(subject.frames - 1).is_file() and layout.lip_image(0).is_file()


def test_second_run_keeps_what_is_unchanged(subject_config, clip, capsys):
    from speech2lip.preparation.pipeline import preprocess

    layout = SubjectLayout(subject_config.data.root)
    before = layout.face_image(0).stat().st_mtime_ns
    preprocess(subject_config, clip / "speaker.mp4")
    assert capsys.readouterr().out.count("unchanged") == 4
    assert layout.face_image(0).stat().st_mtime_ns == before


def test_observations_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match=r"needed is \(60, 478"):
        ClipObservations(np.zeros((60, 468, 2)), np.ones(60, bool), [], (0.0, 0.0), 1.0)
    with pytest.raises(ValueError, match="within 60 frames"):
        ClipObservations(np.zeros((60, 478, 2)), np.ones(60, bool), [(0, 61)], (0.0, 0.0), 1.0)
