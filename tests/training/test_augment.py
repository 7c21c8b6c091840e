"""Disturbed and mixed audio windows."""

import numpy as np
import torch

from speech2lip.audio.backend import Stream
from speech2lip.training.augment import augment, mix


def test_mixed_samples_keep_their_mouths():
    """Windows and codes are blended in the same shares with the same partners."""
    windows, codes = torch.arange(8.0)[:, None, None].expand(8, 3, 2), torch.arange(8.0)[:, None] * 10
    blended, target = mix(windows, codes, np.random.default_rng(0), 0.4)
    torch.testing.assert_close(10 * blended[:, 0, :1], target)
    assert (blended[:, 0, 0] != windows[:, 0, 0]).any() and blended.min() >= 0 and blended.max() <= 7
    same = mix(windows, codes, np.random.default_rng(0), 0.0)
    assert same[0] is windows and same[1] is codes


def test_disturbances_can_be_switched_off():
    windows, streams = torch.randn(6, 20, 100), (Stream(80, True), Stream(20, False))
    assert augment(windows, torch.Generator(), streams, 0) is windows
    weak, strong = (augment(windows, torch.Generator().manual_seed(0), streams, s) - windows for s in (0.3, 1.0))
    for part in (slice(80), slice(80, None)):
        assert 0 < weak[..., part].square().mean() < strong[..., part].square().mean()
    assert strong[..., 80:].std() < 0.12  # what is no spectrum gets a little noise only
