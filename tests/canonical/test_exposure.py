"""Exposure of frames."""

import numpy as np

from speech2lip.canonical.exposure import match_colour


def test_colour_match_recovers_gain_and_offset_despite_outliers():
    rng = np.random.default_rng(0)
    reference = rng.uniform(60, 220, (400, 3))
    observed = 1.1 * reference - 6
    observed[:40] = 0
    found = match_colour(reference, observed)
    for level in (60, 140, 220):
        np.testing.assert_allclose(found[0] * level + found[1], 1.1 * level - 6, atol=1.0)
