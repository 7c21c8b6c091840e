"""Stage: a rigid pose for every frame, by the tracker that is configured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import read_npz
from ..config import MORPHABLE, Config
from ..files import save_arrays
from ..geometry.camera import Intrinsics, Poses
from ..geometry.rasterizer import make_rasterizer
from ..media.images import read_image
from ..metrics.basic import runs
from ..subject.layout import SubjectLayout
from ..subject.records import ClipLandmarks
from ..subject.schema import AGAIN, HEAD
from ..tracking.alignment import align
from ..tracking.bundle import track_head
from ..tracking.observations import ClipObservations
from ..tracking.result import HeadTrack
from ..tracking.smoothing import bridge, fill_landmarks


@dataclass(frozen=True)
class TrackedClip:
    """head: what the tracker found; landmarks: [T, 478, 2] with bridged gaps filled; valid: [T] bool, seen
    or bridged; segments: [N, 2] ranges of continuous tracking; coefficients: of a morphable model."""

    head: HeadTrack
    landmarks: np.ndarray
    valid: np.ndarray
    segments: np.ndarray
    coefficients: dict[str, np.ndarray]


def track_clip(config: Config, layout: SubjectLayout) -> None:
    """Track the head and write `head.npz`."""
    found = layout.load_landmarks()
    clip = _observations(config, layout, found)
    from threadpoolctl import threadpool_limits  # here, so that training starts where it is missing

    with threadpool_limits(1, "blas"):  # systems are small, and BLAS threads would wait for cores that load pictures
        head = _track(config, clip)
    print(
        f"track: {int(clip.seen.sum())} of {len(clip.seen)} frames, {len(found.shots)} shots, focal length "
        f"{head.camera.focal:.0f} px, landmark residual {head.residual:.2f} px"
    )
    _save(layout, clip, head)


def _observations(config: Config, layout: SubjectLayout, found: ClipLandmarks) -> ClipObservations:
    width, height = found.size
    x, y = found.crop.to_crop(np.array([(width - 1) / 2, (height - 1) / 2]))
    segments = bridge(found.seen, _stretches(found), round(config.face.max_gap * config.data.fps))
    side = float(max(width, height) * found.crop.scale)

    def images(frame: int) -> np.ndarray:
        return read_image(layout.face_image(frame))

    return ClipObservations(found.landmarks, found.seen, segments, (float(x), float(y)), side, images)


def _stretches(found: ClipLandmarks) -> list[tuple[int, int]]:
    """Ranges [start, end) over whose gaps the face may be followed: never across a cut, nor where another face may be before it."""
    if not (found.person == 0).any():
        return list(found.shots)
    own = found.person == 0
    return [(a + x, a + y) for a, b in found.shots for x, y in runs(own[a:b])]


def _track(config: Config, clip: ClipObservations) -> HeadTrack:
    """The tracker that `face.tracker` names."""
    if config.face.tracker in MORPHABLE:
        from ..tracking.morphable.tracker import load_model, track_morphable

        model, rasterizer = load_model(config.face.tracker, config.fit), make_rasterizer(config.rasterizer)
        return track_morphable(model, clip, config.fit, config.photometric, config.face.smooth, rasterizer)
    head = track_head(clip, config.bundle, config.face.smooth)
    return align(head, clip, config.photometric, config.bundle) if config.photometric.weight > 0 else head


def _save(layout: SubjectLayout, clip: ClipObservations, head: HeadTrack) -> None:
    valid = np.zeros(len(clip.seen), bool)
    for start, end in clip.segments:
        valid[start:end] = True
    filled = fill_landmarks(clip.landmarks, clip.seen, clip.segments)
    coefficients = {} if head.surface is None else {k: getattr(head.surface, k) for k in ("identity", "expression")}
    save_arrays(
        layout.head, rotvec=head.poses.rotvec, trans=head.poses.trans, mesh=head.mesh, noise=head.noise, valid=valid,
        camera=np.array([head.camera.focal, head.camera.cx, head.camera.cy]), landmarks=filled[..., :2],
        segments=np.array(clip.segments), residual=head.residual, **coefficients,
    )  # fmt: skip


def load_tracked(layout: SubjectLayout) -> TrackedClip:
    """What `track_clip` wrote."""
    data = read_npz(layout.head, HEAD, {}, AGAIN)
    head = HeadTrack(
        poses=Poses(data["rotvec"], data["trans"]),
        mesh=data["mesh"],
        camera=Intrinsics(*(float(v) for v in data["camera"])),
        residual=float(data["residual"]),
        noise=data["noise"],
    )
    coefficients: dict[str, np.ndarray] = {k: data[k] for k in ("identity", "expression") if k in data}
    return TrackedClip(head, data["landmarks"], data["valid"], data["segments"], coefficients)
