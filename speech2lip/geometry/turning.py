"""Rotations as the angles that people speak of, and turns of a head of which its neck takes a part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..shapes import check_shape
from .camera import Poses

_SIGNS = np.array([-1.0, -1.0, 1.0])  # of yaw, pitch, roll, against rotations about the axes y, x and z of the head


def _rotation() -> Any:
    from scipy.spatial.transform import Rotation  # here, so that training starts where it is missing

    return Rotation


def rotations_of(angles: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Angles [N, 3] in degrees -> rotations [N, 3, 3], head -> camera.

    Yaw, pitch and roll, from the rotation `mean` [3, 3]: yaw turns the face to the right of the picture, pitch upwards, roll tilts the
    head clockwise as the picture shows it. First roll is applied, then pitch, then yaw, about the head's own axes in
    the mean pose.
    """
    check_shape("angles", angles, None, 3)
    own = _rotation().from_euler("YXZ", np.asarray(angles) * _SIGNS, degrees=True).as_matrix()
    return np.asarray(mean @ own)


def angles_of(rotations: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The inverse of `rotations_of`: rotations [N, 3, 3] -> yaw, pitch, roll [N, 3] in degrees."""
    check_shape("rotations", rotations, None, 3, 3)
    own = _rotation().from_matrix(mean.T @ rotations)
    return np.asarray(own.as_euler("YXZ", degrees=True) * _SIGNS)


def mean_rotation(rotations: np.ndarray) -> np.ndarray:
    """The rotation [3, 3] that is nearest to all of rotations [N, 3, 3]."""
    check_shape("rotations", rotations, None, 3, 3)
    return np.asarray(_rotation().from_matrix(rotations).mean().as_matrix())


def poses_of(matrices: np.ndarray) -> Poses:
    """Homogeneous head -> camera transforms [N, 4, 4] as poses."""
    check_shape("matrices", matrices, None, 4, 4)
    return Poses(_rotation().from_matrix(matrices[:, :3, :3]).as_rotvec(), matrices[:, :3, 3])


def angle_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Degrees [...] of the rotation between rotations [..., 3, 3]."""
    cosine = ((first * second).sum((-1, -2)) - 1) / 2
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


@dataclass(frozen=True)
class Turn:
    """A movement of a head in the camera's axes, in parts.

    axis: [3], of length 1, and angle, in radians; start, end: [3] mm, its joint before and after.
    """

    axis: np.ndarray
    angle: float
    start: np.ndarray
    end: np.ndarray

    @staticmethod
    def between(was: np.ndarray, wanted: np.ndarray, joint: np.ndarray) -> Turn:
        """Of poses [4, 4] head -> camera; joint: [3] mm in the head's axes."""
        check_shape("was", was, 4, 4)
        check_shape("wanted", wanted, 4, 4)
        rotvec = _rotation().from_matrix(wanted[:3, :3] @ was[:3, :3].T).as_rotvec()
        angle = float(np.linalg.norm(rotvec))
        axis = rotvec / angle if angle > 1e-9 else np.array([0.0, 0.0, 1.0])
        start, end = (pose[:3, :3] @ joint + pose[:3, 3] for pose in (was, wanted))
        return Turn(axis, angle, start, end)

    def moved(self, points: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Points [..., 3] in the camera's axes that take part in it by `share` [...]: 1 is the whole movement (Rodrigues)."""
        check_shape("share", share, *points.shape[:-1])
        arm, turned = points - self.start, (share * self.angle)[..., None]
        across, along = np.cross(self.axis, arm), (arm @ self.axis)[..., None] * self.axis
        round_axis = arm * np.cos(turned) + across * np.sin(turned) + along * (1 - np.cos(turned))
        return np.asarray(self.start + share[..., None] * (self.end - self.start) + round_axis)
