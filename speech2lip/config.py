"""Configuration: frozen dataclasses, read from YAML with `inherit_from`, checked by OmegaConf.

Unknown keys, wrong types and contradictory values are refused with the key's name. Every
key and its default stand, commented, in `configs/default.yaml`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from .errors import UserError


@dataclass(frozen=True)
class DataConfig:
    root: str = "dataset/subject"
    video: str = ""
    fps: float = 25.0
    test_fraction: float = 0.1
    memory_gb: float = 1.5


@dataclass(frozen=True)
class FaceConfig:
    tracker: str = "bundle"
    parsing: str = "mediapipe"
    max_crop: int = 640
    jpeg_quality: int = 95
    max_gap: float = 0.4
    smooth: float = 1.0
    align: float = 1.0
    exposure: float = 1.0
    lip_margin: float = 0.22
    lip_feather: float = 0.16
    lip_max_width: int = 144


@dataclass(frozen=True)
class FitConfig:
    landmarks: str = "mesh"
    identities: int = 100
    expressions: int = 79
    textures: int = 100
    identity_weight: float = 1.0
    expression_weight: float = 1.0
    noise: float = 0.02
    keyframes: int = 160
    photometric: float = 1.0
    laplacian: float = 0.5


@dataclass(frozen=True)
class AudioConfig:
    backend: str = "mel+moonshine"
    model: str = ""
    layer: int = -1
    window: int = 20
    step: float = 0.02


@dataclass(frozen=True)
class LipConfig:
    embedding: int = 64
    shape_codes: int = 12
    detail: int = 8
    audio_width: int = 128
    audio_dropout: float = 0.2
    frequencies: int = 10
    width: int = 192
    layers: int = 6
    skip_after: int = 3
    upsample: int = 0
    features: int = 32
    ensemble: str = "center"


@dataclass(frozen=True)
class BlendConfig:
    widths: tuple[int, ...] = (32, 48, 48)
    pack: int = 2
    residual: bool = True
    norm: bool = True


@dataclass(frozen=True)
class ModelConfig:
    kind: str = "speech2lip"
    compat: bool = False
    lip: LipConfig = field(default_factory=LipConfig)
    blend: BlendConfig = field(default_factory=BlendConfig)


@dataclass(frozen=True)
class LossConfig:
    photometric: float = 10.0
    fused: float = 10.0
    perceptual: str = "structure"
    perceptual_weight: float = 0.1
    lips: float = 3.0
    shape: float = 0.5
    depth: float = 0.1
    sync: float = 0.01
    black_hole: float = 0.0
    swap: float = 0.5

    def weight(self, term: str) -> float:
        """Weight of a term of the total loss."""
        return float(self.perceptual_weight if term == "perceptual" else getattr(self, term))


@dataclass(frozen=True)
class SyncConfig:
    expert: str = "none"
    share: float = 0.08
    epochs: int = 150
    start: float = 0.75
    start_step: int = 0
    freeze_blend: bool = False
    window: int = 5
    negative_offset: int = 5
    mel_offset: int = 2
    mel_fmin: float = 55.0
    width: int = 32


@dataclass(frozen=True)
class TrainConfig:
    minutes: float = 0.0
    steps: int = 40_000
    batch: int = 8
    speech_share: float = 0.1
    speech_epochs: int = 60
    augment: float = 1.0
    mixup: float = 0.4
    articulate: float = 1.35
    code_noise: float = 0.1
    pose_noise: float = 0.1
    speech_batch: int = 128
    rate: float = 1e-3
    speech_rate: float = 0.1
    final_rate: float = 0.02
    weight_decay: float = 1e-2
    ema: float = 0.999
    seed: int = 0
    device: str = "auto"
    amp: bool = True
    validate_every: float = 0.1
    save_every_minutes: float = 5.0
    log_every: int = 50
    output: str = "log"


@dataclass(frozen=True)
class RenderConfig:
    crf: int = 17
    preset: str = "medium"
    batch: int = 8
    articulation: float = 1.0
    amp: bool = True
    output: str = "rendering_result"


@dataclass(frozen=True)
class Config:
    name: str = "subject"
    rasterizer: str = "cpu"
    data: DataConfig = field(default_factory=DataConfig)
    face: FaceConfig = field(default_factory=FaceConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    sync: SyncConfig = field(default_factory=SyncConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    render: RenderConfig = field(default_factory=RenderConfig)


_BACKENDS = ("mel", "moonshine", "deepspeech", "hubert", "wav2vec2", "phones")


_CHOICES = {
    "face.tracker": ("bundle", "bfm", "gnm"),
    "fit.landmarks": ("mesh", "68", "face_alignment"),
    "face.parsing": ("mediapipe", "bisenet"),
    "rasterizer": ("cpu", "pytorch3d"),
    "model.kind": ("speech2lip", "published"),
    "model.lip.ensemble": ("center", "corners"),
    "loss.perceptual": ("structure", "lpips"),
    "sync.expert": ("none", "own", "wav2lip"),
}


_RANGES = {
    "data.fps": (1, 240), "data.test_fraction": (0, 0.5), "face.max_crop": (64, 4096), "face.jpeg_quality": (50, 100),
    "face.lip_max_width": (32, 1024), "audio.window": (4, 200), "model.lip.layers": (2, 32),
    "train.batch": (1, 4096), "train.steps": (1, 10**9), "train.ema": (0, 0.99999), "sync.start": (0, 1),
    "sync.window": (1, 25), "render.crf": (0, 51), "render.batch": (1, 256),
}  # fmt: skip


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, its parents (`inherit_from`, relative to the file) and `key=value` overrides.

    Later wins: defaults, parents, the file, overrides. Raises UserError naming the file
    and the key for unknown keys, wrong types, unreadable YAML and inheritance cycles.
    """
    layers = [OmegaConf.create(raw) for raw in _chain(Path(path), ())]
    return _merge(layers, overrides, str(path))


