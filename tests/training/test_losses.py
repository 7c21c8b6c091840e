"""Losses against their formulas."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from speech2lip.metrics.image import ssim_map
from speech2lip.training import losses


def test_ssim_equals_its_formula():
    """Against Wang's formula with scipy's Gaussian filter of the same seven taps."""
    rng = np.random.default_rng(0)
    a = rng.random((40, 48))
    b = np.clip(a + rng.normal(0, 0.1, a.shape), 0, 1)
    ours = losses.ssim_map(*(torch.from_numpy(x)[None, None] for x in (a, b)))[0, 0]

    def mean(x):
        return gaussian_filter(x, 1.5, truncate=2.0)

    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    theirs = (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
    np.testing.assert_allclose(ours, theirs[3:-3, 3:-3], atol=1e-9)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99), st.floats(0.02, 0.05))
def test_ssim_of_the_loss_is_that_of_the_measure(seed, level):
    """On smooth pictures, where both windows (7 taps and 11) fit: the same places differ, and by as much."""
    rng = np.random.default_rng(seed)
    a, b = (gaussian_filter(rng.random((48, 40, 3)), (3, 3, 0)) for _ in range(2))
    a = (a - a.min()) / (a.max() - a.min())
    b = np.clip(0.9 * a + level * (b - b.mean()) / b.std(), 0, 1)
    loss = losses.ssim_map(*(torch.from_numpy(x).permute(2, 0, 1)[None] for x in (a, b)))[0, 0, 2:-2, 2:-2].numpy()
    measure = ssim_map(a, b)[1].mean(-1)[5:-5, 5:-5]
    assert (1 - loss).mean() == pytest.approx((1 - measure).mean(), rel=0.025)
    assert np.corrcoef(loss.ravel(), measure.ravel())[0, 1] > 0.994


@settings(deadline=None, max_examples=10)
@given(st.floats(0.01, 0.3))
def test_perceptual_loss_is_zero_for_equals_and_grows_with_noise(level):
    torch.manual_seed(0)
    a, mask = torch.rand(1, 3, 48, 48), torch.ones(1, 1, 48, 48)
    noise = torch.randn_like(a)
    small, large = (losses.structure(a, a + noise * s, mask) for s in (level, 2 * level))
    assert losses.structure(a, a, mask).abs() < 1e-5
    assert 0 < small < large


def test_masked_mse_ignores_what_the_mask_excludes():
    a, b = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    b[..., 0] = 9
    b[..., 3] = 0.5
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., 2:] = 1
    assert losses.masked_mse(a, b, mask).item() == pytest.approx(0.125)


def test_contrastive_loss_prefers_the_right_pair():
    eye = torch.eye(3)
    right = losses.contrastive(eye[:1], eye[:1], eye[None, 1:])
    wrong = losses.contrastive(eye[:1], eye[1:2], torch.stack([eye[0], eye[2]])[None])
    assert right < 0.01 < wrong


def _pictures(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 2, 3, height, width, generator=random)
    return a.requires_grad_(), b, torch.rand(1, 1, height, width, generator=random)


@pytest.mark.parametrize(("height", "width"), [(28, 32), (64, 96), (40, 29)])
def test_structure_of_usual_sizes_is_three_octaves_to_the_bit(height, width):
    a, b, mask = _pictures(height, width)
    total = a.new_zeros(())
    found = losses.structure(a, b, mask)
    for level in range(3):
        weight = mask.expand(len(a), 1, -1, -1)[..., 3:-3, 3:-3]
        total = total + (weight * (1 - losses.ssim_map(a, b))).sum() / weight.sum().clamp(min=1e-6) / 3
        if level < 2:
            a, b, mask = (F.avg_pool2d(x, 2) for x in (a, b, mask))
        if level == 0:
            total = total + losses.gradient_difference(a, b, mask)
    assert torch.equal(found, total)


@pytest.mark.parametrize(("height", "width"), [(16, 32), (27, 32), (14, 14), (13, 32), (7, 7), (6, 32), (2, 2), (1, 9)])
def test_structure_of_small_pictures_uses_the_octaves_that_fit(height, width):
    a, b, mask = _pictures(height, width)
    loss = losses.structure(a, b, mask)
    loss.backward()
    assert loss > 0.1 and torch.isfinite(a.grad).all() and a.grad.abs().sum() > 0
    assert losses.structure(b, b, mask).abs() < 1e-6
