"""Losses as pure functions of tensors; the trainer weighs and sums them."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

_TAPS = 7  # of the Gaussian of SSIM, in pixels


def masked_mse(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of pictures [B, C, H, W], weighed by mask [B or 1, 1, H, W]."""
    weight = mask.expand(len(a), a.shape[1], -1, -1)
    return ((a - b) ** 2 * weight).sum() / weight.sum().clamp(min=1e-6)


def structure(a: Tensor, b: Tensor, mask: Tensor, levels: int = 3) -> Tensor:
    """Built-in perceptual loss: (1 - multi-scale SSIM) plus the L1 distance of image gradients.

    a, b: [B, C, H, W] in [0, 1]; mask: [B or 1, 1, H, W] tells where it counts. SSIM uses a
    7-pixel Gaussian (sigma 1.5) on each of `levels` octaves, averaged (after Wang 2003), or on as many as the
    Gaussian fits into; gradients are those of pictures of half the size.
    """
    octaves = [level for level in range(levels) if min(a.shape[-2:]) >> level >= _TAPS]
    if not octaves:
        return gradient_difference(a, b, mask)
    total = a.new_zeros(())
    for level in octaves:
        weight = mask.expand(len(a), 1, -1, -1)[..., 3:-3, 3:-3]
        total = total + (weight * (1 - ssim_map(a, b))).sum() / weight.sum().clamp(min=1e-6) / len(octaves)
        if level + 1 < levels:
            a, b, mask = (F.avg_pool2d(x, 2) for x in (a, b, mask))
        if level == 0:
            total = total + gradient_difference(a, b, mask)
    return total


def perceptual_distance(net: nn.Module, a: Tensor, b: Tensor, mask: Tensor, least: int = 64) -> Tensor:
    """Mean LPIPS of pictures [B, 3, H, W] in [0, 1] that differ where mask [B or 1, 1, H, W] counts.

    net: `nets.pretrained.lpips.Lpips`. Pictures smaller than `least` pixels are enlarged, as AlexNet
    needs some room.
    """
    a = b + mask * (a - b)
    factor = max(1, -(-least // min(a.shape[-2:])))
    if factor > 1:
        a, b = (F.interpolate(x, scale_factor=factor, mode="bilinear") for x in (a, b))
    distance: Tensor = net(2 * a - 1, 2 * b - 1)
    return distance.mean()


def ssim_map(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity [B, 1, H - 6, W - 6] of the places where its window fits, averaged
    over channels; data range 1 (Wang 2004).

    For training: seven taps, two matrix products and gradients, where `metrics.image.ssim_map`
    is scikit-image's figure with eleven taps.
    """
    rows, columns = _blur_matrix(a.shape[-2], a), _blur_matrix(a.shape[-1], a).T
    ma, squares, ab = rows @ torch.stack([a, a * a + b * b, a * b]) @ columns
    mb = rows @ b @ columns  # on its own: a target needs no gradient
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * ma * mb + c1) * (2 * (ab - ma * mb) + c2)
    means = ma**2 + mb**2
    similarity = similarity / ((means + c1) * (squares - means + c2))
    return similarity.mean(1, keepdim=True)


def _blur_matrix(size: int, like: Tensor) -> Tensor:
    """[size - 6, size]: multiplies a column by a 7-tap Gaussian (sigma 1.5) at every place it fits."""
    x = torch.arange(-3.0, 4.0, device=like.device, dtype=like.dtype)
    kernel = torch.exp(-(x**2) / (2 * 1.5**2))
    rows = torch.arange(size - 6, device=like.device)[:, None]
    matrix = like.new_zeros(size - 6, size)
    return matrix.scatter_(1, rows + torch.arange(7, device=like.device), (kernel / kernel.sum()).expand(size - 6, 7))


def gradient_difference(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference of horizontal and vertical image gradients where mask [.., 1, H, W] counts."""
    difference = a - b
    weight = mask.expand(len(a), a.shape[1], -1, -1)
    across = (difference[..., 1:] - difference[..., :-1]).abs() * weight[..., 1:]
    down = (difference[..., 1:, :] - difference[..., :-1, :]).abs() * weight[..., 1:, :]
    return (across.sum() + down.sum()) / weight.sum().clamp(min=1e-6)


def shape_loss(predicted: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted squared error of standardised shape codes [..., K], averaged; weights [K] sum to 1."""
    return ((predicted - target) ** 2 * weights).sum(-1).mean()


def symmetric_contrast(lips: Tensor, audio: Tensor, frames: Tensor, apart: int, temperature: float = 0.1) -> Tensor:
    """InfoNCE in both directions within a batch of unit vectors [B, D]; of moments frames [B] closer than `apart`
    none is the other's negative."""
    logits = lips @ audio.T / temperature
    near = (frames[:, None] - frames).abs() < apart
    near.fill_diagonal_(False)
    logits = logits.masked_fill(near, -1e4)
    target = torch.arange(len(lips), device=lips.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def contrastive(anchor: Tensor, positive: Tensor, negatives: Tensor, temperature: float = 0.1) -> Tensor:
    """InfoNCE on unit vectors: anchor [B, D] against its positive [B, D] and negatives [B, M, D]."""
    first = (anchor * positive).sum(1, keepdim=True)
    rest = torch.einsum("bd,bmd->bm", anchor, negatives)
    logits = torch.cat([first, rest], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))
