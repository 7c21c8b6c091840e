"""The authors' YAML files -> ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..config import Config, config_to_dict, default_config
from ..errors import UserError
from ..files import atomic_path
from .checkpoint import (
    PUBLISHED_SETTINGS,
    imported_root,
)

_REQUIRED = {  # what the published networks are; other values name variants that never were published
    "model.uv_embed": 10, "model.audio_net": True, "model.use_uv_audio_sep": True, "model.MLP_version": "v2",
    "model.use_time": True, "model.use_post_fusion": True, "model.use_light_unet": True, "model.post_fusion_channel": 3,
}  # fmt: skip


def import_config(path: Path, out: Path) -> list[str]:
    """Turn a published YAML file into ours; returns its entries that have no meaning here."""
    raw = _read_yaml(path)
    flat = {
        f"{section}.{key}": value
        for section, content in raw.items()
        if isinstance(content, dict)
        for key, value in content.items()
    }
    for key, wanted in _REQUIRED.items():
        if key in flat and flat[key] != wanted:
            raise UserError(
                f"{path}: {key} is {flat[key]!r}, the published networks have {wanted!r}: other variants cannot be imported"
            )
    settings = _settings(flat, path)
    config = default_config([*PUBLISHED_SETTINGS, "face.tracker=bfm", "face.parsing=bisenet", *settings])
    with atomic_path(out) as temporary:
        temporary.write_text(_yaml_of(config, path), encoding="utf-8")
    return sorted(set(flat) - set(_REQUIRED) - _USED)


_USED = {
    "data.path", "model.lambda_rgb", "model.use_post_fusion_blackaug", "training.out_dir", "training.batch_size",
    "training.learning_rate", "training.w_post_fusion", "training.use_perceptual_loss", "training.w_perceptual_loss",
    "training.use_syncloss", "training.w_syncloss", "training.use_local_ensemble", "training.use_canonical_depth_loss_photo_v2",
}  # fmt: skip


def _settings(flat: Mapping[str, Any], path: Path) -> list[str]:
    out = Path(str(flat.get("training.out_dir", f"log/face_simple/{path.stem}")))

    def weight(switch: str, name: str, default: float) -> float:
        return float(flat.get(name, default)) if flat.get(switch) else 0.0

    return [
        f"name={out.name}", f"data.root={imported_root(Path(str(flat.get('data.path', path.stem))))}", f"train.output={out.parent}",
        f"train.batch={flat.get('training.batch_size', 1)}", f"train.rate={flat.get('training.learning_rate', 1e-4)}",
        f"loss.photometric={flat.get('model.lambda_rgb', 1.0)}", f"loss.fused={flat.get('training.w_post_fusion', 1.0)}",
        "loss.perceptual=lpips", f"loss.perceptual_weight={weight('training.use_perceptual_loss', 'training.w_perceptual_loss', 1.0)}",
        "loss.shape=0", f"loss.sync={weight('training.use_syncloss', 'training.w_syncloss', 1.0)}",
        f"loss.depth={1.0 if flat.get('training.use_canonical_depth_loss_photo_v2') else 0.0}",
        f"loss.black_hole={0.5 if flat.get('model.use_post_fusion_blackaug') else 0.0}", "loss.swap=0", "sync.expert=wav2lip", "sync.start_step=100001",
        "sync.freeze_blend=true", f"model.lip.ensemble={'corners' if flat.get('training.use_local_ensemble') else 'center'}",
        "train.steps=400000", "train.speech_share=0",
    ]  # fmt: skip


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): give the authors' YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not valid YAML ({str(error).splitlines()[0]}): give the authors' YAML file"
        ) from error
    if not isinstance(raw, dict) or not {"data", "training"} & set(raw):
        raise UserError(
            f"{path} is no published configuration (it has no sections data and training): give the authors' YAML file"
        )
    return raw


def _yaml_of(config: Config, origin: Path) -> str:
    """Only what differs from the defaults."""

    def difference(own: dict[str, Any], default: dict[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in own.items():
            if isinstance(value, dict):
                inner = difference(value, default[key])
                out.update({key: inner} if inner else {})
            elif value != default[key]:
                out[key] = list(value) if isinstance(value, tuple) else value
        return out

    content = difference(config_to_dict(config), config_to_dict(Config()))
    note = "# sync.mel_fmin: 95 for a female voice (the authors used it for May), 55 for a male one.\n"
    return f"# From {origin.name} by `speech2lip import config`.\n{note}{yaml.safe_dump(content, sort_keys=False)}"
