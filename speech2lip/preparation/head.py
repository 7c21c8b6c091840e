"""Stage: a rigid pose for every frame, by the tracker that is configured."""

from __future__ import annotations

import numpy as np

from ..config import Config
from ..files import atomic_path
from ..geometry.camera import Intrinsics, Poses
from ..geometry.rasterizer import make_rasterizer
from ..media.images import read_image
from ..subject.layout import SubjectLayout
from ..subject.records import Crop
from ..tracking.alignment import align
from ..tracking.bundle import TrackerConfig, track_head
from ..tracking.photometric import PhotometricOptions
from ..tracking.result import HeadTrack
from ..tracking.smoothing import bridge, fill_landmarks


def track_clip(config: Config, layout: SubjectLayout) -> None:
    with np.load(layout.landmarks, allow_pickle=False) as data:
        landmarks, seen, shots = data["landmarks"], data["seen"], data["shots"]
        crop, (width, height) = Crop(*map(int, data["crop"])), data["size"]
    gap = round(config.face.max_gap * config.data.fps)
    segments = bridge(seen, [(int(a), int(b)) for a, b in shots], gap)
    centre = crop.to_crop(np.array([(width - 1) / 2, (height - 1) / 2]))
    side = max(width, height) * crop.scale
    from threadpoolctl import threadpool_limits  # here, so that training starts where it is missing

    with threadpool_limits(1, "blas"):  # systems are small, and BLAS threads would wait for cores that load pictures
        head = _track(config, layout, landmarks, seen, segments, (float(centre[0]), float(centre[1])), float(side))
    print(
        f"track: {int(seen.sum())} of {len(seen)} frames, {len(shots)} shots, focal length {head.camera.focal:.0f} px, "
        f"landmark residual {head.residual:.2f} px"
    )
    valid = np.zeros(len(seen), bool)
    for start, end in segments:
        valid[start:end] = True
    filled = fill_landmarks(landmarks, seen, segments)
    coefficients = {} if head.surface is None else {k: getattr(head.surface, k) for k in ("identity", "expression")}
    with atomic_path(layout.root / "head.npz") as path, open(path, "wb") as stream:
        np.savez(
            stream, rotvec=head.poses.rotvec, trans=head.poses.trans, mesh=head.mesh, noise=head.noise, valid=valid,
            camera=np.array([head.camera.focal, head.camera.cx, head.camera.cy]), landmarks=filled[..., :2],
            segments=np.array(segments), residual=head.residual, **coefficients,
        )  # fmt: skip


def _track(
    config: Config, layout: SubjectLayout, landmarks: np.ndarray, seen: np.ndarray, segments: list[tuple[int, int]],
    centre: tuple[float, float], side: float,
) -> HeadTrack:  # fmt: skip
    """The tracker that `face.tracker` names."""

    def images(frame: int) -> np.ndarray:
        return read_image(layout.face_image(frame))

    if config.face.tracker == "bundle":
        head = track_head(landmarks, seen, segments, centre, side, TrackerConfig(smooth=config.face.smooth))
        options = PhotometricOptions(config.face.align)
        return align(head, landmarks, seen, segments, images, options) if config.face.align > 0 else head
    from ..tracking.morphable.tracker import load_model, track_morphable

    return track_morphable(
        load_model(config.face.tracker, config.fit), landmarks, seen, segments, centre, side,
        images, config.fit, config.face.smooth, make_rasterizer(config.rasterizer),
    )  # fmt: skip


def load_head(layout: SubjectLayout) -> tuple[HeadTrack, np.ndarray, np.ndarray, np.ndarray]:
    with np.load(layout.root / "head.npz", allow_pickle=False) as data:
        camera = Intrinsics(*(float(v) for v in data["camera"]))
        head = HeadTrack(
            Poses(data["rotvec"], data["trans"]), data["mesh"], camera, float(data["residual"]), data["noise"]
        )
        return head, data["landmarks"], data["valid"], data["segments"]