def default_config(overrides: Sequence[str] = ()) -> Config:
    """The defaults, changed by `key=value` overrides."""
    return _merge([], overrides, "command line")


def config_from_dict(values: dict[str, Any], origin: str) -> Config:
    """Rebuild a configuration that a checkpoint carries."""
    return _merge([OmegaConf.create(values)], (), origin)


def config_to_dict(config: Config) -> dict[str, Any]:
    """Plain containers, for YAML and checkpoints."""
    return asdict(config)


def _chain(path: Path, seen: tuple[Path, ...]) -> list[dict[str, Any]]:
    if path.resolve() in seen:
        raise UserError(f"{path} inherits from itself: remove the cycle of inherit_from")
    try:
        raw = OmegaConf.to_container(OmegaConf.load(path)) or {}
    except OSError as error:
        raise UserError(
            f"configuration {path} cannot be read ({error.strerror}): give the path of a YAML file"
        ) from error
    except (YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"configuration {path} is not valid YAML ({reason}): mend the file") from error
    if not isinstance(raw, dict):
        raise UserError(f"configuration {path} holds a {type(raw).__name__}, needed are `key: value` lines")
    parent = raw.pop("inherit_from", None)
    above = _chain(path.parent / parent, (*seen, path.resolve())) if parent else []
    return [*above, raw]  # type: ignore[list-item]


def _merge(layers: Sequence[Any], overrides: Sequence[str], origin: str) -> Config:
    schema = OmegaConf.structured(Config)
    OmegaConf.set_readonly(schema, False)
    try:
        merged = OmegaConf.merge(schema, *layers, OmegaConf.from_dotlist(list(overrides)))
        config = OmegaConf.to_object(merged)
    except (OmegaConfBaseException, TypeError, ValueError, YAMLError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"configuration {origin}: {reason}; configs/default.yaml lists every key") from error
    assert isinstance(config, Config)
    _check(config, origin)
    return config


def _check_backends(config: Config, origin: str) -> None:
    """audio.backend: one name, or several that are joined by "+"."""
    names = config.audio.backend.split("+")
    if not set(names) <= set(_BACKENDS):
        raise UserError(
            f"configuration {origin}: audio.backend is {config.audio.backend!r}, allowed is one of {', '.join(_BACKENDS)}, "
            "or several joined by +"
        )
    several = len(names) > 1 and ("deepspeech" in names or {"hubert", "wav2vec2"} <= set(names))
    if several or len(set(names)) < len(names):
        raise UserError(
            f"configuration {origin}: audio.backend {config.audio.backend!r} cannot be joined: each name once, hubert or "
            "wav2vec2, and deepspeech alone (its windows are the published ones)"
        )


def _check(config: Config, origin: str) -> None:
    _check_backends(config, origin)
    for key, allowed in _CHOICES.items():
        if _get(config, key) not in allowed:
            raise UserError(
                f"configuration {origin}: {key} is {_get(config, key)!r}, allowed is one of {', '.join(allowed)}"
            )
    for key, (low, high) in _RANGES.items():
        if not low <= _get(config, key) <= high:
            raise UserError(f"configuration {origin}: {key} is {_get(config, key)}, allowed is {low} to {high}")
    for key, powers in (("model.lip.upsample", (0, 1, 2, 4, 8)), ("model.blend.pack", (1, 2, 4))):
        if _get(config, key) not in powers:
            raise UserError(f"configuration {origin}: {key} is {_get(config, key)}, allowed is one of {powers}")
    if len(config.model.blend.widths) < 2:
        raise UserError(f"configuration {origin}: model.blend.widths needs at least two entries")
    for key, value in asdict(config.loss).items():
        if not isinstance(value, str) and value < 0:
            raise UserError(f"configuration {origin}: loss.{key} is {value}, a weight must be 0 (off) or positive")
    if config.sync.expert == "wav2lip" and config.sync.window != 5:
        raise UserError(f"configuration {origin}: sync.window is {config.sync.window}, the Wav2Lip expert needs 5")
    if config.model.lip.skip_after >= config.model.lip.layers - 1:
        raise UserError(f"configuration {origin}: model.lip.skip_after must be below model.lip.layers - 1")


def _get(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = getattr(config, name)
    return config
