"""What every file of a subject's folder must be: names, types, shapes, ranges.

Named sizes: T frames, S the side of the stored crop, K lip and chin landmarks, N pieces of continuous tracking, and
the components of a morphable model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ..arrays import LONGEST_CLIP, Entry, Unsound
from ..audio.features import check_params
from ..facemesh import LANDMARKS, MESH_POINTS

AGAIN = "preprocess the video again, or copy the file again from where it is sound"
_PIXELS = 1e6  # how far from the picture landmarks may lie
_MILLIMETRES = 1e7
LARGEST_PICTURE = 16_384
LARGEST_CROP = 4096
_LARGEST_LIP = 4096

TRACK = {
    "landmarks": Entry(("T", LANDMARKS, 2), low=-_PIXELS, high=_PIXELS),
    "valid": Entry(("T",), "b"),
    "rotvec": Entry(("T", 3), low=-100, high=100),
    "trans": Entry(("T", 3), low=-_MILLIMETRES, high=_MILLIMETRES),
    "mesh": Entry((MESH_POINTS, 3), low=-1e4, high=1e4),
    "exposure": Entry(("T", 2, 3), low=-1e4, high=1e4),
    "mouth": Entry(("T", "K", 2), low=-_PIXELS, high=_PIXELS),
    "hidden": Entry(("T",), "b", optional=True),
}
CLIP_LANDMARKS = {
    "landmarks": Entry(("T", LANDMARKS, 3), low=-_PIXELS, high=_PIXELS),
    "seen": Entry(("T",), "b"),
    "sharpness": Entry(("T",), low=0, high=1e12),
    "shots": Entry(("N", 2), "iu", 0, LONGEST_CLIP),
    "crop": Entry((4,), "iu", -LARGEST_PICTURE, 2 * LARGEST_PICTURE),
    "size": Entry((2,), "iu", 1, LARGEST_PICTURE),
    "person": Entry(("T",), "iu", -1, LONGEST_CLIP),
    "face": Entry((), "iu", 1, LONGEST_CLIP, optional=True),  # older folders have none
}
HEAD = {
    "rotvec": TRACK["rotvec"],
    "trans": TRACK["trans"],
    "mesh": TRACK["mesh"],
    "noise": Entry((6,), low=0, high=1e9),
    "valid": TRACK["valid"],
    "camera": Entry((3,), low=-1e5, high=1e6),
    "landmarks": TRACK["landmarks"],
    "segments": Entry(("N", 2), "iu", 0, LONGEST_CLIP),
    "residual": Entry((), low=0, high=1e6),
    "identity": Entry(("I",), optional=True),
    "expression": Entry(("T", "E"), optional=True),
}
DEPTH = Entry(("S", "S"), low=0, high=_MILLIMETRES)
GRID = Entry(("S", "S", 2), low=-1e4, high=1e4)


# ---------------------------------------------------------------- subject.json and metadata


def whole(name: str, value: Any, low: int, high: int) -> int:
    """A whole number between low and high, both allowed; Unsound for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Unsound(f"{name} is {_shown(value)}, allowed are whole numbers from {low} to {high}")
    return value


