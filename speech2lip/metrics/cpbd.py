"""CPBD sharpness: cumulative probability of blur detection (Narvekar and Karam 2011).

Follows the reference implementation to the last digit (Canny blocks, thinned Sobel edges,
Marziliano widths along rows), but vectorised: widths are run lengths of a monotone row.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import convolve2d

BLOCK = 64
_EDGE_SHARE = 0.002  # of a block's pixels; more edge pixels make it an edge block
_BETA = 3.6
_LONGEST = 100  # pixels an edge is followed to each side


def cpbd(image: np.ndarray) -> float:
    """Share of edges, in blocks with edges, whose blur is not noticed: 1 sharp, 0 blurred or no edge at all.

    image: [H, W] luma in 0..255; parts of blocks at the right and bottom do not count.
    """
    from skimage.feature import canny

    image = np.asarray(image, np.float64)
    height, width = (side // BLOCK * BLOCK for side in image.shape)
    edges = canny(image)[:height, :width]
    widths = _edge_widths(image, _sobel_edges(image))[:height, :width]
    blocks = [_blocks(x) for x in (image[:height, :width], edges, widths)]
    counted = blocks[1].sum(1) > BLOCK * BLOCK * _EDGE_SHARE
    contrast = (blocks[0].max(1) - blocks[0].min(1)).astype(int)
    noticeable = np.where(contrast <= 50, 5.0, 3.0)
    probability = 1 - np.exp(-((blocks[2] / noticeable[:, None]) ** _BETA))
    probability = probability[counted[:, None] & (blocks[2] > 0)]
    return float((np.round(probability * 100) <= 63).mean()) if len(probability) else 0.0


def _blocks(values: np.ndarray) -> np.ndarray:
    """[H, W] -> [blocks, BLOCK * BLOCK]."""
    rows, columns = values.shape[0] // BLOCK, values.shape[1] // BLOCK
    return values.reshape(rows, BLOCK, columns, BLOCK).transpose(0, 2, 1, 3).reshape(rows * columns, -1)


def _sobel_edges(image: np.ndarray) -> np.ndarray:
    """Vertical edges [H, W] bool: squared horizontal gradient above a threshold, thinned to local maxima."""
    kernel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]]) / 8
    strength = convolve2d(image, kernel, mode="same", boundary="symm") ** 2
    strength[strength <= 2 * np.sqrt(strength.mean())] = 0
    padded = np.pad(strength, 1)
    across = (strength > padded[1:-1, :-2]) & (strength > padded[1:-1, 2:])
    down = (strength > padded[:-2, 1:-1]) & (strength > padded[2:, 1:-1])
    return across | down


def _edge_widths(image: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Marziliano's width [H, W] of edges that run roughly upright, 0 elsewhere."""
    down, across = np.gradient(image)
    angle = 45 * np.round(np.where(across != 0, np.degrees(np.arctan2(down, across)), 0.0) / 45)
    step = np.diff(image, axis=1)
    out = np.zeros(image.shape)
    for chosen, monotone in ((angle == 0, step > 0), (np.abs(angle) == 180, step < 0)):
        rising = _width(monotone)
        use = chosen & edges
        out[:, 2:-2][use[:, 2:-2]] = rising[use[:, 2:-2]]
        for column in (1, -2):
            out[use[:, column], column] = _border_width(monotone, column)[use[:, column]]
    out[[0, -1]] = 0
    out[:, [0, -1]] = 0
    return out


def _width(monotone: np.ndarray) -> np.ndarray:
    """Left and right run lengths around columns 2 .. W - 3, plus one pixel on each side."""
    left = np.minimum(_runs(monotone), _LONGEST)
    right = np.minimum(_runs(monotone[:, ::-1])[:, ::-1], _LONGEST)
    return left[:, :-3] + right[:, 3:] + 2


def _border_width(monotone: np.ndarray, column: int) -> np.ndarray:
    """The same at column 1 (nothing to its left) or -2 (nothing to its right)."""
    if column == 1:
        return np.minimum(_runs(monotone[:, ::-1])[:, ::-1], _LONGEST)[:, 2] + 2
    return np.minimum(_runs(monotone), _LONGEST)[:, -3] + 2


def _runs(flags: np.ndarray) -> np.ndarray:
    """Length of the run of True that ends at each place of each row [H, W]."""
    position = np.arange(flags.shape[1])
    last_break = np.maximum.accumulate(np.where(flags, -1, position), axis=1)
    return position - last_break
