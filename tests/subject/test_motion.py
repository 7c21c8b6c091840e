import json

import numpy as np
import pytest

from speech2lip.errors import UserError
from speech2lip.geometry.camera import Poses
from speech2lip.subject.motion import HeadMotion, Stance, read_motion, write_motion

JOINT = np.array([0.0, 30, 80])


def _wander(count=200):
    times = np.arange(count) / 25
    rotvec = np.stack([0.1 * np.sin(times), 0.25 + 0.2 * np.sin(1.7 * times), 0.05 * np.cos(times)], 1)
    return Poses(rotvec, np.stack([10 * np.sin(times), 5 * np.cos(times), 500 + times], 1))


def test_what_is_written_is_read(tmp_path):
    rng = np.random.default_rng(0)
    motion = HeadMotion(29.97, rng.normal(0, 10, (30, 3)), rng.normal(0, 10, (30, 3)))
    write_motion(tmp_path / "a.json", motion)
    found = read_motion(tmp_path / "a.json")
    assert found.fps == 29.97 and found.shifts is not None and motion.shifts is not None
    np.testing.assert_allclose(found.angles, motion.angles, atol=6e-4)
    np.testing.assert_allclose(found.shifts, motion.shifts, atol=6e-3)
    lines = (tmp_path / "a.json").read_text().splitlines()
    assert len(lines) == 32 and json.loads(lines[1].rstrip(","))["yaw"] == round(motion.angles[0, 0], 3)


def test_a_short_file_by_hand_is_enough(tmp_path):
    (tmp_path / "a.json").write_text('{"fps": 25, "frames": [{"yaw": 15}]}')
    motion = read_motion(tmp_path / "a.json")
    assert motion.angles.tolist() == [[15, 0, 0]] and motion.shifts is None
    angles, shifts = motion.at(np.array([0, 7, 1000]), 30)
    assert angles.tolist() == [[15, 0, 0]] * 3 and shifts is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"frames": [{"yaw": 1}]}', "fps"),
        ('{"fps": 1e9, "frames": [{"yaw": 1}]}', "fps"),
        ('{"fps": 25}', "frames"),
        ('{"fps": 25, "frames": []}', "frames"),
        ('{"fps": 25, "frames": [1]}', "frame 0"),
        ('{"fps": 25, "frames": [{"yaw": 1}, {"yaw": 91}]}', "yaw of frame 1"),
        ('{"fps": 25, "frames": [{"pitch": NaN}]}', "pitch of frame 0"),
        ('{"fps": 25, "frames": [{"roll": "1"}]}', "roll of frame 0"),
        ('{"fps": 25, "frames": [{"jaw": 1}]}', "jaw"),
        ('{"fps": 25, "frames": [{"shift": [1, 2]}]}', "needed are 3"),
        ('{"fps": 25, "frames": [{"shift": 3}]}', "shift of frame 0"),
        ('{"fps": 25, "frames": [{"shift": [1, 2, 3]}, {}]}', "frame 1 has no shift"),
        ('{"fps": 25, "version": 2, "frames": [{}]}', "version 2"),
        ("[1]", "needed is an object"),
        ("{", "damaged"),
    ],
)
def test_what_is_no_motion_is_refused_in_a_sentence(tmp_path, content, said):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=r"a\.json") as error:
        read_motion(tmp_path / "a.json")
    assert said in str(error.value) and "docs/pose.md" in str(error.value) and "\n" not in str(error.value)


def test_another_rate_is_the_same_motion_and_its_end_turns_back():
    motion = HeadMotion(50, np.stack([np.arange(101.0)] * 3, 1))
    angles, _ = motion.at(np.arange(80), 25)
    np.testing.assert_allclose(angles[:51, 0], np.arange(0, 101, 2))
    np.testing.assert_allclose(angles[51:, 0], 100 - 2 * np.arange(1, 30))


def test_a_persons_motion_is_counted_from_the_mean():
    poses, usable = _wander(), np.ones(200, bool)
    stance = Stance.of(poses, usable, JOINT)
    motion = stance.motion(poses, usable, 25)
    assert np.abs(motion.angles.mean(0)).max() < 0.5 and np.ptp(motion.angles[:, 0]) > 20
    assert motion.shifts is not None
    np.testing.assert_allclose(motion.shifts.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(stance.rotations(motion.angles), poses.matrices()[:, :3, :3], atol=1e-9)
    calm = motion.scaled(0.5)
    assert (
        calm.shifts is not None
        and np.allclose(calm.angles * 2, motion.angles)
        and np.allclose(calm.shifts * 2, motion.shifts)
    )


def test_frames_without_a_face_lie_between_their_neighbours():
    poses, usable = _wander(), np.ones(200, bool)
    whole = Stance.of(poses, usable, JOINT).motion(poses, usable, 25).angles
    usable[50:53] = False
    poses.rotvec[50:53] = 3
    found = Stance.of(poses, usable, JOINT).motion(poses, usable, 25).angles
    np.testing.assert_allclose(found, whole, atol=0.3)
