"""Any generated video beside the real one of the same frames; no model, no subject folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from ..detection.crop import head_crop, usual_boxes
from ..detection.detect import FaceMesh
from ..detection.survey import survey_clip
from ..errors import UserError
from ..facemesh import interocular, mouth_opening
from ..media.decode import read_frames
from ..media.probe import check_video, expected_frames, probe
from ..media.sound import SAMPLE_RATE, load_audio
from ..progress import track as progress
from ..subject.records import Crop
from .protocols import LEAST, Measured, Result, finish, load_pretrained_metrics
from .recording import Recorder, landmark_mask
from .summary import STILL
from .view import View, view_of

_MAX_CROP = 640
_CANDIDATES = 60  # frames among which the control's mouth is looked for


def evaluate_pair(generated: Path, real: Path, kept: Path) -> Result:
    """Measure `generated` against `real`, frame by frame, at the generated video's rate.

    Both show the same frames at the same size. The region that may differ is not known: it
    is taken from the real landmarks (lips and chin, with a margin). The control freezes the
    mouth by pasting one resting mouth of the real video into all its frames.
    """
    fps = check_video(generated).fps or 25.0
    check_video(real)
    if said := unlike_lengths(generated, real, fps):
        print(f"warning: {said}", file=sys.stderr)
    found = survey_clip(real, fps, LEAST)
    boxes = usual_boxes([track.boxes for track in found.people[0].tracks])
    crop = head_crop(boxes, *found.size, _MAX_CROP)
    pretrained = load_pretrained_metrics(fps)
    recorders = {
        name: Recorder(kept / "pair" / name, pretrained.syncnet is not None, pretrained.lpips)
        for name in ("real", "generated", "frozen")
    }
    resting = _resting(real, fps, crop, found.frames)
    starts = {start for start, _ in found.shots if start > 0}
    finder, count = FaceMesh(), 0
    for picture, truth in progress(_both(generated, real, fps), "measuring", found.frames):
        if count in starts:
            finder.reset()
        image, target = view_of(picture, crop), view_of(truth, crop)
        points = finder(target.image)
        mask, frozen = _frozen(resting, target, points) if points is not None else (None, target)
        for name, shown in (("real", target), ("generated", image), ("frozen", frozen)):
            recorders[name].add(shown, mask, target, cut=count in starts)
        count += 1
    finder.close()
    recordings = {name: recorder.finish() for name, recorder in recorders.items()}
    if count < LEAST:
        raise UserError(f"{generated} and {real} have {count} frames in common, needed are {LEAST}: give longer videos")
    wav = _sound(generated, real)
    if wav is None:
        pretrained.missing["Correlation with the sound, silence"] = "neither video has sound"
        wav = np.zeros(0, np.float32)
    wav = wav[: round(count / fps * SAMPLE_RATE)]
    measured = Measured("pair", recordings, "real", "real", wav, np.arange(count))
    return finish(measured, fps, kept / "pair", pretrained)


def unlike_lengths(generated: Path, real: Path, fps: float) -> str:
    """A sentence where two videos differ by more than a tenth or a second in length, else ""."""
    made, true = (expected_frames(path, fps) for path in (generated, real))
    if not made or not true or abs(made - true) <= min(0.1 * true, fps):
        return ""
    return (
        f"{generated} has {made} frames, {real} {true}: only the first {min(made, true)} are compared, which tells something "
        "only where both show the same frames and say the same words; is it the same speech?"
    )


def _both(generated: Path, real: Path, fps: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frames of both, side by side, as long as both last."""
    made, true = read_frames(generated, fps), read_frames(real, fps)
    with closing(made), closing(true):
        for a, b in zip(made, true, strict=False):
            if a.shape != b.shape:
                sizes = " and ".join(f"{s[1]}x{s[0]}" for s in (a.shape, b.shape))
                raise UserError(
                    f"{generated} and {real} have frames of {sizes} pixels: give two videos of the same frames at one size"
                )
            yield a, b


def _resting(real: Path, fps: float, crop: Crop, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """The face at the source's resolution, [N, N, 3], in the frame, among some, whose mouth is open as far as it is on
    average; and its landmarks [478, 2] there."""
    finder = FaceMesh()
    seen: list[tuple[float, int, np.ndarray]] = []
    every = max(1, frames // _CANDIDATES)
    for number, frame in enumerate(read_frames(real, fps)):
        if number % every == 0:
            finder.reset()
            view = view_of(frame, crop)
            points = finder(view.image)
            if points is not None:
                opening = float(mouth_opening(points) / interocular(points))
                seen.append((opening, number, view.to_native(points[:, :2])))
    finder.close()
    if not seen:
        raise UserError(f"no face was found in {real}: give a video in which one person's face is well visible")
    usual = np.mean([opening for opening, _, _ in seen])
    _, number, points = min(seen, key=lambda s: abs(s[0] - usual))
    with closing(read_frames(real, fps, start=number)) as again:
        return view_of(next(again), crop).native, points


def _frozen(resting: tuple[np.ndarray, np.ndarray], target: View, points: np.ndarray) -> tuple[View, View]:
    """The region that may differ, by landmarks [478, 2+] of `target.image`, and the target with the resting mouth there."""
    own = target.to_native(points[:, :2])
    mask = target.with_native(landmark_mask(own, target.native.shape))
    return mask, target.with_native(_paste(resting, target.native, own, mask.native))


def _paste(
    resting: tuple[np.ndarray, np.ndarray], target: np.ndarray, points: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    """The resting mouth, laid over the target by eyes and nose bridge, in place of the target's own."""
    image, landmarks = resting
    matrix, _ = cv2.estimateAffinePartial2D(
        landmarks[STILL, :2].astype(np.float32), points[STILL, :2].astype(np.float32)
    )
    if matrix is None:
        return target
    moved = cv2.warpAffine(image, matrix, target.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray((target + mask[..., None] * (moved.astype(np.float32) - target)).round().clip(0, 255), np.uint8)


def _sound(generated: Path, real: Path) -> np.ndarray | None:
    """The generated video's sound, else the real one's."""
    for path in (generated, real):
        if probe(path).has_audio:
            return load_audio(path)
    return None
