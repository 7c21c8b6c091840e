import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from speech2lip.geometry.camera import (
    Intrinsics,
    Poses,
    move_points,
    pixel_lattice,
    pixel_to_grid,
    project,
    relative_transforms,
    rigid_matrices,
    rotation_matrices,
    sample_map,
    unproject,
    warp_to_canonical,
    warp_to_observed,
)
from speech2lip.geometry.mesh import vertex_normals
from speech2lip.geometry.rasterizer_cpu import rasterize
from speech2lip.geometry.sampling import sample_bilinear
from speech2lip.subject.index import parse_subject
from speech2lip.subject.layout import SubjectLayout

CAMERA = Intrinsics(500.0, 63.5, 47.5)


@given(st.floats(-60, 60), st.floats(-60, 60), st.floats(300, 900))
def test_unproject_inverts_project(x, y, z):
    point = np.array([x, y, z])
    np.testing.assert_allclose(unproject(project(point, CAMERA), np.array(z), CAMERA), point, atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-0.4, 0.4), min_size=3, max_size=3), st.floats(-30, 30), st.integers(0, 99))
def test_projection_is_one_in_numpy_and_torch(turn, shift, seed):
    """Fits project in NumPy, networks warp in torch: the same points land on the same pixels."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-80, 80, (30, 3)) + [0, 0, 600]
    pixels, depth = torch.from_numpy(project(points, CAMERA))[None], torch.from_numpy(points[:, 2])[None]
    moved = rigid_matrices(np.array([turn]), np.array([[shift, -shift, shift]]))
    for matrix in (np.eye(4)[None], moved):
        landed = warp_to_observed(pixels, depth, torch.from_numpy(matrix), CAMERA)[0]
        np.testing.assert_allclose(landed, project(move_points(points, matrix[0]), CAMERA), atol=1e-9)


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


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 99))
def test_bilinear_look_up_is_one_in_numpy_and_torch(width, height, seed):
    """Inside and outside, on 32nds of a pixel, where OpenCV is exact."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(-1, 1, (height, width)).astype(np.float32)
    pixels = rng.integers(-64, 32 * np.array([width + 2, height + 2]), (50, 2)) / 32
    expected = sample_map(torch.from_numpy(values).double(), torch.from_numpy(pixels)[None])[0]
    np.testing.assert_allclose(sample_bilinear(values, pixels), expected, atol=1e-5)


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


def test_warps_between_observed_and_canonical_invert_each_other(subject_config):
    """With the tracked poses and the subject's own depth, over the whole lip region, in every frame."""
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


def test_a_cameras_matrix_projects_as_it_does():
    camera, points = Intrinsics(812.5, 250.0, 261.5), np.random.default_rng(5).normal(0, 60, (50, 3)) + [0, 0, 700]
    x, y, z = camera.matrix() @ points.T
    np.testing.assert_allclose(np.stack([x / z, y / z], 1), project(points, camera), rtol=1e-12)
