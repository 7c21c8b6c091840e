"""The face: how large, how turned, how sharp, how lit."""

from __future__ import annotations

import cv2
import numpy as np

from ..facemesh import FACE_OVAL
from ..media.coding import Coding
from .finding import NOTE, OK, SEVERITIES, WARNING, Finding, graded, spans_of
from .material import Pixels

_WIDTH_NOTE, _WIDTH_WARNING = (
    100.0,
    60.0,
)  # pixels; GRID's face of 104 is learned well, a mouth in one of 60 is 20 pixels wide
_SHARP_NOTE, _SHARP_WARNING = (
    90.0,
    50.0,
)  # pixels of detail across the face: as above, a little less for natural softness
# Detail of a picture that is sharp at its own size: real ones have 0.67 to 1.1, blurred by one pixel 0.52 to 0.62.
_OCTAVE = 0.62
_HALVES = 3  # sizes at which detail is looked for: full, half, quarter
_MOTION = 0.3  # of the usual sharpness around it, below which a frame is taken for blurred by motion
_MOTION_NOTE, _MOTION_WARNING = 0.03, 0.15  # share of frames
_TURN_NOTE, _TURN_WARNING = (
    35.0,
    50.0,
)  # degrees of the usual yaw; a three-quarter view of 30 is learned, beyond 50 half of the mouth is hidden
_RANGE_NOTE, _RANGE_WARNING = 45.0, 80.0  # degrees of yaw, or of pitch, between the extremes; real clips have 5 to 34
_FAR = 50.0  # degrees from the front at which a frame shows half a mouth
_FAR_SHARE = 0.1
_DARK_NOTE, _DARK_WARNING = 70.0, 45.0  # median brightness of the face, 0..255; real clips have 90 to 170
_CONTRAST_NOTE, _CONTRAST_WARNING = (
    55.0,
    35.0,
)  # levels between the face's dark and bright parts; real clips have 80 or more
_BURNT_NOTE, _BURNT_WARNING = 0.05, 0.15  # share of the face at the end of the range, where there is no detail
_FLICKER_NOTE, _FLICKER_WARNING = 0.02, 0.06  # of the face's brightness, usual change from frame to frame
_QUANTISER_NOTE, _QUANTISER_WARNING = 30.0, 36.0  # of H.264: about 23 is usual, from 36 on pores and teeth are gone
_BITS = 0.005  # per pixel, of other codecs; a clean HEVC clip in our tests has 0.010
# Points to the right and left in the picture that mirror each other, and two on the middle line, still in speech.
_RIGHT, _LEFT = np.array([263, 362, 454, 356, 389, 251]), np.array([33, 133, 234, 127, 162, 21])
_TOP, _BASE = 10, 2


def face_size(landmarks: np.ndarray, seen: np.ndarray, scale: float) -> Finding:
    """landmarks: [T, 478, 3] crop pixels; seen: [T] bool; scale: crop pixels per source pixel."""
    width = float(np.median(_widths(landmarks[seen]))) / scale
    severity = graded(width, _WIDTH_NOTE, _WIDTH_WARNING)
    remedy = "" if severity == OK else "Film closer, or at a higher resolution."
    return Finding("face_size", severity, f"the face is {width:.0f} pixels wide", remedy)


def _widths(landmarks: np.ndarray) -> np.ndarray:
    """Largest extent [N] of the face's outline across the picture, in pixels of `landmarks` [N, 478, 2+]."""
    outline = landmarks[:, FACE_OVAL, 0]
    return np.asarray(outline.max(1) - outline.min(1), np.float64)


