import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from speech2lip.geometry.camera import rigid_matrices
from speech2lip.geometry.turning import Turn, angle_between, angles_of, mean_rotation, poses_of, rotations_of

NOSE, CROWN = np.array([0.0, 0, -1]), np.array([0.0, -1, 0])  # of a head that looks into the camera; y is down
ANGLE = st.floats(-60, 60)
MEAN = Rotation.from_euler("yxz", [20, -10, 5], degrees=True).as_matrix()


def test_signs_are_those_that_a_viewer_sees():
    yaw, pitch, roll = rotations_of(np.diag([30.0, 30, 30]), np.eye(3))
    assert (yaw @ NOSE)[0] > 0.4 and abs((yaw @ NOSE)[1]) < 1e-9  # to the right of the picture
    assert (pitch @ NOSE)[1] < -0.4 and abs((pitch @ NOSE)[0]) < 1e-9  # upwards
    assert (roll @ CROWN)[0] > 0.4 and abs((roll @ NOSE)[0]) < 1e-9  # clockwise


@settings(deadline=None, max_examples=30)
@given(ANGLE, ANGLE, ANGLE)
def test_angles_come_back(yaw, pitch, roll):
    angles = np.array([[yaw, pitch, roll]])
    np.testing.assert_allclose(angles_of(rotations_of(angles, MEAN), MEAN), angles, atol=1e-6)


def test_a_turn_is_about_the_heads_own_axes():
    """Of a head that is seen from the side, yaw is about its own neck, and a pure angle has that size."""
    turned = rotations_of(np.array([[25.0, 0, 0]]), MEAN)[0]
    np.testing.assert_allclose(turned @ CROWN, MEAN @ CROWN, atol=1e-12)
    assert abs(angle_between(turned, MEAN) - 25) < 1e-9


def test_mean_rotation_lies_in_the_middle():
    both = rotations_of(np.array([[0.0, 12, 0], [0.0, -12, 0]]), MEAN)
    assert angle_between(mean_rotation(both), MEAN) < 1e-4


def test_a_turn_carries_one_pose_to_another_and_its_parts_less():
    rng = np.random.default_rng(0)
    was, wanted = rigid_matrices(rng.normal(0, 0.2, (2, 3)), rng.normal(0, 30, (2, 3)) + [0, 0, 600])
    joint, points = np.array([1.0, 30, 80]), rng.normal(0, 60, (50, 3))
    before, after = (points @ pose[:3, :3].T + pose[:3, 3] for pose in (was, wanted))
    turn = Turn.between(was, wanted, joint)
    np.testing.assert_allclose(turn.moved(before, np.ones(50)), after, atol=1e-9)
    np.testing.assert_allclose(turn.moved(before, np.zeros(50)), before, atol=1e-9)
    half = turn.moved(turn.start[None], np.array([0.5]))
    np.testing.assert_allclose(half[0], (turn.start + turn.end) / 2, atol=1e-9)
    arms = np.linalg.norm(turn.moved(before, np.full(50, 0.5)) - half, axis=1)
    np.testing.assert_allclose(arms, np.linalg.norm(before - turn.start, axis=1), atol=1e-9)  # nothing is stretched


def test_matrices_are_the_poses_that_they_were():
    matrices = rigid_matrices(np.array([[0.1, -0.2, 0.3]]), np.array([[1.0, 2, 500]]))
    np.testing.assert_allclose(poses_of(matrices).matrices(), matrices, atol=1e-12)
