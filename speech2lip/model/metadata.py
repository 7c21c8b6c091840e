"""What networks need to know of a subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..subject.records import Subject


@dataclass(frozen=True)
class ModelMetadata:
    """What networks need to know of a subject; travels in the checkpoint."""

    lip_size: tuple[int, int]
    lip_box: tuple[int, int, int, int]
    crop_size: int
    camera: tuple[float, float, float]
    audio: Mapping[str, Any]
    fps: float
    mouth_points: int

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "audio": dict(self.audio)}

    @staticmethod
    def from_dict(raw: Mapping[str, Any]) -> ModelMetadata:
        tuples = {k: tuple(raw[k]) for k in ("lip_size", "lip_box", "camera")}
        return ModelMetadata(**{**raw, **tuples})


def metadata_of(subject: Subject, mouth_points: int) -> ModelMetadata:
    box, camera = subject.lip_box, subject.camera
    return ModelMetadata(
        subject.lip_size, (box.left, box.top, box.width, box.height), subject.crop.size,
        (camera.focal, camera.cx, camera.cy), subject.audio, subject.fps, mouth_points,
    )  # fmt: skip
