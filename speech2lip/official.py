"""The authors' own files -> ours: checkpoints, dataset folders, configurations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from . import compat
from .builder import build_model, facts_of
from .checkpoint import save_checkpoint
from .config import Config, config_to_dict, default_config
from .data.parser import load_canonical
from .errors import UserError
from .layout import SubjectLayout, atomic_path
from .nets.published import PublishedSpeech2Lip
from .safeload import load_torch
from .video import read_image

_MARK = "encoder_conv.0.weight"  # a name that every published checkpoint has
_CONVOLUTIONS = {"0": "0", "2": "3", "4": "6", "6": "9"}  # ours have a dropout after every activation
_LINEARS = {"0": "0", "2": "3"}


def find_state(content: Any, depth: int = 3) -> Mapping[str, Tensor] | None:
    """The model's state dictionary inside a published checkpoint, wherever it lies in it."""
    if not isinstance(content, Mapping):
        return None
    names = {str(name).removeprefix("module."): value for name, value in content.items()}
    if _MARK in names:
        return {name: value for name, value in names.items() if torch.is_tensor(value)}
    for value in content.values() if depth else ():
        found = find_state(value, depth - 1)
        if found is not None:
            return found
    return None


def state_from_checkpoint(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published names -> those of `nets.published.PublishedSpeech2Lip`.

    `coord_linears` are in the file but take no part in the published forward pass;
    `canonical_depth_head` belongs to the canonical space and not to the networks.
    """
    out = {}
    for name, value in official.items():
        mapped = _rename(name)
        if mapped:
            out[mapped] = value
    return out


def _rename(name: str) -> str:
    head, _, rest = name.partition(".")
    if head == "encoder_conv":
        layer, kind = rest.split(".")
        return f"encoder.convolutions.{_CONVOLUTIONS[layer]}.{kind}"
    if head == "encoder_fc1":
        layer, kind = rest.split(".")
        return f"encoder.head.{_LINEARS[layer]}.{kind}"
    if head.startswith("fc_"):
        source = head[3:]
        return f"lip.field.{'again' if source.endswith('_skip') else 'first'}.{source.removesuffix('_skip')}.{rest}"
    if head in ("pts_linears", "output_linear"):
        return f"lip.field.{'hidden' if head == 'pts_linears' else 'output'}.{rest}"
    if head == "post_fusion_unet":
        return _rename_blend(rest.split("."))
    return ""


def _rename_blend(parts: list[str]) -> str:
    block, tail = parts[0], parts[-2:]
    if block == "inc":
        return ".".join(["blend.inlet", *tail])
    if block.startswith("down"):
        return ".".join(["blend.down", str(int(block[4:]) - 1), *tail])
    if block.startswith("up"):
        return ".".join(["blend.up", str(int(block[2:]) - 1), *tail])
    return f"blend.outlet.{parts[-1]}"


PUBLISHED_SETTINGS = (
    "model.kind=published", "model.compat=true", "model.lip.ensemble=center", "audio.backend=deepspeech", "audio.window=16",
    "audio.step=0.02",
)  # fmt: skip


def import_checkpoint(path: Path, root: Path, out: Path) -> None:
    """Turn a published checkpoint into ours, for the imported dataset in `root`.

    The subject's canonical face, lip box and camera come from the dataset; networks and
    canonical depth from the checkpoint.
    """
    remedy = "get the authors' checkpoint again"
    state = find_state(load_torch(path, remedy))
    if state is None:
        raise UserError(f"{path} holds no published Speech2Lip model (no weights named {_MARK}): {remedy}")
    layout = SubjectLayout(root)
    subject = layout.load_subject()
    config = default_config([*PUBLISHED_SETTINGS, f"name={subject.name}", f"data.root={root}"])
    facts = facts_of(subject, layout.load_track().mouth.shape[1])
    if (facts.audio.get("window"), facts.audio.get("channels")) != (16, 29):
        raise UserError(
            f"{root} has audio features {dict(facts.audio)}, a published checkpoint needs DeepSpeech windows of 16 x 29: import the "
            "dataset with `speech2lip import dataset`, or preprocess with audio.backend=deepspeech audio.window=16"
        )
    model = build_model(config, facts, load_canonical(layout))
    assert isinstance(model, PublishedSpeech2Lip)
    _fill_networks(model, state_from_checkpoint(state), path, remedy)
    _fill_space(model, state, layout, path)
    save_checkpoint(out, config, facts, model, {})


def _fill_networks(model: PublishedSpeech2Lip, state: Mapping[str, Tensor], path: Path, remedy: str) -> None:
    own = model.state_dict()
    networks = [n for n in own if n.split(".")[0] in ("encoder", "lip", "blend") and n != "lip.base"]
    for name in networks:
        if name not in state:
            raise UserError(
                f"{path} lacks the weights that are {name} here: it is not the published model of May's kind; {remedy}"
            )
        if state[name].shape != own[name].shape:
            raise UserError(
                f"{path} has {name} of shape {tuple(state[name].shape)}, the published model has {tuple(own[name].shape)}: {remedy}"
            )
    model.load_state_dict({**own, **{name: state[name] for name in networks}})


def _fill_space(model: PublishedSpeech2Lip, state: Mapping[str, Tensor], layout: SubjectLayout, path: Path) -> None:
    """Canonical face, mean lip and, where the checkpoint has one, learned depth (published units)."""
    face = torch.from_numpy(read_image(layout.canonical)).permute(2, 0, 1).float() / 255
    lips = sorted(layout.lip_images.glob("*.jpg"))
    mean = np.mean([read_image(lips[k]) for k in np.linspace(0, len(lips) - 1, min(64, len(lips))).astype(int)], axis=0)
    lip = torch.from_numpy(mean).permute(2, 0, 1).float() / 255
    model.learn_constants(torch.zeros(0), lip, face)
    depth = state.get("canonical_depth_head")
    if depth is not None:
        if depth.shape != model.space.depth_start.shape:
            raise UserError(
                f"{path} was trained on crops of {tuple(depth.shape)}, {layout.root} has {tuple(model.space.depth_start.shape)}: "
                "import the dataset that it was trained on"
            )
        model.space.depth_start.copy_(depth.float().abs() * compat.UNIT)


def imported_root(source: Path) -> Path:
    """Where `speech2lip import dataset` puts a published folder by default: dataset/may_face_crop_lip -> dataset/may_imported."""
    return Path("dataset") / f"{source.name.removesuffix('_face_crop_lip')}_imported"


# ---------------------------------------------------------------- configurations

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
