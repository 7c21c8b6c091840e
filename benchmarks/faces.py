"""Are people told apart over cuts? Every two clips joined, and every clip cut into pieces in other light and size.

    python benchmarks/faces.py CLIPS...

Each clip shows one person, and each another. Prints a table of false merges (two people of a join are taken for one) and false splits
(pieces of one clip are taken for two people), for shots of several lengths, and how far the nearest people, and the pieces of
one, are apart. Nothing is trained and nothing is kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speech2lip.threads import settle_threads

settle_threads()

import cv2
import numpy as np

from speech2lip.config import Config
from speech2lip.detection.detect import FaceDetector, FaceMesh
from speech2lip.detection.identity import group_people, unlike
from speech2lip.detection.survey import SURVEY_SIDE, _look
from speech2lip.errors import run_guarded
from speech2lip.media.decode import read_frames

EVERY = 0.8  # seconds between looks, half as often as in a survey
LENGTHS = (0.8, 2.4, 6.0)  # seconds of a shot


def _lit(frame: np.ndarray, left: float, right: float) -> np.ndarray:
    gain = np.linspace(left, right, frame.shape[1])[None, :, None]
    return (frame * gain).clip(0, 255).astype(np.uint8)


def _sized(frame: np.ndarray, scale: float) -> np.ndarray:
    return np.asarray(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


LOOKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda f: f,
    "light from the left": lambda f: _lit(f, 1.4, 0.5),
    "light from the right": lambda f: _lit(f, 0.5, 1.4),
    "dark": lambda f: (255 * (f / 255.0) ** 1.8).astype(np.uint8),
    "half as large": lambda f: _sized(f, 0.5),
    "grey and soft": lambda f: np.repeat(
        cv2.GaussianBlur(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (0, 0), 1.5)[..., None], 3, 2
    ),
}


def looks_of(clip: Path, seconds: float) -> dict[str, list[np.ndarray]]:
    """Embeddings of the largest face, by the way it is shown."""
    out: dict[str, list[np.ndarray]] = {name: [] for name in LOOKS}
    with closing(FaceDetector()) as detector, closing(FaceMesh(static=True)) as mesh:
        for number, frame in enumerate(read_frames(clip, 25.0, SURVEY_SIDE)):
            if number >= seconds * 25:
                break
            if number % round(EVERY * 25) == 0:
                for name, change in LOOKS.items():
                    shown = change(frame)
                    boxes = detector(shown)
                    look = _look(mesh, shown, max(boxes, key=lambda b: b[3])) if len(boxes) else None
                    if look is not None:
                        out[name].append(look)
    return out


def shots_of(looks: dict[str, list[np.ndarray]], seconds: float) -> list[np.ndarray]:
    """Pieces of every way of showing a clip."""
    count = max(1, round(seconds / EVERY))
    return [
        np.array(own[k : k + count])
        for own in looks.values()
        for k in range(0, len(own), count)
        if len(own[k : k + count])
    ]


def nearest(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    return float(unlike(np.concatenate(a), np.concatenate(b)).min())


def link_needed(shots: list[np.ndarray]) -> float:
    """The smallest threshold at which all shots are one person's."""
    low, high = 0.0, 2.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if len(set(group_people(shots, middle).tolist())) == 1 else (middle, high)
    return high


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, help="videos, each of another person alone")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each clip (default 12)")
    options = parser.parse_args()
    return run_guarded(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    threshold = Config().face.same_person
    people = {clip.stem: looks_of(clip, options.seconds) for clip in options.clips}
    pairs = list(combinations(people, 2))
    print(f"threshold {threshold:g} (face.same_person), {len(people)} people, {len(pairs)} joins\n")
    print("| shots of | pieces | false splits | joins | false merges | one person needs | two people at least |")
    print("|---|---|---|---|---|---|---|")
    for seconds in LENGTHS:
        shots = {name: shots_of(looks, seconds) for name, looks in people.items()}
        split = [name for name, own in shots.items() if len(set(group_people(own, threshold).tolist())) > 1]
        merged = []
        for a, b in pairs:
            found = group_people([*shots[a], *shots[b]], threshold)
            if set(found[: len(shots[a])].tolist()) & set(found[len(shots[a]) :].tolist()):
                merged.append((a, b))
        own, apart = (
            {n: link_needed(s) for n, s in shots.items()},
            {p: nearest(shots[p[0]], shots[p[1]]) for p in pairs},
        )
        worst, closest = max(own, key=lambda n: own[n]), min(apart, key=lambda p: apart[p])
        print(
            f"| {seconds:g} s | {sum(map(len, shots.values()))} | {len(split)} of {len(people)} {' '.join(split)} | {len(pairs)} | {len(merged)} "
            f"{merged or ''} | {own[worst]:.2f} ({worst}) | {apart[closest]:.2f} ({' and '.join(closest)}) |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
