"""Checkpoints: one file with configuration, facts and weights; never unpickled freely."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..config import Config, config_from_dict, config_to_dict
from ..errors import UserError
from ..files import atomic_path
from ..subject.records import Subject
from ..weights.safeload import load_torch
from .builder import Model, build_model
from .facts import ModelFacts

FORMAT = "speech2lip-1"


@dataclass(frozen=True)
class Checkpoint:
    """config and facts rebuild `model`; metrics: what validation measured when it was saved."""

    config: Config
    facts: ModelFacts
    model: Model
    metrics: dict[str, float]


def save_checkpoint(path: Path, config: Config, facts: ModelFacts, model: Model, metrics: dict[str, float]) -> None:
    """Write the weights of `model` with all that rebuilds it."""
    content = {
        "format": FORMAT, "config": config_to_dict(config), "facts": facts.to_dict(),
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
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is not a checkpoint of this program: {remedy}")
    return content


def load_checkpoint(path: Path) -> Checkpoint:
    """Rebuild a model for use from `model.pt`."""
    content = load_tensors(path, "train one with `speech2lip train`")
    config = config_from_dict(content["config"], str(path))
    facts = ModelFacts.from_dict(content["facts"])
    model = build_model(config, facts)
    try:
        model.load_state_dict(content["state"])
    except RuntimeError as error:
        raise UserError(
            f"{path} does not fit the networks it names ({str(error).splitlines()[0]}): train again"
        ) from error
    return Checkpoint(config, facts, model.eval(), dict(content["metrics"]))


def check_same_subject(facts: ModelFacts, subject: Subject, path: Path) -> None:
    """Refuse a checkpoint that was trained on another preprocessing of the subject."""
    box = (subject.lip_box.left, subject.lip_box.top, subject.lip_box.width, subject.lip_box.height)
    found = {"lip_box": box, "lip_size": subject.lip_size, "crop_size": subject.crop.size, "fps": subject.fps}
    for name, value in found.items():
        if getattr(facts, name) != value:
            raise UserError(
                f"{path} was trained with {name} {getattr(facts, name)}, subject {subject.name} has {value}: "
                "train again after preprocessing"
            )
    if dict(facts.audio) != subject.audio:
        raise UserError(
            f"{path} was trained with audio features {dict(facts.audio)}, subject {subject.name} has {subject.audio}: "
            "preprocess with the same audio settings"
        )
