"""Photometric refinement."""

import numpy as np

from speech2lip.tracking.photometric import _smooth_step


def test_smooth_step_equals_the_dense_solution():
    rng = np.random.default_rng(0)
    frames = 9
    normal = rng.normal(size=(frames, 6, 8))
    normal = normal @ normal.transpose(0, 2, 1)
    metric = rng.normal(size=(6, 8))
    metric = metric @ metric.T
    poses, force = rng.normal(size=(frames, 6)), rng.normal(size=(frames, 6))
    difference = np.kron(np.diff(np.eye(frames), 2, axis=0), np.eye(6))
    stiff = difference.T @ np.kron(np.eye(frames - 2), metric) @ difference
    matrix = stiff.copy()
    for t in range(frames):
        matrix[6 * t : 6 * t + 6, 6 * t : 6 * t + 6] += normal[t]
    dense = np.linalg.solve(matrix, force.ravel() - stiff @ poses.ravel()).reshape(frames, 6)
    np.testing.assert_allclose(_smooth_step(poses, normal, force, metric), dense, atol=1e-6)
