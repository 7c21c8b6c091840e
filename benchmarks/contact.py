"""Contact sheets: a person's real mouths above the generated ones, at twice the source's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from speech2lip.evaluation.mouth import OPEN
from speech2lip.evaluation.protocols import Result
from speech2lip.facemesh import LIPS
from speech2lip.rendering.predictor import Predictor
from speech2lip.subject.index import SubjectIndex, parse_subject
from speech2lip.subject.records import Crop, extract

MOMENTS, ENLARGED = 5, 2
_AROUND = 1.0  # of the interocular distance: side of a picture, from under the nose to the chin
_PAPER, _INK, _GAP = (255, 255, 255), (20, 20, 20), 8
_SMALLEST, _LARGEST = (
    14,
    30,
)  # of letters, in pixels; between them they grow with the pictures, for a sheet is seen shrunk
_NARROWEST = 12  # of a column, in letters, so that a caption has room


@dataclass(frozen=True)
class Moment:
    """One frame: when it is (seconds of the clip), how far its real mouth is open (of the interocular distance), and its
    two pictures of equal size, RGB uint8."""

    seconds: float
    opening: float
    real: np.ndarray
    made: np.ndarray


def moments_of(predictor: Predictor, result: Result, test_fraction: float) -> list[Moment]:
    """Moments of protocol `self`, painted once more, because an evaluation keeps frames at the crop's size only."""
    index, real = parse_subject(predictor.layout, test_fraction), result.recordings["real"]
    crop = index.subject.crop
    side = max(round(_AROUND * float(np.nanmedian(real.scale)) / crop.scale), 8)
    usable = np.where(predictor.track.clear[result.source], real.opening, np.nan)
    out = []
    for number in open_moments(usable, round(index.subject.fps / 5)):
        frame = int(result.source[number])
        middle = (real.landmarks[number, LIPS].mean(0) + 0.5) / crop.scale - 0.5 + [crop.x, crop.y]
        square = Crop(*(middle - side / 2).round().astype(int).tolist(), side, side)
        out.append(_moment(predictor, index, frame, float(real.opening[number]), square))
    return out


def open_moments(opening: np.ndarray, apart: int, count: int = MOMENTS) -> list[int]:
    """Frames whose mouths are open to different degrees, from little to widest.

    opening: [T] of the interocular distance, NaN where it cannot be used; apart: frames between two of them at least, where
    there are enough. Where few mouths are open, closed ones fill up.
    """
    known = np.isfinite(opening)
    pool = known & (opening > OPEN) if (known & (opening > OPEN)).sum() >= count else known
    chosen: list[int] = []
    if not pool.any():
        return chosen
    for level in np.quantile(opening[pool], np.linspace(1, 0.1, count)):  # the widest has the first choice
        free = pool.copy()
        free[chosen] = False
        far = free & np.all([np.abs(np.arange(len(opening)) - c) >= apart for c in chosen], axis=0)
        candidates = np.flatnonzero(far if far.any() else free)
        if len(candidates):
            chosen.append(int(candidates[np.abs(opening[candidates] - level).argmin()]))
    return sorted(chosen, key=lambda c: float(opening[c]))


def strip(title: str, moments: Sequence[Moment]) -> np.ndarray:
    """RGB picture of one person: a title, and for every moment its caption, the real mouth and the generated one."""
    side = max(len(m.real) for m in moments) * ENLARGED
    letter = min(max(side // 13, _SMALLEST), _LARGEST)
    labels = [_text(name, 6 * letter, side, letter, "right") for name in ("real", "generated")]
    columns = [_below(_text("", 6 * letter, 2 * letter, letter), *labels), *(_column(m, side, letter) for m in moments)]
    body = np.hstack([_framed(c, left=_GAP) for c in columns])
    return np.vstack([_text(f" {title}", body.shape[1], 2 * letter, letter), body])


def line(text: str) -> np.ndarray:
    """RGB picture of a sentence, where there are no mouths to show."""
    return _text(f" {text}", 1600, 2 * _LARGEST, _LARGEST * 2 // 3)


def sheet(strips: Sequence[np.ndarray]) -> np.ndarray:
    """Persons below each other."""
    wide = max(s.shape[1] for s in strips) + _GAP
    return np.vstack([_framed(s, right=wide - s.shape[1], below=3 * _GAP) for s in strips])


def _moment(predictor: Predictor, index: SubjectIndex, frame: int, opening: float, square: Crop) -> Moment:
    painted = next(iter(predictor.render(index.windows[frame : frame + 1], frame)))
    real, made = (extract(picture, square) for picture in (painted.original, painted.image))
    return Moment(frame / index.subject.fps, opening, real, made)


def _column(moment: Moment, side: int, letter: int) -> np.ndarray:
    wide = max(side, _NARROWEST * letter)
    caption = _text(f"{moment.seconds:.2f} s, open {moment.opening:.0%}", wide, 2 * letter, letter, "middle")
    pictures = [cv2.resize(p, (side, side), interpolation=cv2.INTER_CUBIC) for p in (moment.real, moment.made)]
    left = (wide - side) // 2
    return _below(caption, *(_framed(p, left=left, right=wide - side - left) for p in pictures))


def _below(caption: np.ndarray, real: np.ndarray, made: np.ndarray) -> np.ndarray:
    return np.vstack([caption, _framed(real, below=_GAP), made])


def _framed(picture: np.ndarray, left: int = 0, right: int = 0, below: int = 0) -> np.ndarray:
    """A picture with paper around it."""
    return np.pad(picture, ((0, below), (left, right), (0, 0)), constant_values=255)


def _text(text: str, width: int, height: int, letter: int, at: str = "left") -> np.ndarray:
    """A box [height, width, 3] with one line of text, whose letters are made smaller until it fits."""
    from matplotlib.font_manager import findfont
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(findfont("DejaVu Sans"), letter)
    while font.getlength(text) > width and font.size > 8:
        font = font.font_variant(size=font.size - 1)
    page = Image.new("RGB", (width, height), _PAPER)
    x, anchor = {"left": (0.0, "lm"), "middle": (width / 2, "mm"), "right": (float(width), "rm")}[at]
    ImageDraw.Draw(page).text((x, height / 2), text, _INK, font, anchor)
    return np.asarray(page)
