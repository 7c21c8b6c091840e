"""Exposure of frames."""

import numpy as np

from speech2lip.canonical.exposure import NEUTRAL, match_colour, steady


def test_colour_match_recovers_gain_and_offset_despite_outliers():
    rng = np.random.default_rng(0)
    reference = rng.uniform(60, 220, (400, 3))
    observed = 1.1 * reference - 6
    observed[:40] = 0
    found = match_colour(reference, observed)
    for level in (60, 140, 220):
        np.testing.assert_allclose(found[0] * level + found[1], 1.1 * level - 6, atol=1.0)


LEVEL = np.array([180.0, 130, 110])


def _measured(light: np.ndarray, noise: float = 0.002) -> np.ndarray:
    """Exposure [T, 2, 3] as it is measured under light [T, 3]."""
    out = np.tile(NEUTRAL, (len(light), 1, 1))
    out[:, 0] = light * (1 + np.random.default_rng(0).normal(0, noise, light.shape))
    return out


def test_noise_is_averaged_away_while_light_is_calm():
    slow = np.repeat(1 + 0.1 * np.sin(np.arange(200) / 60)[:, None], 3, 1)
    found = steady(_measured(slow), np.array([[0, 200]]), LEVEL)
    assert np.abs(found[12:-12, 0] - slow[12:-12]).max() < 0.003 and np.std(np.diff(found[:, 0], 2, axis=0)) < 0.0005


def test_exposure_follows_light_that_changes_within_two_frames():
    """A flash, a flicker with colour casts and a lasting step; the average over a second is over 20 % off."""
    light = np.ones((200, 3))
    light[20:22] = 1.4
    for k in range(60, 100, 2):
        light[k : k + 2] = np.random.default_rng(k).uniform(0.6, 1.4, 3)
    light[150:] = [0.6, 0.7, 0.9]
    found = steady(_measured(light), np.array([[0, 200]]), LEVEL)
    assert np.abs(found[:, 0] / light - 1).max() < 0.06
    calm = np.abs(steady(_measured(light), np.array([[0, 200]]), np.zeros(3))[:, 0] / light - 1)
    assert calm.max() > 0.2, "an average alone does not follow"


def test_cuts_are_not_averaged_over():
    light = np.ones((80, 3))
    light[40:] = 1.02
    found = steady(_measured(light, 0.0), np.array([[0, 40], [40, 80]]), LEVEL)
    np.testing.assert_allclose(found[:, 0], light, atol=1e-9)
