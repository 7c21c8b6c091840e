"""The built-in perceptual loss: on pictures of every size, and as it always was on those of usual size."""

import pytest
import torch
import torch.nn.functional as F

from speech2lip.training.losses import gradient_difference, ssim_map, structure


def _pictures(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 2, 3, height, width, generator=random)
    return a.requires_grad_(), b, torch.rand(1, 1, height, width, generator=random)


@pytest.mark.parametrize(("height", "width"), [(28, 32), (64, 96), (40, 29)])
def test_structure_of_usual_sizes_is_three_octaves_to_the_bit(height, width):
    a, b, mask = _pictures(height, width)
    total = a.new_zeros(())
    found = structure(a, b, mask)
    for level in range(3):
        weight = mask.expand(len(a), 1, -1, -1)[..., 3:-3, 3:-3]
        total = total + (weight * (1 - ssim_map(a, b))).sum() / weight.sum().clamp(min=1e-6) / 3
        if level < 2:
            a, b, mask = (F.avg_pool2d(x, 2) for x in (a, b, mask))
        if level == 0:
            total = total + gradient_difference(a, b, mask)
    assert torch.equal(found, total)


@pytest.mark.parametrize(("height", "width"), [(16, 32), (27, 32), (14, 14), (13, 32), (7, 7), (6, 32), (2, 2), (1, 9)])
def test_structure_of_small_pictures_uses_the_octaves_that_fit(height, width):
    a, b, mask = _pictures(height, width)
    loss = structure(a, b, mask)
    loss.backward()
    assert loss > 0.1 and torch.isfinite(a.grad).all() and a.grad.abs().sum() > 0
    assert structure(b, b, mask).abs() < 1e-6