def number(name: str, value: Any, low: float, high: float) -> float:
    """A finite number between low and high, both allowed; Unsound for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise Unsound(f"{name} is {_shown(value)}, allowed are numbers from {low:g} to {high:g}")
    return float(value)


def text(name: str, value: Any, longest: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= longest or "\0" in value:
        raise Unsound(f"{name} is {_shown(value)}, needed is text of up to {longest} characters")
    return value


def record(name: str, value: Any, fields: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """An object of whole numbers: its fields with their lowest and highest values."""
    if not isinstance(value, Mapping) or set(value) != set(fields):
        raise Unsound(f"{name} is {_shown(value)}, needed are {', '.join(fields)}")
    return {k: whole(f"{name}.{k}", value[k], *bounds) for k, bounds in fields.items()}


def row(name: str, value: Any, bounds: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """A list of whole numbers, each with its lowest and highest value."""
    if not isinstance(value, (list, tuple)) or len(value) != len(bounds):
        raise Unsound(f"{name} is {_shown(value)}, needed are {len(bounds)} whole numbers")
    return tuple(whole(name, v, *b) for v, b in zip(value, bounds, strict=True))


_PICTURE = (1, LARGEST_PICTURE)
_PLACE = (-2 * LARGEST_PICTURE, 2 * LARGEST_PICTURE)
CROP = {"x": _PLACE, "y": _PLACE, "side": (1, 2 * LARGEST_PICTURE), "size": (16, LARGEST_CROP)}
BOX = {"left": _PLACE, "top": _PLACE, "width": (1, LARGEST_CROP), "height": (1, LARGEST_CROP)}
SIZE = (_PICTURE, _PICTURE)
LIP_SIZE = ((1, _LARGEST_LIP), (1, _LARGEST_LIP))
FPS = (1, 240)


def camera(value: Any) -> dict[str, float]:
    """focal, cx, cy in pixels."""
    if not isinstance(value, Mapping) or set(value) != {"focal", "cx", "cy"}:
        raise Unsound(f"camera is {_shown(value)}, needed are focal, cx, cy")
    bounds = {"focal": (1, 1e6), "cx": (-1e5, 1e5), "cy": (-1e5, 1e5)}
    return {name: number(f"camera.{name}", value[name], *bounds[name]) for name in bounds}


def shots(value: Any, frames: int) -> tuple[tuple[int, int], ...]:
    """[start, end) ranges in order, within the clip."""
    if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= frames:
        raise Unsound(f"shots is {_shown(value)}, needed are ranges of frames")
    out, end = [], 0
    for pair in value:
        start, stop = row("shots", pair, ((end, frames), (0, frames)))
        if stop <= start:
            raise Unsound(f"shots holds the empty range {start} to {stop}")
        out.append((start, stop))
        end = stop
    return tuple(out)


def audio(value: Any) -> dict[str, Any]:
    """Name and parameters of a feature backend."""
    if not isinstance(value, Mapping):
        raise Unsound(f"audio is {_shown(value)}, needed are a backend and its parameters")
    wrong = check_params(value)
    if wrong:
        raise Unsound(f"audio features {wrong}")
    return dict(value)


def region(value: Any, crop_size: int) -> int:
    """Side of the compositor's region; no head's is much larger than the crop."""
    return whole("region_size", value, 1, 4 * crop_size)


CONSENT = {  # how a person's consent is known, in words for the list of subjects
    "terminal": "asked on the terminal", "option": "said with --i-have-consent", "python": "said by the calling program",
    "unasked": "nobody could be asked", "synthetic": "no person: a synthetic speaker",
}  # fmt: skip
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def consent(value: Any) -> dict[str, Any]:
    """given, date and how of a `Consent`."""
    if not isinstance(value, Mapping) or set(value) != {"given", "date", "how"}:
        raise Unsound(f"consent is {_shown(value)}, needed are given, date, how")
    given, date, how = value["given"], value["date"], value["how"]
    dated = isinstance(date, str) and _DATE.fullmatch(date) is not None
    if not isinstance(given, bool) or not dated or not isinstance(how, str) or how not in CONSENT:
        raise Unsound(f"consent is {_shown(value)}, needed are true or false, a date, and one of {', '.join(CONSENT)}")
    return dict(value)


def _shown(value: Any) -> str:
    """At most 60 characters."""
    if isinstance(value, float) and not math.isfinite(value):
        return "no finite number"
    if isinstance(value, (list, tuple, dict)) and len(value) > 8:
        return f"a {type(value).__name__} of {len(value)} entries"
    if isinstance(value, int) and abs(value) > 10**50:
        return "a huge number"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
