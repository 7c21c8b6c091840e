"""Canonical space: what stands still in it, its depth and its lip region."""

import numpy as np
import pytest

from speech2lip.canonical.space import canonical_depth, lip_region, to_canonical
from speech2lip.facemesh import CHIN, LIPS, MESH_POINTS, MOUTH
from speech2lip.geometry.camera import Intrinsics, Poses, project
from speech2lip.subject.layout import SubjectLayout


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


def test_canonical_lips_hold_the_mouth_still(subject_config):
    """The outer mouth corners' mean moves far less in canonical space than in the picture."""
    layout = SubjectLayout(subject_config.data.root)
    track = layout.load_track()
    moved = track.landmarks[:, MOUTH[: len(LIPS)]].mean(1).std(0)
    still = track.mouth[:, : len(LIPS)].mean(1).std(0)
    assert still[0] < 0.25 * moved[0]
