import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from speech2lip.canonical.skull import Skull, head_maps, smooth_step
from speech2lip.demo.render import FrameState, HeadRenderer
from speech2lip.geometry.camera import Intrinsics, pixel_rays
from speech2lip.subject.index import load_canonical
from speech2lip.subject.layout import SubjectLayout

CAMERA = Intrinsics(600.0, 99.5, 99.5)


def _mesh(across=70.0, top=(-60.0, -70.0), chin=95.0):
    """A mesh of which the skull reads ears, hairline and chin alone."""
    mesh = np.zeros((468, 3))
    mesh[234], mesh[454] = [-across, 5, 65], [across, 5, 65]
    mesh[10], mesh[152] = [0, 5 + top[0], 65 + top[1]], [0, chin, 10]
    return mesh


def test_the_ellipsoid_goes_through_ears_and_hairline():
    skull = Skull.of(_mesh())
    for point in (_mesh()[234], _mesh()[454], _mesh()[10]):
        assert (((point - skull.centre) / skull.axes) ** 2).sum() == pytest.approx(1, abs=1e-6)
    assert skull.joint[1] > skull.centre[1] and skull.joint[2] > skull.centre[2] and skull.chin == 95


def test_depth_is_the_near_side_and_goes_on_beside_the_head():
    skull, pose = Skull.of(_mesh()), np.eye(4)
    pose[2, 3] = 600
    depth = skull.depth(pose, CAMERA, 200)
    points = pixel_rays(CAMERA, 200) * depth[..., None] - pose[:3, 3]
    away = (((points - skull.centre) / skull.axes) ** 2).sum(-1)
    hit = np.hypot(*np.mgrid[-99.5:100, -99.5:100]) < 55
    np.testing.assert_allclose(away[hit], 1, atol=1e-6)
    assert depth[100, 100] < depth[100, 60] < depth[100, 5] and np.isfinite(depth).all()
    assert np.abs(np.diff(depth, axis=1)).max() < 16  # it is smooth where the head ends
    assert abs(depth[100, 5] - 665) < 45


def test_the_synthetic_skull_is_found_where_the_mesh_ends(subject_config, truth):
    """Depth of hair and temples is that of the head that was drawn; the mesh alone, continued, would be some 25 mm too near."""
    layout = SubjectLayout(subject_config.data.root)
    subject = layout.load_subject()
    track, canonical = layout.load_track(subject), load_canonical(layout, subject)
    pose = track.poses.matrices()[subject.canonical_frame]
    maps = head_maps(
        Skull.of(track.mesh), np.asarray(canonical.depth), canonical.face, canonical.head, pose, subject.camera
    )
    drawn = _drawn_depth(truth, subject.canonical_frame)
    face = canonical.face > 0.5
    rows, columns = np.nonzero(~face & (canonical.head > 0.5) & (maps.places[..., 1] < 0))
    crop = subject.crop
    spots = np.stack([columns, rows], 1) / crop.scale + [crop.x, crop.y]
    true = drawn[tuple(np.clip(spots.round().astype(int), 0, 383).T[::-1])]
    seen = true > 0
    scale = np.median(_ratio(drawn, canonical.depth, face, crop))
    error = {
        k: np.median((true / scale - d[rows, columns])[seen])
        for k, d in (("maps", maps.depth), ("mesh", canonical.depth))
    }
    assert seen.sum() > 500
    assert abs(error["maps"]) < 6 < 18 < error["mesh"]


def _drawn_depth(truth, frame):
    state = FrameState(
        Rotation.from_rotvec(truth["rotvec"][frame]).as_matrix(), truth["trans"][frame], tuple(truth["mouth"][frame])
    )
    return HeadRenderer(384, float(truth["focal"])).fragments(state)[0].depth


def _ratio(drawn, depth, face, crop):
    rows, columns = np.nonzero(face)
    spots = np.stack([columns, rows], 1) / crop.scale + [crop.x, crop.y]
    true = drawn[tuple(np.clip(spots.round().astype(int), 0, 383).T[::-1])]
    return (true / depth[rows, columns])[true > 0]


def test_what_moves_lies_inside_what_is_filled(subject_config):
    layout = SubjectLayout(subject_config.data.root)
    subject = layout.load_subject()
    track, canonical = layout.load_track(subject), load_canonical(layout, subject)
    pose = track.poses.matrices()[subject.canonical_frame]
    maps = head_maps(
        Skull.of(track.mesh), np.asarray(canonical.depth), canonical.face, canonical.head, pose, subject.camera
    )
    head = canonical.head > 0.5
    assert (maps.taken[head] > 0.5).all() and (maps.hidden >= maps.taken - 2e-3).all()
    assert (maps.taken < 0.02).mean() > 0.2 and (maps.hidden > 0.98).sum() > 1.05 * (maps.taken > 0.98).sum()
    assert (maps.follows[canonical.face > 0.5] > 0.95).all() and maps.slides[: len(head) // 3].min() > 0.9
    assert (
        maps.follows[-1].min() < 0.01
        and maps.slides[-1].max() < 0.01
        and (np.diff(maps.follows[:, len(head) // 2]) < 0.02).all()
    )


def test_smooth_step():
    np.testing.assert_allclose(smooth_step(np.array([-1.0, 0, 0.5, 1, 2])), [0, 0, 0.5, 1, 1])
