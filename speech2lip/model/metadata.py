"""What networks need to know of a subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from ..arrays import Unsound
from ..facemesh import LANDMARKS
from ..subject import schema
from ..subject.records import Subject, Track

_LATER = ("geometry", "rest", "agreement")  # that older checkpoints lack
_MOST_CODES = 100  # of model.lip.shape_codes
_GEOMETRY, _FARTHEST = 13, 1e9  # numbers of `geometry_of`, and how large they may be


@dataclass(frozen=True)
class ModelMetadata:
    """What networks need to know of a subject; travels in the checkpoint.

    geometry: of `geometry_of`, by which a later preprocessing is told; rest: codes of the mouth at rest, then how far they
    spread in silence [2 K]; agreement: of the two streams of features on the person's own unheard speech, 0 where it is not
    known (`familiarity.py`). Older checkpoints have none of them.
    """

    lip_size: tuple[int, int]
    lip_box: tuple[int, int, int, int]
    crop_size: int
    camera: tuple[float, float, float]
    audio: Mapping[str, Any]
    fps: float
    mouth_points: int
    fine_size: int = 0
    coarse: int = 1
    geometry: tuple[float, ...] = ()
    rest: tuple[float, ...] = ()
    agreement: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain containers; without what older checkpoints lack, where there is none."""
        out = {**asdict(self), "audio": dict(self.audio)}
        return {name: value for name, value in out.items() if value or name not in _LATER}

    @staticmethod
    def from_dict(raw: Any) -> ModelMetadata:
        """Checked against the same bounds as a subject's; Unsound for anything that does not fit."""
        known = {f.name for f in fields(ModelMetadata)}
        raw = (
            {"fine_size": 0, "coarse": 1, "geometry": (), "rest": (), "agreement": 0.0, **raw}
            if isinstance(raw, Mapping)
            else raw
        )  # older ones have none
        if not isinstance(raw, Mapping) or set(raw) != known:
            raise Unsound(f"its metadata are not {', '.join(sorted(known))}")
        lip_width, lip_height = schema.row("lip_size", raw["lip_size"], schema.LIP_SIZE)
        left, top, width, height = schema.row("lip_box", raw["lip_box"], tuple(schema.BOX.values()))
        lengths = raw["camera"]
        if not isinstance(lengths, (list, tuple)) or len(lengths) != 3:
            raise Unsound("camera is not focal, cx, cy")
        camera = schema.camera(dict(zip(("focal", "cx", "cy"), lengths, strict=True)))
        return ModelMetadata(
            (lip_width, lip_height), (left, top, width, height), schema.whole("crop_size", raw["crop_size"], *schema.CROP["size"]),
            (camera["focal"], camera["cx"], camera["cy"]), schema.audio(raw["audio"]), schema.number("fps", raw["fps"], *schema.FPS),
            schema.whole("mouth_points", raw["mouth_points"], 0, LANDMARKS),
            schema.whole("fine_size", raw["fine_size"], 0, schema.CROP["side"][1]), schema.whole("coarse", raw["coarse"], 1, 64),
            _geometry(raw["geometry"]), _rest(raw["rest"]), schema.number("agreement", raw["agreement"], -1, 1),
        )  # fmt: skip


def _geometry(raw: Any) -> tuple[float, ...]:
    if not isinstance(raw, (list, tuple)) or len(raw) not in (0, _GEOMETRY):
        raise Unsound(f"geometry is not {_GEOMETRY} numbers")
    return tuple(schema.number("geometry", value, -_FARTHEST, _FARTHEST) for value in raw)


def _rest(raw: Any) -> tuple[float, ...]:
    if not isinstance(raw, (list, tuple)) or len(raw) % 2 or len(raw) > 2 * _MOST_CODES:
        raise Unsound("rest is not two numbers for each shape code")
    return tuple(schema.number("rest", value, -_FARTHEST, _FARTHEST) for value in raw)


def geometry_of(subject: Subject, track: Track) -> tuple[float, ...]:
    """The canonical space in few numbers [13]: the canonical frame's index, its pose (radians, mm), extents of the head's
    mesh and how far the head moves (mm). Rounding differs between machines, so they are compared as numbers."""
    at, poses = subject.canonical_frame, track.poses
    moved = np.std(poses.trans[track.valid], axis=0)
    parts = ([at], poses.rotvec[at], poses.trans[at], np.ptp(track.mesh, axis=0), moved)
    return tuple(map(float, np.concatenate([np.ravel(part) for part in parts])))


def metadata_of(subject: Subject, mouth_points: int, geometry: tuple[float, ...] = ()) -> ModelMetadata:
    """geometry: of `geometry_of`, for what is kept in a checkpoint."""
    box, camera = subject.lip_box, subject.camera
    return ModelMetadata(
        subject.drawn_size, (box.left, box.top, box.width, box.height), subject.crop.size,
        (camera.focal, camera.cx, camera.cy), subject.audio, subject.fps, mouth_points, subject.fine_size, subject.coarse,
        geometry,
    )  # fmt: skip
