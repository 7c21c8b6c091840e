"""Measure a trained model on its test split, beside a frozen mouth as control."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import weights
from .audio.waveform import SAMPLE_RATE, load_audio
from .checkpoint import load_checkpoint
from .data.parser import SubjectIndex, parse_subject
from .errors import UserError
from .face.crop import extract
from .face.detect import FaceMesh
from .face.topology import (
    EYE_CORNERS,
    LANDMARKS,
    LIPS,
    NOSE_BRIDGE,
    face_box,
    interocular,
    mouth_opening,
    mouth_width,
)
from .layout import Crop, SubjectLayout, atomic_path
from .metrics.basic import best_lag, correlation
from .metrics.image import frame_psnr, frame_ssim
from .metrics.lse import crop_for_syncnet, load_syncnet, measure_sync
from .metrics.motion import jitter, landmark_distance
from .nets.syncnet import SyncNet
from .predictor import Predictor, Rendered
from .progress import track as progress
from .video import read_frames


@dataclass(frozen=True)
class MouthSeries:
    """Per-frame mouth measures of a video, over the interocular distance; NaN without a face."""

    opening: np.ndarray
    width: np.ndarray
    landmarks: np.ndarray  # [T, 478, 2] in crop pixels, NaN without a face
    crops: np.ndarray | None = None  # [T, 224, 224, 3] for SyncNet, where asked for

    @property
    def found(self) -> float:
        """Share of frames in which a face was found."""
        return float(np.isfinite(self.opening).mean())


def measure_mouth(
    frames: Iterator[np.ndarray], resets: frozenset[int] = frozenset(), crops: bool = False
) -> MouthSeries:
    """FaceMesh over frames (RGB uint8); `resets` are the first frames after cuts; crops: keep faces for SyncNet."""
    mesh = FaceMesh()
    opening, width, landmarks, faces = [], [], [], []
    for number, frame in enumerate(frames):
        if number in resets:
            mesh.reset()
        points = mesh(frame)
        scale = float(interocular(points)) if points is not None else np.nan
        opening.append(float(mouth_opening(points)) / scale if points is not None else np.nan)
        width.append(float(mouth_width(points)) / scale if points is not None else np.nan)
        landmarks.append(points[:, :2] if points is not None else np.full((LANDMARKS, 2), np.nan))
        if crops:
            box = face_box(points) if points is not None else np.array([0.0, 0.0, *frame.shape[1::-1]])
            faces.append(crop_for_syncnet(frame, box))
    mesh.close()
    return MouthSeries(np.array(opening), np.array(width), np.stack(landmarks), np.stack(faces) if faces else None)


def compare_mouths(generated: MouthSeries, real: MouthSeries) -> dict[str, float]:
    """Correlation, articulation (ratio of standard deviations) and lag in frames (positive: generated late)."""
    both = np.isfinite(generated.opening) & np.isfinite(real.opening)
    g, r = generated.opening[both], real.opening[both]
    lag, best = best_lag(g, r)
    return {
        "opening_r": correlation(g, r), "articulation": float(g.std() / max(r.std(), 1e-9)),
        "width_r": correlation(generated.width[both], real.width[both]), "offset_frames": float(lag), "r_at_offset": best,
        "face_found": generated.found, "frames": float(both.sum()),
    }  # fmt: skip


def evaluate(model: Path, root: Path, protocol: str = "self", device: str = "auto") -> dict[str, dict[str, float]]:
    """Rows `generated` and `frozen` (the mean lip in every frame, the control).

    protocol "self" paints the test speech onto the test frames themselves; "cross" paints
    it onto training frames, from which nothing of the right mouth can leak, and compares
    mouth movement alone. Pixel measures (self only) are over the lip mask, and over the
    whole face crop.
    """
    checkpoint, layout = load_checkpoint(model), SubjectLayout(root)
    index = parse_subject(layout, checkpoint.config.data.test_fraction)
    if len(index.test) < 10:
        raise UserError(f"{root} has {len(index.test)} test frames, needed are 10: use a larger data.test_fraction")
    predictor = Predictor(checkpoint, layout, device)
    first, last = int(index.test[0]), int(index.test[-1]) + 1
    crop, fps = index.subject.crop, index.subject.fps
    cuts = frozenset(start - first for start, _ in index.subject.shots)
    count = last - first
    real_frames = read_frames(layout.source_path(index.subject), fps, start=first)
    syncnet = _syncnet(fps)
    source = (extract(f, crop) for f, _ in zip(real_frames, range(count), strict=False))
    real = measure_mouth(source, cuts, syncnet is not None)
    wav = load_audio(layout.audio)[round(first * SAMPLE_RATE / fps) :]
    rows = {"real": _sync_row(syncnet, real, wav)} if syncnet is not None else {}
    for name in ("generated", "frozen"):
        if name == "frozen":
            _freeze(predictor)
        rendered = _Render(predictor, index, first, last, protocol, name)
        series = measure_mouth(
            (image for image, _, _ in rendered.frames()),
            cuts if protocol == "self" else frozenset(),
            syncnet is not None,
        )
        rows[name] = compare_mouths(series, real) | rendered.pixels | _sync_row(syncnet, series, wav)
        if protocol == "self":  # elsewhere landmarks lie in other poses
            rows[name] |= compare_landmarks(series, real, cuts)
    return rows


def compare_landmarks(generated: MouthSeries, real: MouthSeries, cuts: frozenset[int]) -> dict[str, float]:
    """LMD of the 40 lip points in pixels and in % of the interocular distance; jitter of points that speech
    does not move, generated over real."""
    scale = interocular(real.landmarks)
    both = np.isfinite(generated.landmarks).all((1, 2)) & np.isfinite(scale)
    distance = landmark_distance(generated.landmarks[both][:, LIPS], real.landmarks[both][:, LIPS])
    shots = np.searchsorted(np.sort(np.array(list(cuts))), np.arange(len(scale)), side="right")
    still = np.concatenate([EYE_CORNERS, NOSE_BRIDGE])
    shake = [jitter(s.landmarks[:, still], scale, shots) for s in (generated, real)]
    return {
        "lmd": float(distance.mean()), "lmd_iod": float(100 * (distance / scale[both]).mean()), "jitter_ratio": shake[0] / max(shake[1], 1e-9),
    }  # fmt: skip


def _syncnet(fps: float) -> SyncNet | None:
    """SyncNet v2 where its weights are there and the rate is the one it knows."""
    if weights.check(weights.find("syncnet")) == weights.MISSING:
        print("LSE-C and LSE-D are unavailable: `speech2lip weights where syncnet` says what they need")
        return None
    if fps != 25:
        print(f"LSE-C and LSE-D are unavailable: SyncNet knows 25 frames per second, this subject has {fps:g}")
        return None
    return load_syncnet()


def _sync_row(net: SyncNet | None, series: MouthSeries, wav: np.ndarray) -> dict[str, float]:
    if net is None or series.crops is None:
        return {}
    found = measure_sync(net, series.crops, wav)
    return {"lse_c": found.confidence, "lse_d": found.distance, "lse_offset": float(found.offset)}


def _freeze(predictor: Predictor) -> None:
    """Make the model paste its mean lip image, whatever is said."""
    base = predictor.model.lip.base
    predictor.model.draw = lambda embedding, codes, transform: base.expand(len(codes), -1, -1, -1)  # type: ignore[method-assign]


class _Render:
    """Face crops of a render, and (protocol self) their pixel errors against the source."""

    def __init__(self, predictor: Predictor, index: SubjectIndex, first: int, last: int, protocol: str, name: str):
        self.predictor, self.index, self.first, self.last = predictor, index, first, last
        self.protocol, self.name = protocol, name
        self.pixels: dict[str, float] = {}

    def frames(self) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        subject, count = self.index.subject, self.last - self.first
        windows = self.index.windows[self.first : self.last]
        self_paint = self.protocol == "self"
        loop = None if self_paint else (0, int(self.index.train[-1]) + 1)
        rendered = self.predictor.render(windows, self.first if self_paint else 0, loop)
        real = (
            read_frames(self.index.layout.source_path(subject), subject.fps, start=self.first) if self_paint else None
        )
        measured: defaultdict[str, list[float]] = defaultdict(list)
        for frame in progress(rendered, f"measuring {self.name}", count):
            if real is not None:
                for name, value in _compare_pictures(frame, next(real), subject.crop).items():
                    measured[name].append(value)
            yield extract(frame.image, subject.crop), frame.changed, frame.source
        if real is not None:
            self.pixels = {name: float(np.mean(values)) for name, values in measured.items()}


def _compare_pictures(frame: Rendered, truth: np.ndarray, crop: Crop) -> dict[str, float]:
    """PSNR of the face crop, and PSNR and SSIM of the pixels that may differ, at most 100 dB."""
    a, b = (extract(image, crop).astype(np.float32) / 255 for image in (frame.image, truth))
    where = extract(np.repeat(frame.changed[..., None], 3, 2).astype(np.float32), crop)[..., 0] > 0
    out = {"psnr_face": min(frame_psnr(a, b), 100.0)}
    if where.any():
        out |= {"psnr_lip": min(frame_psnr(a, b, where), 100.0), "ssim_lip": frame_ssim(a, b, where)}
    return out


def print_report(rows: dict[str, dict[str, float]], target: Path | None = None) -> None:
    """Print a table of metrics by row, and write it as JSON where wanted."""
    names = list(dict.fromkeys(k for row in rows.values() for k in row))
    print(f"{'metric':<16}" + "".join(f"{row:>12}" for row in rows))
    for name in names:
        print(f"{name:<16}" + "".join(f"{rows[row].get(name, float('nan')):>12.3f}" for row in rows))
    if target is not None:
        with atomic_path(target) as path:
            path.write_text(json.dumps(rows, indent=1))
