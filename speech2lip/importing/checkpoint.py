"""The authors' own files -> ours: checkpoints, dataset folders, configurations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arrays import Unsound
from ..config import default_config
from ..errors import UserError
from ..files import link_target
from ..geometry import published as compat
from ..media.images import read_image
from ..model.builder import build_model
from ..model.checkpoint import save_checkpoint
from ..model.metadata import geometry_of, metadata_of
from ..nets.published import PublishedSpeech2Lip
from ..subject.index import load_canonical
from ..subject.layout import SubjectLayout
from ..weights.safeload import check_finite, load_torch

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
        return (
            f"lip.field.{'skip_inputs' if source.endswith('_skip') else 'inputs'}.{source.removesuffix('_skip')}.{rest}"
        )
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
    canonical depth from the checkpoint. UserError where `out` is there already.
    """
    if out.exists():
        raise UserError(f"{out} is there already: give another place with --out, or move it away first")
    remedy = "get the authors' checkpoint again"
    state = find_state(load_torch(path, remedy))
    if state is None:
        raise UserError(f"{path} holds no published Speech2Lip model (no weights named {_MARK}): {remedy}")
    try:
        check_finite(state)
    except Unsound as error:
        raise UserError(f"{path} is not sound ({error}): {remedy}") from error
    layout = SubjectLayout(root)
    subject = layout.load_subject()
    config = default_config([*PUBLISHED_SETTINGS, f"name={subject.name}", f"data.root={root}"])
    track = layout.load_track(subject)
    metadata = metadata_of(subject, track.mouth.shape[1], geometry_of(subject, track))
    if (metadata.audio.get("window"), metadata.audio.get("channels")) != (16, 29):
        raise UserError(
            f"{root} has audio features {dict(metadata.audio)}, a published checkpoint needs DeepSpeech windows of 16 x 29: import the "
            "dataset with `speech2lip import dataset`, or preprocess with audio.backend=deepspeech audio.window=16"
        )
    model = build_model(config, metadata, load_canonical(layout, subject))
    assert isinstance(model, PublishedSpeech2Lip)
    _fill_networks(model, state_from_checkpoint(state), path, remedy)
    _fill_space(model, state, layout, path)
    save_checkpoint(link_target(out), config, metadata, model, {})


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
    model.fit_constants(torch.zeros(0), lip, face)
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
