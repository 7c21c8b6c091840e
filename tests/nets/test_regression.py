"""Ridge regression beside the speech encoder, against its closed form and on what it cannot know."""

import numpy as np
import pytest
import torch

from speech2lip.nets.regression import WindowRegression


def _pairs(windows: torch.Tensor, codes: torch.Tensor, size: int = 37):
    return lambda: zip(windows.split(size), codes.split(size), strict=True)


@pytest.fixture
def speech():
    generator = torch.Generator().manual_seed(0)
    windows = torch.randn(300, 8, 5, generator=generator)
    pooled = windows.reshape(300, 2, 4, 5).mean(2).transpose(1, 2).flatten(1)  # channels, then groups of rows
    codes = pooled @ torch.randn(10, 3, generator=generator) + torch.tensor([1.0, -2.0, 0.5])
    return windows, codes, pooled


def test_a_linear_law_is_found_whatever_the_pieces(speech):
    windows, codes, _ = speech
    whole, pieces = WindowRegression(8, 5, 3), WindowRegression(8, 5, 3)
    whole.fit(_pairs(windows, codes, 300), 1e-6)
    pieces.fit(_pairs(windows, codes), 1e-6)
    torch.testing.assert_close(whole(windows), codes, atol=1e-2, rtol=0)
    torch.testing.assert_close(pieces(windows), whole(windows), atol=1e-3, rtol=0)


def test_weights_are_those_of_the_closed_form(speech):
    windows, codes, pooled = speech
    regression = WindowRegression(8, 5, 3)
    regression.fit(_pairs(windows, codes), 2.0)
    x = ((pooled - pooled.mean(0)) / (pooled.std(0, unbiased=False) + 1e-3)).double().numpy()
    y = (codes - codes.mean(0)).double().numpy()
    expected = np.linalg.solve(x.T @ x + 2.0 * len(x) * np.eye(10), x.T @ y)
    np.testing.assert_allclose(regression.weight.numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(regression.bias.numpy(), codes.mean(0).numpy(), atol=1e-5)


def test_features_that_never_change_and_few_frames_are_borne(speech):
    windows, codes, _ = speech
    still = windows[:4].clone()
    still[..., 0] = 7.0
    regression = WindowRegression(8, 5, 3)
    regression.fit(_pairs(still, codes[:4]), 2.0)
    assert torch.isfinite(regression(windows)).all()


def test_the_share_says_how_far_it_is_believed(speech):
    windows, codes, _ = speech
    regression, said = WindowRegression(7, 5, 3), torch.zeros(300, 3)  # rows that are no multiple of four
    regression.fit(_pairs(windows[:, :7], codes), 2.0)
    torch.testing.assert_close(regression.mixed(windows[:, :7], said), said)  # not at all, until something is known
    regression.share.copy_(torch.tensor([1.0, 0.5, 0.0]))
    mixed, own = regression.mixed(windows[:, :7], said), regression(windows[:, :7])
    torch.testing.assert_close(mixed, own * regression.share)
