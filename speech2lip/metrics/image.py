"""Picture quality of frames and of regions in them: PSNR, SSIM, seams."""

from __future__ import annotations

import numpy as np

from .basic import decibels


def frame_psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio (dB) of pictures [H, W, ...]; where: [H, W] bool region. Equal ones give infinity.

    In float64 over exactly the region, for finished files; `basic.psnr` is for weighted batches of tensors.
    """
    a, b = (np.asarray(x if where is None else x[where], np.float64) for x in (a, b))
    return decibels(float(np.mean((a - b) ** 2)), data_range)


def ssim_map(a: np.ndarray, b: np.ndarray, data_range: float = 1.0) -> tuple[float, np.ndarray]:
    """Structural similarity with Gaussian weights of sigma 1.5 (Wang 2004) by scikit-image.

    a, b: [H, W] or [H, W, 3]. Returns its own mean, which leaves out a border of five pixels,
    and the similarity of every place, of the shape of `a`. This is the figure that papers give:
    a window of 11 pixels that also reaches over the border. The loss (`training.losses.ssim_map`)
    has 7, at places where they fit, with gradients; tests hold the two together.
    """
    from skimage.metrics import structural_similarity

    mean, similarity = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=data_range,
        channel_axis=-1 if a.ndim == 3 else None, full=True,
    )  # fmt: skip
    return float(mean), np.asarray(similarity)


def seam_gradient(image: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute slope of a picture [H, W, 3] across the edge of a soft mask [H, W], in its units per pixel.

    The slope is taken along the mask's own gradient, where the mask is neither 0 nor 1. Of a
    generated frame over that of the real one: 1 has no seam. NaN where the mask has no edge.
    """
    rows, columns = (np.flatnonzero((mask > 0).any(axis)) for axis in (1, 0))
    if not len(rows):
        return float("nan")
    part = tuple(slice(max(x[0] - 2, 0), x[-1] + 3) for x in (rows, columns))
    image, mask = image[part], mask[part]
    edge = (mask > 0.02) & (mask < 0.98)
    down, across = np.gradient(np.asarray(mask, np.float64))
    steep = np.hypot(down, across)
    edge &= steep > 1e-6
    if not edge.any():
        return float("nan")
    slope_down, slope_across = np.gradient(np.asarray(image, np.float64), axis=(0, 1))
    slope = slope_down[edge] * (down / (steep + 1e-12))[edge][:, None]
    slope += slope_across[edge] * (across / (steep + 1e-12))[edge][:, None]
    return float(np.abs(slope).mean())
