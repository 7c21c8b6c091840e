"""Cuts."""

import numpy as np

from speech2lip.detection.shots import find_shots


def test_cuts_are_found_and_motion_is_not_one():
    rng = np.random.default_rng(0)
    scenes = [rng.uniform(0, 255, (36, 48)) for _ in range(3)]
    thumbs = np.concatenate([s + rng.normal(0, 1, (30, 36, 48)) for s in scenes]).astype(np.float32)
    thumbs[10:20] += np.linspace(0, 60, 10)[:, None, None]  # a fast but continuous change of light
    thumbs[20:30] += 60
    assert find_shots(thumbs) == [(0, 30), (30, 60), (60, 90)]


def test_a_flash_or_flicker_of_the_light_is_no_cut():
    rng = np.random.default_rng(0)
    scenes = [np.repeat(np.repeat(rng.uniform(20, 180, (9, 12)), 4, 0), 4, 1) for _ in range(2)]
    thumbs = np.concatenate([s + rng.normal(0, 1, (60, 36, 48)) for s in scenes]).astype(np.float32)
    thumbs[20:22] = thumbs[20:22] * 1.4 + 5
    thumbs[40:] *= 0.6  # the lamp goes out; the cut comes later
    assert find_shots(thumbs.clip(0, 255)) == [(0, 60), (60, 120)]
