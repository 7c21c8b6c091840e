"""Picture quality of frames and of regions in them: PSNR, SSIM, seams."""

from __future__ import annotations

import numpy as np


def frame_psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio (dB) of pictures [H, W, ...]; where: [H, W] bool region. Equal ones give infinity."""
    error = (np.asarray(a, np.float64) - b) ** 2
    mean = float(error.mean() if where is None else error[where].mean())
    return float("inf") if mean == 0 else 10 * np.log10(data_range**2 / mean)


def frame_ssim(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None, data_range: float = 1.0) -> float:
    """Structural similarity with Gaussian weights of sigma 1.5 (Wang 2004, as scikit-image computes it).

    a, b: [H, W] or [H, W, 3]; where: [H, W] bool, the pixels whose similarity is averaged;
    without it scikit-image's own mean, which leaves out a border of five pixels.
    """
    from skimage.metrics import structural_similarity

    mean, similarity = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=data_range,
        channel_axis=-1 if a.ndim == 3 else None, full=True,
    )  # fmt: skip
    return float(mean) if where is None else float(similarity[where].mean())


def seam_gradient(image: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute gradient of a picture [H, W, 3] where a soft mask [H, W] rises from 0 to 1.

    Of a generated frame over that of the real one: 1 has no seam. NaN where the mask has no edge.
    """
    edge = (mask > 0.02) & (mask < 0.98)
    if not edge.any():
        return float("nan")
    image = np.asarray(image, np.float64)
    across = np.abs(np.diff(image, axis=1, append=image[:, -1:])).mean(-1)
    down = np.abs(np.diff(image, axis=0, append=image[-1:])).mean(-1)
    return float((across + down)[edge].mean())
