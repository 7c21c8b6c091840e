"""Checkpoints: one file with configuration, metadata and weights; never unpickled freely."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..arrays import Unsound
from ..config import Config, changed, config_from_dict, config_to_dict, shown
from ..errors import UserError
from ..files import atomic_path
from ..nets.interface import LipSyncModel
from ..subject.records import Subject, Track
from ..weights.safeload import check_finite, load_torch
from .builder import build_model
from .metadata import ModelMetadata, geometry_of

FORMAT = "speech2lip-2"
_MOST_METRIC = 1e12
_SAME = 1e-3  # of a length or an angle, by which the same tracking differs between machines
_ENTRIES = ("config", "metadata", "state", "metrics")
_REMEDY = "train again, or copy the file again from where it is sound"
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
    packed = _packed(content)
    with atomic_path(path) as temporary:
        temporary.write_bytes(packed)


def _packed(content: dict[str, Any]) -> memoryview:
    """The file in memory: PyTorch's own writing says nothing of a full disk, and names its archive after the file."""
    packed = io.BytesIO()
    torch.save(content, packed)
    return packed.getbuffer()


def relabelled(path: Path, changes: Mapping[str, Any]) -> memoryview:
    """The file `path` with other entries of its configuration, by dotted key; weights and all else stay as they are.

    It is read and checked as by `load_checkpoint`, so UserError for what that refuses.
    """
    content = load_tensors(path, _REMEDY)
    config = changed(_checked(content, path).config, changes)
    return _packed({**content, "config": config_to_dict(config)})


def load_tensors(path: Path, remedy: str) -> dict[str, Any]:
    """Read what `save_tensors` wrote; tensors and plain containers only, nothing is executed."""
    content = load_torch(path, remedy, "checkpoint")
    if not isinstance(content, dict) or not isinstance(content.get("format"), str):
        raise UserError(f"{path} is not a checkpoint of this program: {remedy}")
    if content["format"] not in (FORMAT, _FIRST_FORMAT):
        raise UserError(f"{path} has the format {shown(content['format'])}, this program reads {FORMAT}: {remedy}")
    return content if content["format"] == FORMAT else _from_first_format(content)


def _from_first_format(content: dict[str, Any]) -> dict[str, Any]:
    """A `model.pt` of version 0.1 under today's names. What it holds did not change."""

    def renamed(name: str) -> str:
        start = next((s for s in _FIRST_NAMES if name.startswith(s)), "")
        return _FIRST_NAMES.get(start, "") + name.removeprefix(start)

    out = {k: v for k, v in content.items() if k != "facts"} | {"format": FORMAT, "metadata": content.get("facts")}
    state = content.get("state")
    return out | {"state": {renamed(str(k)): v for k, v in state.items()} if isinstance(state, dict) else None}


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Rebuild a model for use from `model.pt`."""
    path = Path(path)
    return _checked(load_tensors(path, "train one with `speech2lip train`"), path)


def _checked(content: dict[str, Any], path: Path) -> Checkpoint:
    """The model of a file's content; UserError for any that does not fit."""
    missing = [name for name in _ENTRIES if not isinstance(content.get(name), dict)]
    if missing:
        kind = "the state of a training, not its model" if "parts" in content else f"it lacks {missing[0]}"
        raise UserError(f"{path} is no finished model ({kind}): {_REMEDY}")
    config = _as_it_was(config_from_dict(content["config"], str(path)), content["state"])
    try:
        metadata = ModelMetadata.from_dict(content["metadata"])
        metrics = {str(name): _metric(value) for name, value in content["metrics"].items()}
        _check_state(content["state"], config, metadata)
    except Unsound as error:
        raise UserError(f"{path} does not fit the networks it names ({error}): {_REMEDY}") from error
    model = build_model(config, metadata)
    model.load_state_dict(content["state"])
    return Checkpoint(config, metadata, model.eval(), metrics)


def _as_it_was(config: Config, state: dict[str, Any]) -> Config:
    """The configuration of a model that was trained before a part could be left out says nothing of it: it has none."""
    if config.model.kind == "published" or any(str(name).startswith("regression.") for name in state):
        return config
    return changed(config, {"model.lip.regression": 0})


def _metric(value: Any) -> float:
    """NaN is allowed: a measure may be undefined."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > _MOST_METRIC:
        raise Unsound(f"it has the metric {shown(value)}")
    return float(value)


def _check_state(state: dict[str, Any], config: Config, metadata: ModelMetadata) -> None:
    """Compare weights with the networks before these take memory, whatever sizes the file names."""
    with torch.device("meta"):
        needed = build_model(config, metadata).state_dict()
    different = sorted(set(needed) ^ set(state), key=str)
    if different:
        raise Unsound(f"{str(different[0])[:80]} is {'missing' if different[0] in needed else 'unknown'}")
    for name, value in state.items():
        if not torch.is_tensor(value) or value.shape != needed[name].shape or value.dtype != needed[name].dtype:
            found = f"{tuple(value.shape)} of {value.dtype}" if torch.is_tensor(value) else type(value).__name__
            raise Unsound(f"{name} is {found}, needed are {tuple(needed[name].shape)} of {needed[name].dtype}")
    check_finite(state)
    codes = config.model.lip.shape_codes
    if metadata.rest and len(metadata.rest) != 2 * codes:
        raise Unsound(f"its rest pose has {len(metadata.rest)} numbers, needed are {2 * codes}")


def check_same_subject(metadata: ModelMetadata, subject: Subject, track: Track, path: Path) -> None:
    """Refuse a checkpoint that was trained on another preprocessing of the subject."""
    box = (subject.lip_box.left, subject.lip_box.top, subject.lip_box.width, subject.lip_box.height)
    drawn = (subject.lip_size[0] // metadata.coarse, subject.lip_size[1] // metadata.coarse)
    found = {"lip_box": box, "lip_size": drawn, "crop_size": subject.crop.size, "fps": subject.fps}
    if metadata.fine_size:  # older ones, and published networks, have none
        found |= {"fine_size": subject.fine_size, "coarse": subject.coarse}
    for name, value in found.items():
        if getattr(metadata, name) != value:
            raise UserError(
                f"{path} was trained with {name} {getattr(metadata, name)}, subject {subject.name} has {value}: "
                "train again after preprocessing"
            )
    _check_same_space(metadata, subject, track, path)
    if dict(metadata.audio) != subject.audio:
        raise UserError(
            f"{path} was trained with audio features {dict(metadata.audio)}, subject {subject.name} has {subject.audio}: "
            "preprocess with the same audio settings"
        )


def _check_same_space(metadata: ModelMetadata, subject: Subject, track: Track, path: Path) -> None:
    """Refuse another camera or canonical space: the mouth would be drawn beside the face's own."""
    camera = subject.camera.focal, subject.camera.cx, subject.camera.cy
    same = np.allclose(metadata.camera, camera, rtol=_SAME, atol=_SAME)
    if metadata.geometry:  # older checkpoints have none
        same = same and np.allclose(metadata.geometry, geometry_of(subject, track), rtol=_SAME, atol=_SAME)
    if not same:
        raise UserError(
            f"{path} was trained on another tracking of subject {subject.name} (the clip was preprocessed with other settings since): "
            "train again, or preprocess with the settings of that training"
        )
