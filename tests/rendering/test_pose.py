import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from speech2lip.geometry.camera import Poses
from speech2lip.geometry.turning import angle_between, rotations_of
from speech2lip.rendering.pose import Plan, Wish, cheapest_walk, fitting, held_back
from speech2lip.subject.motion import HeadMotion, Stance

JOINT = np.array([0.0, 30, 80])


def _walk_cost(walk, costs, turning):
    turns = sum(a - b != b - c for a, b, c in zip(walk, walk[1:], walk[2:], strict=False))
    return sum(costs[k, at] for k, at in enumerate(walk)) + turning * turns


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(2, 5), st.integers(3, 6), st.floats(0, 3))
def test_the_walk_is_the_cheapest_of_all(seed, length, count, turning):
    costs = np.random.default_rng(seed).uniform(0, 2, (count, length))
    walks = [
        w for w in itertools.product(range(length), repeat=count)
        if all(abs(a - b) == 1 for a, b in itertools.pairwise(w))
    ]  # fmt: skip
    path, ways = cheapest_walk(costs, np.zeros((2, length)), turning)
    assert tuple(path) in walks and ((np.diff(path) == 1) == (ways[1:] == 0)).all()
    best = min(_walk_cost(w, costs, turning) for w in walks)
    assert _walk_cost(list(path), costs, turning) == pytest.approx(best, abs=1e-6)


def _clip(count=600):
    """A head that turns to the left and to the right, by 12 degrees, every eight seconds."""
    times = np.arange(count) / 25
    angles = np.stack([12 * np.sin(2 * np.pi * times / 8), 3 * np.sin(times), 0 * times], 1)
    turns = Rotation.from_matrix(rotations_of(angles, np.eye(3)))
    return Poses(turns.as_rotvec(), np.tile([0.0, 0, 500], (count, 1)))


def _steps(plan, count):
    parts = list(itertools.islice(plan, -(-count // 250)))
    return np.concatenate([p.sources for p in parts])[:count], np.concatenate([p.poses for p in parts])[:count]


def _plan(motion, limit=15.0, first=None, frames=None):
    poses = _clip()
    stance = Stance.of(poses, np.ones(600, bool), JOINT)
    return (
        Plan(Wish(motion, stance), poses, np.arange(600) if frames is None else frames, 25.0, limit, first),
        poses,
        stance,
    )


def test_a_walk_goes_through_neighbouring_frames_near_the_wanted_pose():
    plan, poses, stance = _plan(HeadMotion(25, np.array([[10.0, 0, 0]])))
    sources, wanted = _steps(plan, 1500)
    assert (np.abs(np.diff(sources)) == 1).all()  # also where one part of the plan meets the next
    own = poses.matrices()[sources]
    away = angle_between(own[:, :3, :3], wanted[:, :3, :3])
    anywhere = angle_between(poses.matrices()[:, :3, :3], wanted[0, :3, :3])
    assert away.mean() < 0.5 * anywhere.mean()
    np.testing.assert_allclose(
        wanted[:, :3, :3], np.tile(stance.rotations(np.array([[10.0, 0, 0]])), (1500, 1, 1)), atol=1e-9
    )
    joints = own[:, :3, :3] @ JOINT + own[:, :3, 3]  # a motion without places leaves the head where the body has it
    np.testing.assert_allclose(wanted[:, :3, :3] @ JOINT + wanted[:, :3, 3], joints, atol=1e-9)


def test_a_walk_does_not_shuttle_on_the_spot():
    plan, _, _ = _plan(HeadMotion(25, np.zeros((1, 3)), np.zeros((1, 3))))
    sources, _ = _steps(plan, 1500)
    turns = np.flatnonzero(np.diff(np.diff(sources)))
    assert np.diff(turns).min(initial=1500) >= 25


def test_a_part_of_the_clip_is_not_left_and_a_start_is_kept():
    plan, _, _ = _plan(HeadMotion(25, np.zeros((1, 3))), first=130, frames=np.arange(100, 180))
    sources, _ = _steps(plan, 500)
    assert sources[0] == 130 and sources.min() >= 100 and sources.max() < 180


def test_no_head_is_turned_further_than_the_limit():
    plan, poses, _ = _plan(HeadMotion(25, np.array([[40.0, 0, 0]])), limit=9.0)
    sources, wanted = _steps(plan, 250)
    away = angle_between(poses.matrices()[sources][:, :3, :3], wanted[:, :3, :3])
    assert away.max() < 9 + 1e-6 and away.min() > 9 - 1e-6


def test_held_back_poses_lie_on_the_way():
    own, wanted = (
        rotations_of(np.array([[0.0, 0, 0], [5, 0, 0]]), np.eye(3)),
        rotations_of(np.array([[20.0, 0, 0], [8, 0, 0]]), np.eye(3)),
    )
    found = held_back(own, wanted, 10)
    np.testing.assert_allclose(found, rotations_of(np.array([[10.0, 0, 0], [8, 0, 0]]), np.eye(3)), atol=1e-9)


def test_a_motion_is_scaled_into_the_clips_reach():
    poses = _clip()
    turns = poses.matrices()[:, :3, :3]
    stance = Stance.of(poses, np.ones(600, bool), JOINT)
    wide = HeadMotion(25, np.array([[-54.0, 0, 0], [54.0, 0, 0]]))
    factor = fitting(wide, stance, turns, 15)
    assert factor == pytest.approx(27 / 54, abs=0.03)  # 12 degrees of the clip's own, and 15 of warping
    assert fitting(wide.scaled(0.4), stance, turns, 15) == 1


def test_the_plan_can_begin_anew():
    plan, _, _ = _plan(HeadMotion(25, np.zeros((1, 3))))
    first, again = _steps(plan, 300), _steps(plan, 300)
    assert (first[0] == again[0]).all()