def head_angles(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks [T, 478, 3] -> [T, 3] degrees: yaw (0 is the front, positive: the picture's right half of the face is
    farther away), pitch and roll (both 0 at their median)."""
    right, left = landmarks[:, _RIGHT].mean(1), landmarks[:, _LEFT].mean(1)
    x, y, z = (right - left).T
    down = landmarks[:, _BASE] - landmarks[:, _TOP]
    yaw, roll = np.arctan2(z, np.hypot(x, y)), np.arctan2(y, x)
    pitch = np.arctan2(down[:, 2], np.hypot(down[:, 0], down[:, 1]))
    out = np.degrees(np.stack([yaw, pitch, roll], 1).astype(np.float64))
    out[:, 1:] -= np.median(out[:, 1:], axis=0) if len(out) else 0
    return out


def pose_range(landmarks: np.ndarray, seen: np.ndarray) -> Finding:
    """How far the head turns; landmarks: [T, 478, 3]; seen: [T] bool."""
    angles = head_angles(landmarks[seen])
    low, high = np.percentile(angles, [2, 98], axis=0)
    usual, far = float(np.median(np.abs(angles[:, 0]))), np.zeros(len(seen), bool)
    far[seen] = np.abs(angles[:, 0]) > _FAR
    widest = float((high - low)[:2].max())
    severity = max(
        graded(usual, _TURN_NOTE, _TURN_WARNING), graded(widest, _RANGE_NOTE, _RANGE_WARNING), key=SEVERITIES.index
    )
    if far.mean() > _FAR_SHARE:
        severity = WARNING
    text = f"the head turns from {low[0]:.0f} to {high[0]:.0f} degrees, and nods by {high[1] - low[1]:.0f}"
    remedy = "" if severity == OK else "Film more from the front."
    return Finding("pose_range", severity, text, remedy, spans_of(far))


def octave_detail(grey: np.ndarray) -> np.ndarray:
    """Detail of a face [h, w] float32 at full, half and quarter size: [3], the deviation of its finest octave over
    that of the next. A picture of 1/f has about 1, a blurred one little."""
    return np.array([_finest(grey, 2**k) for k in range(_HALVES)])


def _finest(grey: np.ndarray, smaller: int) -> float:
    if smaller > 1:
        grey = cv2.resize(grey, None, fx=1 / smaller, fy=1 / smaller, interpolation=cv2.INTER_AREA)
    one, two = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in (1.0, 2.0))
    return float((grey - one).std() / max(float((one - two).std()), 1e-3))


def blur(octaves: np.ndarray, landmarks: np.ndarray, seen: np.ndarray, scale: float) -> Finding:
    """How many pixels of real detail lie across the face; octaves: [N, 3] of sampled faces (`octave_detail`);
    landmarks: [T, 478, 3] crop pixels; scale: crop pixels per source pixel. What is measured is the stored crop: no
    more than `face.max_crop`."""
    width = float(np.median(_widths(landmarks[seen])))
    halvings = _halvings(np.median(octaves, 0)) if len(octaves) else 0  # of a tiny face, `face_size` says enough
    detail = width / 2**halvings
    severity = graded(detail, _SHARP_NOTE, _SHARP_WARNING) if halvings else OK  # a small sharp face is `face_size`'s
    text = f"the face has the detail of a sharp one {detail:.0f} pixels wide (it is {width / scale:.0f})"
    return Finding(
        "blur", severity, text, "" if severity == OK else "Focus on the face, or use the original recording."
    )


def _halvings(octaves: np.ndarray) -> int:
    """How often a picture is halved until it is sharp, and stays so: grain on a blurred picture is fine detail
    alone."""
    soft = np.flatnonzero(octaves < _OCTAVE)
    return int(soft[-1]) + 1 if len(soft) else 0


def motion_blur(sharpness: np.ndarray, seen: np.ndarray, shots: tuple[tuple[int, int], ...]) -> Finding:
    """Frames that are much softer than their second; sharpness: [T], any unit, of the face."""
    soft = np.zeros(len(seen), bool)
    for start, end in shots:
        inside = np.arange(start, end)[seen[start:end]]
        for part in np.array_split(inside, max(1, len(inside) // 50)):
            soft[part] = sharpness[part] < _MOTION * np.median(sharpness[part]) if len(part) else False
    share = float(soft[seen].mean())
    severity = graded(share, _MOTION_NOTE, _MOTION_WARNING)
    remedy = "" if severity == OK else "Use more light and a shorter exposure time, or leave those parts out."
    return Finding("motion_blur", severity, f"{share:.0%} of the frames are blurred by motion", remedy, spans_of(soft))


def darkness(pixels: Pixels) -> Finding:
    """Whether the face is too dark."""
    luma = float(np.nanmedian(pixels.face_luma))
    severity = graded(luma, _DARK_NOTE, _DARK_WARNING)
    text = f"the face has brightness {luma:.0f} of 255"
    return Finding("darkness", severity, text, "" if severity == OK else "Put more light on the face.")


def contrast(pixels: Pixels) -> Finding:
    """Whether the face is flat: fog, a raised black level, a faded film."""
    levels = float(np.nanmedian(pixels.face_high - pixels.face_low))
    severity = graded(levels, _CONTRAST_NOTE, _CONTRAST_WARNING)
    text = f"dark and bright parts of the face are {levels:.0f} levels of 255 apart"
    return Finding(
        "contrast", severity, text, "" if severity == OK else "Correct levels, or use the original recording."
    )


def burnt(pixels: Pixels) -> Finding:
    """Whether parts of the face are overexposed."""
    share = float(np.nanmedian(pixels.face_burnt))
    severity = graded(share, _BURNT_NOTE, _BURNT_WARNING)
    text = f"{share:.0%} of the face is at the end of the range"
    return Finding("overexposure", severity, text, "" if severity == OK else "Lower the exposure, or use softer light.")


def flicker(pixels: Pixels, shots: tuple[tuple[int, int], ...]) -> Finding:
    """Whether the light on the face changes from frame to frame."""
    rise = np.abs(np.diff(pixels.face_luma)) / np.maximum(pixels.face_luma[1:], 1)
    rise[[start - 1 for start, _ in shots if 0 < start <= len(rise)]] = np.nan
    usual = float(np.nanmean(rise)) if np.isfinite(rise).any() else 0.0
    severity = graded(usual, _FLICKER_NOTE, _FLICKER_WARNING)
    text = f"the light on the face changes by {usual:.1%} from frame to frame"
    return Finding("flicker", severity, text, "" if severity == OK else "Film under steady light.")


def compression(coding: Coding) -> Finding:
    """How strongly the file is compressed. What was compressed before it became this file shows as `blur` alone."""
    if np.isfinite(coding.quantiser):
        severity = graded(coding.quantiser, _QUANTISER_NOTE, _QUANTISER_WARNING)
        text = f"{coding.codec} quantises by {coding.quantiser:.0f} (0 to 51)"
    else:
        severity = NOTE if 0 < coding.bits_per_pixel < _BITS else OK
        text = (
            f"{coding.codec} uses {coding.bits_per_pixel:.3f} bits per pixel" if coding.bits_per_pixel else "pictures"
        )
    return Finding("compression", severity, text, "" if severity == OK else "Use the file as the camera wrote it.")
