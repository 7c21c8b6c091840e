"""The authors' YAML files -> ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from ..config import Config, config_from_dict, config_to_dict, parse_setting, shown, switch
from ..errors import UserError
from ..files import atomic_path
from ..terminal import printable
from ..yaml_reader import read_yaml
from .checkpoint import PUBLISHED_SETTINGS, imported_root

_REQUIRED = {  # what the published networks are; other values name variants that never were published
    "model.uv_embed": 10, "model.audio_net": True, "model.use_uv_audio_sep": True, "model.MLP_version": "v2",
    "model.use_time": True, "model.use_post_fusion": True, "model.use_light_unet": True, "model.post_fusion_channel": 3,
}  # fmt: skip


def import_config(path: Path, out: Path) -> list[str]:
    """Turn a published YAML file into ours; returns its entries that have no meaning here."""
    flat = _read(path)
    for key, wanted in _REQUIRED.items():
        if key in flat and not _is(flat[key], wanted):
            raise UserError(
                f"{path}: {key} is {shown(flat[key])}, the published networks have {wanted!r}: other variants cannot be imported"
            )
    settings = [*PUBLISHED_SETTINGS, "face.tracker=bfm", "face.parsing=bisenet", *_settings(_Entries(flat, path), path)]
    config = config_from_dict(dict(map(parse_setting, settings)), str(path))
    _check_replaced(out)
    with atomic_path(out, follow=True) as temporary:
        temporary.write_text(_yaml_of(config, path), encoding="utf-8")
    return sorted(set(flat) - set(_REQUIRED) - _USED)


def _check_replaced(out: Path) -> None:
    """Refuse to write over a file that is no import of ours."""
    if out.exists() and not (out.is_file() and _SIGNED in out.read_bytes().split(b"\n", 1)[0]):
        raise UserError(f"{out} is there already and no import of a configuration: give another --out")


_SIGNED = b"by `speech2lip import config`."  # in the first line of what is written

_USED = {
    "data.path", "model.lambda_rgb", "model.use_post_fusion_blackaug", "training.out_dir", "training.batch_size",
    "training.learning_rate", "training.w_post_fusion", "training.use_perceptual_loss", "training.w_perceptual_loss",
    "training.use_syncloss", "training.w_syncloss", "training.use_local_ensemble", "training.use_canonical_depth_loss_photo_v2",
}  # fmt: skip


@dataclass(frozen=True)
class _Entries:
    """The authors' entries by dotted key, all of them text."""

    flat: Mapping[str, Any]
    path: Path

    def text(self, name: str, default: str) -> str:
        value = self.flat.get(name, default)
        return value if isinstance(value, str) else self._refuse(name, "text")

    def number(self, name: str, default: float) -> float:
        try:
            return float(self.text(name, str(default)))
        except ValueError:
            self._refuse(name, "a number")

    def switch(self, name: str) -> bool:
        try:
            return switch(_SPELT.get(self.text(name, "false"), self.text(name, "false")))
        except ValueError:
            self._refuse(name, "true or false")

    def weight(self, on: str, name: str) -> float:
        """Of a loss that has a switch of its own."""
        return self.number(name, 1.0) if self.switch(on) else 0.0

    def _refuse(self, name: str, needed: str) -> NoReturn:
        raise UserError(f"{self.path}: {name} is {shown(self.flat[name])}, needed is {needed}: mend the file")


_SPELT = {"1": "true", "0": "false", "": "false", "~": "false", "null": "false"}  # as the authors' Python takes them


def _settings(entry: _Entries, path: Path) -> list[str]:
    out = _inside(entry.text("training.out_dir", f"log/face_simple/{path.stem}"), path)
    return [
        f"name={out.name}", f"data.root={imported_root(Path(entry.text('data.path', path.stem)))}", f"train.output={out.parent}",
        f"train.batch={entry.text('training.batch_size', '1')}", f"train.rate={entry.number('training.learning_rate', 1e-4)}",
        f"loss.photometric={entry.number('model.lambda_rgb', 1.0)}", f"loss.fused={entry.number('training.w_post_fusion', 1.0)}",
        "loss.perceptual=lpips", f"loss.perceptual_weight={entry.weight('training.use_perceptual_loss', 'training.w_perceptual_loss')}",
        "loss.shape=0", f"loss.sync={entry.weight('training.use_syncloss', 'training.w_syncloss')}",
        f"loss.depth={1.0 if entry.switch('training.use_canonical_depth_loss_photo_v2') else 0.0}",
        f"loss.black_hole={0.5 if entry.switch('model.use_post_fusion_blackaug') else 0.0}", "loss.swap=0", "sync.expert=wav2lip", "sync.start_step=100001",
        "sync.freeze_blend=true", f"model.lip.ensemble={'corners' if entry.switch('training.use_local_ensemble') else 'center'}",
        "train.steps=400000", "train.speech_share=0",
    ]  # fmt: skip


def _inside(folder: str, path: Path) -> Path:
    """A stranger's file may name folders below the current one only."""
    out = Path(folder)
    if out.is_absolute() or ".." in out.parts or not out.name:
        raise UserError(
            f"{path}: training.out_dir is {shown(folder)}, needed is a folder below this one: mend the file"
        )
    return out


def _is(text: Any, wanted: Any) -> bool:
    """Whether the text of an entry says what the published networks have."""
    if isinstance(wanted, bool):
        return isinstance(text, str) and text.lower() in (("true", "yes", "on") if wanted else ("false", "no", "off"))
    return bool(text == str(wanted))


def _read(path: Path) -> dict[str, Any]:
    """Entries of all sections by `section.key`."""
    raw = read_yaml(path, str(path), "give the authors' YAML file")
    if not {"data", "training"} & set(raw):
        raise UserError(
            f"{path} is no published configuration (it has no sections data and training): give the authors' YAML file"
        )
    sections = {name: content for name, content in raw.items() if isinstance(content, dict)}
    return {f"{name}.{key}": value for name, content in sections.items() for key, value in content.items()}


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
    return f"# From {printable(origin.name)} by `speech2lip import config`.\n{note}{yaml.safe_dump(content, sort_keys=False)}"
