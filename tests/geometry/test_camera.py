import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from speech2lip.geometry.camera import (
    Intrinsics,
    Poses,
    pixel_lattice,
    pixel_to_grid,
    project,
    relative_transforms,
    rotation_matrices,
    sample_map,
    unproject,
    warp_to_canonical,
    warp_to_observed,
)
from speech2lip.geometry.mesh import vertex_normals
from speech2lip.geometry.rasterizer_cpu import rasterize

CAMERA = Intrinsics(500.0, 63.5, 47.5)


@given(st.floats(-60, 60), st.floats(-60, 60), st.floats(300, 900))
def test_unproject_inverts_project(x, y, z):
    point = np.array([x, y, z])
    np.testing.assert_allclose(unproject(project(point, CAMERA), np.array(z), CAMERA), point, atol=1e-9)


def test_rotations_equal_scipys():
    rotvec = np.concatenate([np.zeros((1, 3)), np.random.default_rng(0).normal(0, 1, (20, 3)), [[1e-9, 0, 0]]])
    np.testing.assert_allclose(rotation_matrices(rotvec), Rotation.from_rotvec(rotvec).as_matrix(), atol=1e-12)


def test_projection_convention():
    """x right, y down, z forward: a point right of and below the axis has larger pixel coordinates."""
    np.testing.assert_allclose(project(np.array([10.0, 20.0, 500.0]), CAMERA), [73.5, 67.5])


def test_grid_convention_matches_grid_sample():
    values = torch.arange(12.0).reshape(3, 4)
    pixels = pixel_lattice(4, 3).reshape(1, -1, 2)
    torch.testing.assert_close(sample_map(values, pixels)[0], values.ravel())
    torch.testing.assert_close(pixel_to_grid(torch.tensor([0.0, 2.0]), 4, 3), torch.tensor([-1.0, 1.0]))


def test_relative_transform_carries_canonical_camera_points_to_observed():
    rng = np.random.default_rng(0)
    poses = Poses(rng.normal(0, 0.2, (3, 3)), rng.normal(0, 10, (3, 3)) + [0, 0, 600])
    head = np.array([5.0, -7.0, 11.0, 1.0])
    matrices = poses.matrices()
    moved = relative_transforms(poses, matrices[0]) @ (matrices[0] @ head)
    np.testing.assert_allclose(moved, matrices @ head, atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.floats(-15, 15), st.floats(-8, 8), st.floats(-6, 6), st.floats(-20, 20))
def test_observed_canonical_observed_round_trip(yaw, pitch, roll, shift):
    """A bulging surface seen 15 degrees apart: the two warps invert each other within 0.5 px."""
    x, y = np.meshgrid(np.arange(128.0), np.arange(96.0))
    depth = 600 - 60 * np.exp(-(((x - 63) / 45) ** 2) - ((y - 47) / 45) ** 2)
    depth = torch.from_numpy(depth).float()
    rotation = Rotation.from_euler("yxz", [yaw, pitch, roll], degrees=True).as_matrix()
    centre = np.array([0, 0, 580.0])
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation, centre - rotation @ centre + [shift / 4, 0, shift]
    transform = torch.from_numpy(transform[None]).float()
    canonical = pixel_lattice(128, 96)[30:66, 40:88].reshape(1, -1, 2)
    observed = warp_to_observed(canonical, sample_map(depth, canonical), transform, CAMERA)
    back = warp_to_canonical(observed, depth, transform, CAMERA)
    assert (back - canonical).norm(dim=-1).max() < 0.5


def test_rasterizer_depth_of_a_slanted_plane_is_exact():
    """Perspective-correct interpolation: every pixel's depth satisfies the plane's equation."""
    corners = np.array([[-60, -40, 500.0], [60, -40, 700], [60, 40, 700], [-60, 40, 500]])
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    found = rasterize(project(corners, CAMERA), corners[:, 2], triangles, 128, 96)
    ys, xs = np.nonzero(found.mask)
    points = unproject(np.stack([xs, ys], 1).astype(float), found.depth[found.mask].astype(float), CAMERA)
    np.testing.assert_allclose(points[:, 2], 600 + points[:, 0] * 200 / 120, atol=1e-2)
    np.testing.assert_allclose(found.interpolate(triangles, corners)[found.mask], points, atol=2e-2)


def test_rasterizer_keeps_the_nearest_and_covers_by_centre():
    pixels = np.array([[1.5, 1.5], [6.5, 1.5], [1.5, 6.5], [-9, -9], [30, -9], [-9, 30]])
    depth = np.array([1.0, 1, 1, 2, 2, 2])
    found = rasterize(pixels, depth, np.array([[0, 1, 2], [3, 4, 5]]), 8, 8)
    assert found.face[2, 2] == 0 and found.face[0, 0] == 1
    near = found.face == 0
    inside = [(x, y) for x in range(8) for y in range(8) if x >= 1.5 and y >= 1.5 and x + y <= 8]
    assert {(x, y) for y, x in np.argwhere(near)} == set(inside)
    np.testing.assert_allclose(found.barycentric[found.mask].sum(1), 1, atol=1e-6)


def test_rasterizer_of_nothing_visible_is_empty():
    found = rasterize(np.full((3, 2), -50.0), np.ones(3), np.array([[0, 1, 2]]), 8, 8)
    assert not found.mask.any()


def test_normals_of_a_sphere_point_outwards_or_inwards_consistently():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(400, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    from scipy.spatial import ConvexHull

    hull = ConvexHull(points)
    triangles = hull.simplices.copy()
    a, b, c = (points[triangles[:, k]] for k in range(3))
    flip = (np.cross(b - a, c - a) * a).sum(1) < 0
    triangles[flip] = triangles[flip][:, [0, 2, 1]]
    assert ((vertex_normals(points, triangles) * points).sum(1) > 0.95).all()
