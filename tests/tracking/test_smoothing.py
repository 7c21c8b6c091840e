"""Gaps in tracks."""

import numpy as np

from speech2lip.tracking.smoothing import bridge, fill_landmarks


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
