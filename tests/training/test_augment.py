"""Disturbed and mixed audio windows."""

import numpy as np
import torch

from speech2lip.audio.backend import Stream
from speech2lip.training.augment import augment, hold, mix


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


def test_ends_that_were_not_heard_yet_are_the_row_before():
    """As live rendering hands them over; at most so many rows, in about half of the windows, and the others as they are."""
    windows = torch.arange(20.0)[None, :, None].expand(400, -1, 3) + torch.arange(400.0)[:, None, None] * 100
    held = hold(windows, np.random.default_rng(0), 6)
    ends = held[:, -1, 0] - windows[:, 0, 0]  # the row that stands at the end
    missing = (19 - ends).long()
    assert set(missing.tolist()) == set(range(7)) and 0.35 < (missing > 0).float().mean() < 0.5
    for k, window in zip(missing.tolist(), held - windows[:, :1], strict=True):
        assert window[:, 0].tolist() == [min(row, 19 - k) for row in range(20)]
    assert hold(windows, np.random.default_rng(0), 0) is windows
