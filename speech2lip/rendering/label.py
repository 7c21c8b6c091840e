"""A visible mark in a corner of every rendered frame: white letters on a dark, see-through ground."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ..media.yuv import Kept, Overlay, laid_over

_HEIGHT = 0.03  # of capital letters, as a share of the frame's shorter side: 11 pixels of 360, 65 of 2160
_MARGIN = 0.02  # to the frame's edges, as a share of its shorter side
_PADDING = 0.7  # around the letters, in their height
_GROUND = 0.55  # how much of the frame the ground covers
_STROKE = 0.14  # width of a stroke, in the letters' height
_FINER = 4  # letters are drawn so many times larger, and made smaller with soft edges
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def label_overlay(text: str, size: tuple[int, int]) -> Overlay | None:
    """The mark for frames of `size` (width, height), in their lower left corner; None for an empty text.

    A text that is too long for the frame is drawn smaller.
    """
    if not text.strip():
        return None
    short, width = min(size), size[0]
    margin = max(round(_MARGIN * short), 2)
    height = max(round(_HEIGHT * short), 4)
    letters = _letters(text, height)
    room = width - 2 * margin - 2 * round(_PADDING * height)
    if letters.shape[1] > room:
        letters = _letters(text, max(height * max(room, 1) // letters.shape[1], 1))
    letters = letters[: size[1] - 2 * margin, : width - 2 * margin]
    alpha = 1 - (1 - _GROUND) * (1 - letters)
    grey = np.rint(255 * letters / alpha).astype(np.uint8)
    x, y = margin + margin % 2, size[1] - margin - len(letters)
    return Overlay(np.repeat(grey[..., None], 3, 2), alpha, (x, max(y - y % 2, 0)))


def _letters(text: str, height: int) -> np.ndarray:
    """How far letters of a height cover each pixel, float32 [h, w] in 0..1 with room around them; h and w are even."""
    fine = height * _FINER
    stroke = max(round(_STROKE * fine), 1)
    scale = cv2.getFontScaleFromHeight(_FONT, fine, stroke)
    (width, _), _ = cv2.getTextSize(text, _FONT, scale, stroke)
    padding = round(_PADDING * fine)
    unit = 2 * _FINER  # of fine pixels: a pair of pixels of the frame
    shape = [-(-side // unit) * unit for side in (fine + 2 * padding, width + 2 * padding)]
    drawn = np.zeros(shape, np.uint8)
    cv2.putText(drawn, text, (padding, padding + fine), _FONT, scale, 255, stroke, cv2.LINE_AA)
    small = cv2.resize(drawn, (shape[1] // _FINER, shape[0] // _FINER), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / 255


def labelled(frame: np.ndarray | Kept, overlay: Overlay | None) -> np.ndarray | Kept:
    """What the encoder is given, with the mark; see `Rendered.written`."""
    if overlay is None:
        return frame
    return replace(frame, overlay=overlay) if isinstance(frame, Kept) else laid_over(frame, overlay)
