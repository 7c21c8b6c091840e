"""What networks need to know of a subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..arrays import Unsound
from ..facemesh import LANDMARKS
from ..subject import schema
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
    fine_size: int = 0
    coarse: int = 1

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "audio": dict(self.audio)}

    @staticmethod
    def from_dict(raw: Any) -> ModelMetadata:
        """Checked against the same bounds as a subject's; Unsound for anything that does not fit."""
        known = {f.name for f in fields(ModelMetadata)}
        raw = {"fine_size": 0, "coarse": 1, **raw} if isinstance(raw, Mapping) else raw  # older ones have none
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
        )  # fmt: skip


def metadata_of(subject: Subject, mouth_points: int) -> ModelMetadata:
    box, camera = subject.lip_box, subject.camera
    return ModelMetadata(
        subject.drawn_size, (box.left, box.top, box.width, box.height), subject.crop.size,
        (camera.focal, camera.cx, camera.cy), subject.audio, subject.fps, mouth_points, subject.fine_size, subject.coarse,
    )  # fmt: skip
