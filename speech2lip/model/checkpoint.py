"""Checkpoints: one file with configuration, metadata and weights; never unpickled freely."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..config import Config, config_from_dict, config_to_dict
from ..errors import UserError
from ..files import atomic_path
from ..nets.interface import LipSyncModel
from ..subject.records import Subject
from ..weights.safeload import load_torch
from .builder import build_model
from .metadata import ModelMetadata

FORMAT = "speech2lip-2"
_FIRST_FORMAT = "speech2lip-1"
_FIRST_NAMES = {  # parameters of the first format, by their beginnings
    "shape_head.trust": "shape_head.stream_weights",
    "narrow.": "bottleneck.",
    "lip.field.first.": "lip.field.inputs.",
    "lip.field.again.": "lip.field.skip_inputs.",
}


@dataclass(frozen=True)
class Checkpoint:
    """config and metadata rebuild `model`; metrics: what validation measured when it was saved."""

    config: Config
    metadata: ModelMetadata
    model: LipSyncModel
    metrics: dict[str, float]


def save_checkpoint(
    path: Path, config: Config, metadata: ModelMetadata, model: LipSyncModel, metrics: dict[str, float]
) -> None:
    """Write the weights of `model` with all that rebuilds it."""
    content = {
        "format": FORMAT, "config": config_to_dict(config), "metadata": metadata.to_dict(),
        "state": {k: v.detach().cpu() for k, v in model.state_dict().items()}, "metrics": metrics,
    }  # fmt: skip
    save_tensors(path, content)


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write plain containers and tensors, atomically."""
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def load_tensors(path: Path, remedy: str) -> dict[str, Any]:
    """Read what `save_tensors` wrote; tensors and plain containers only, nothing is executed."""
    content = load_torch(path, remedy, "checkpoint")
    if not isinstance(content, dict) or content.get("format") not in (FORMAT, _FIRST_FORMAT):
        raise UserError(f"{path} is not a checkpoint of this program: {remedy}")
    return content if content["format"] == FORMAT else _from_first_format(content)


def _from_first_format(content: dict[str, Any]) -> dict[str, Any]:
    """A `model.pt` of version 0.1 under today's names. What it holds did not change."""

    def renamed(name: str) -> str:
        start = next((s for s in _FIRST_NAMES if name.startswith(s)), "")
        return _FIRST_NAMES.get(start, "") + name.removeprefix(start)

    out = {k: v for k, v in content.items() if k != "facts"} | {"format": FORMAT, "metadata": content.get("facts")}
    return out | {"state": {renamed(k): v for k, v in content.get("state", {}).items()}}


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Rebuild a model for use from `model.pt`."""
    path = Path(path)
    content = load_tensors(path, "train one with `speech2lip train`")
    config = config_from_dict(content["config"], str(path))
    metadata = ModelMetadata.from_dict(content["metadata"])
    model = build_model(config, metadata)
    try:
        model.load_state_dict(content["state"])
    except RuntimeError as error:
        raise UserError(
            f"{path} does not fit the networks it names ({str(error).splitlines()[0]}): train again"
        ) from error
    return Checkpoint(config, metadata, model.eval(), dict(content["metrics"]))


def check_same_subject(metadata: ModelMetadata, subject: Subject, path: Path) -> None:
    """Refuse a checkpoint that was trained on another preprocessing of the subject."""
    box = (subject.lip_box.left, subject.lip_box.top, subject.lip_box.width, subject.lip_box.height)
    found = {"lip_box": box, "lip_size": subject.lip_size, "crop_size": subject.crop.size, "fps": subject.fps}
    for name, value in found.items():
        if getattr(metadata, name) != value:
            raise UserError(
                f"{path} was trained with {name} {getattr(metadata, name)}, subject {subject.name} has {value}: "
                "train again after preprocessing"
            )
    if dict(metadata.audio) != subject.audio:
        raise UserError(
            f"{path} was trained with audio features {dict(metadata.audio)}, subject {subject.name} has {subject.audio}: "
            "preprocess with the same audio settings"
        )
