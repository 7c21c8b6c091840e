"""Configuration: frozen dataclasses, read from YAML with `inherit_from` and from `key=value` settings.

Every key is declared once, below: its default, its meaning, and what it may be. Checks, `speech2lip
config` and `configs/default.yaml` derive from that. Unknown keys, wrong types, values out of range and
contradictions are refused in one sentence that names the key.
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from .errors import UserError
from .names import LONGEST
from .yaml_reader import read_yaml

PRESETS = Path(__file__).parent / "configs"
_EVER = 1e9  # a bound for counts that have none of their own
_MOST_PARENTS = 50  # of a file, in a row
_SHOWN = 60  # characters of a value in a message
_MOST_LEVELS = 8  # of Blend-Net, each half as large as the one before
DEVICES = "auto, cpu, cuda, cuda:N or mps"
MORPHABLE = ("bfm", "gnm")  # trackers that fit a head model
BACKENDS = ("mel", "moonshine", "deepspeech", "hubert", "wav2vec2", "phones")
SILENCES = ("close", "natural", "off")
X264_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")


LONGEST_LABEL = 40  # characters
AUTO = "auto"  # how a 0 is written that leaves a number to the program


def key(
    default: Any, meaning: str, low: float | None = None, high: float | None = None, choices: Sequence[Any] = (),
    auto: bool = False,
) -> Any:  # fmt: skip
    """A configuration entry: what it means, and its range (both ends allowed) or its choices; auto: or 0, written "auto"."""
    facts = {"meaning": meaning, "low": low, "high": high, "choices": tuple(choices), "auto": auto}
    return field(default=default, metadata=facts)


def section(kind: type, meaning: str) -> Any:
    """A group of entries."""
    return field(default_factory=kind, metadata={"meaning": meaning})


@dataclass(frozen=True)
class DataConfig:
    root: str = key("dataset/subject", "the subject's folder")
    video: str = key("", "source video or folder of frames, for preprocess without --video")
    fps: float = key(
        0.0, "frames per second of the subject; auto: the source's own, or the half or third of a high rate. Sources of any rate "
        "are resampled by time", 1, 240, auto=True,
    )  # fmt: skip
    face: str = key(
        "", "whose face is learned where several people are seen: a number on the sheet of people (people.jpg), or a picture of that "
        "person; nothing: number 1, the one seen most"
    )  # fmt: skip
    video_stream: int = key(
        -1, "the clip's picture, by the number that the file gives it; -1: the main one", -1, 10_000
    )
    audio_stream: int = key(-1, "the clip's sound, by the number that the file gives it; -1: the main one", -1, 10_000)
    allow_partial: bool = key(False, "go on where only a part of the clip can be decoded")
    correct_offset: bool = key(
        True, "move a sound that is clearly late or early to its lips before anything is learned"
    )
    offset: float = key(
        0.0, "seconds by which the clip's sound comes later than its picture (negative: earlier), where you know better; it is "
        "moved by as much instead", -2, 2,
    )  # fmt: skip
    test_fraction: float = key(0.1, "last part of the clip, kept for testing and never trained on", 0, 0.5)
    memory_gb: float = key(1.5, "training pictures beyond this live in a memory-mapped file", 0, 1e4)


@dataclass(frozen=True)
class LearnableConfig:
    seconds: float = key(2.5, "of a face, and of sound, without which there is too little", 0, 1e5)
    level: float = key(-60.0, "dB of full scale that the louder twentieth of the sound must reach", -400, 0)
    lips: float = key(0.3, "movement of the lips (standard deviation of the mouth's opening), % of the distance "
                      "between the eyes", 0, 100)  # fmt: skip
    sync: float = key(
        0.3, "correlation between the mouth's opening and what the sound says of it, on parts of the clip that this was not "
        "learned from; less is warned of, and refused where chance does not explain it; -1: any will do", -1, 1,
    )  # fmt: skip


@dataclass(frozen=True)
class FaceConfig:
    tracker: str = key(
        "bundle", "bundle: FaceMesh landmarks and bundle adjustment; bfm, gnm: a morphable model (docs/published.md)",
        choices=("bundle", *MORPHABLE),
    )  # fmt: skip
    parsing: str = key(
        "mediapipe", "head mask: mediapipe: selfie segmentation; bisenet: the published 19 classes",
        choices=("mediapipe", "bisenet"),
    )  # fmt: skip
    max_crop: int = key(640, "a larger square around the head is stored shrunk to this many pixels", 64, 4096)
    jpeg_quality: int = key(95, "quality of the stored face crops", 50, 100)
    same_person: float = key(
        0.45, "how far apart the most alike sightings of two faces may be and still be one person's (distance of embeddings; "
        "docs/experiments/whose-face.md)", 0, 100,
    )  # fmt: skip
    max_gap: float = key(0.4, "seconds without a face that tracking bridges", 0, 60)
    smooth: float = key(1.0, "factor on the measured pose noise: 0 keeps raw poses, above 1 smooths more", 0, 100)
    exposure: float = key(
        1.0, "share of a frame's measured exposure that is evened out in training and applied in use", 0, 1
    )
    hidden: float = key(
        0.07, "share of the mouth's region that must look foreign for a frame to be left out, as one with something in front of "
        "the mouth; 1: never", 0.01, 1,
    )  # fmt: skip
    lip_margin: float = key(0.22, "region around lips and chin, as a share of the lips' width", 0, 2)
    lip_feather: float = key(0.16, "soft edge of that region, as a share of the lips' width", 0, 2)
    lip_max_width: int = key(320, "lip images are as wide as in the video, up to this many pixels", 32, 1024)
    drawn_width: int = key(
        96, "networks draw lip images up to so many pixels wide, and half as wide as they are kept; what is finer is the detail "
        "of real mouths. 0: networks draw everything", 0, 1024,
    )  # fmt: skip
    outline: float = key(
        0.12,
        "how far that region reaches beyond the face's outline, as a share of the lips' width; 0: it is not cut there",
        0,
        10,
    )


def _information(noise: float, redundancy: float, iod: float) -> float:
    return 1 / ((noise * iod) ** 2 * redundancy)


@dataclass(frozen=True)
class BundleConfig:
    keyframes: int = key(240, "frames of the joint adjustment", 8, 5000)
    iterations: int = key(12, "Gauss-Newton steps of the joint adjustment", 1, 200)
    shape_prior: float = key(4.0, "standard deviation of the head's shape around FaceMesh's average, mm", 0.01, 100)
    focal_prior: float = key(0.3, "standard deviation of the log focal length", 0.001, 10)
    focal_guess: float = key(1.6, "expected focal length, in lengths of the picture's longer side", 0.1, 20)
    noise: float = key(0.02, "noise of a landmark beside colours, as a share of the distance between the eyes", 1e-4, 1)
    redundancy: float = key(10.0, "landmarks that count as one independent observation, beside colours", 1, 1000)

    def information(self, iod: float) -> float:
        """What a squared landmark error of one pixel counts; iod: distance between the eyes in pixels."""
        return _information(self.noise, self.redundancy, iod)


@dataclass(frozen=True)
class FitConfig:
    landmarks: str = key(
        "mesh", "mesh: 468 points, found on any model; 68: the published ones, from FaceMesh; face_alignment: that package",
        choices=("mesh", "68", "face_alignment"),
    )  # fmt: skip
    identities: int = key(100, "components of identity of the Basel model", 1, 199)
    expressions: int = key(79, "components of expression of the Basel model", 1, 79)
    textures: int = key(100, "components of texture of the Basel model", 1, 199)
    identity_weight: float = key(1.0, "prior of identity, in standard deviations", 0, 1e6)
    expression_weight: float = key(1.0, "prior of expression, in standard deviations", 0, 1e6)
    noise: float = key(0.02, "noise of a landmark, as a share of the distance between the eyes", 1e-4, 1)
    redundancy: float = key(10.0, "landmarks that count as one independent observation", 1, 1000)
    keyframes: int = key(160, "frames that determine identity and focal length", 8, 5000)
    iterations: int = key(12, "Gauss-Newton steps of the joint adjustment", 1, 200)
    focal_prior: float = key(0.3, "standard deviation of the log focal length", 0.001, 10)
    focal_guess: float = key(1.6, "expected focal length, in lengths of the picture's longer side", 0.1, 20)
    keep: float = key(0.9999, "share of the bases' energy at the landmarks that is kept", 0.5, 1)

    def information(self, iod: float) -> float:
        """What a squared landmark error of one pixel counts; iod: distance between the eyes in pixels."""
        return _information(self.noise, self.redundancy, iod)


@dataclass(frozen=True)
class PhotometricConfig:
    weight: float = key(
        1.0, "of the skin's colours, which hold poses still, beside landmarks; 0: landmarks alone", 0, 100
    )
    laplacian: float = key(0.5, "smoothness over time of the points that expressions leave alone", 0, 1000)
    texture_weight: float = key(1.0, "prior of a morphable model's texture, in standard deviations", 0, 1e6)
    rounds: int = key(3, "rounds of light, pose and expression", 1, 20)
    blur: float = key(0.03, "sigma of the pictures' blur, as a share of the distance between the eyes", 0, 0.5)


@dataclass(frozen=True)
class AudioConfig:
    backend: str = key(
        "mel+moonshine", "features of speech, one or several joined by +: " + ", ".join(BACKENDS) + " (docs/audio.md)"
    )
    model: str = key("", "hubert, wav2vec2: local folder or hub name; deepspeech: converted weights (.safetensors)")
    layer: int = key(-1, "hubert, wav2vec2: hidden state; 0 is the first layer's input, -1 the last output", -1, 100)
    window: int = key(20, "rows of features per window", 4, 200)
    step: float = key(0.02, "seconds between rows", 0.005, 0.2)
    ahead: float = key(
        -1.0, "seconds of sound after a frame to which its window reaches, and for which live rendering waits; -1: half of the window",
        -1, 4,
    )  # fmt: skip


@dataclass(frozen=True)
class LipConfig:
    embedding: int = key(64, "width of the speech embedding", 1, 4096)
    shape_codes: int = key(12, "principal components of the mouth's shape", 1, 100)
    detail: int = key(8, "width of the speech that the picture sees beside the shape", 1, 4096)
    audio_width: int = key(128, "channels of the speech encoder", 1, 4096)
    regression: float = key(
        2.0,
        "penalty, per sample, of the ridge regression that predicts shape codes beside the encoder; 0: no regression",
        0,
        1e6,
    )
    audio_dropout: float = key(0.2, "dropout in the speech encoder", 0, 0.95)
    frequencies: int = key(10, "of the coordinate encoding", 1, 32)
    width: int = key(192, "hidden units of the implicit field", 8, 8192)
    layers: int = key(6, "hidden layers of the implicit field", 2, 32)
    skip_after: int = key(3, "hidden layer after which the inputs enter again", 0, 30)
    upsample: int = key(
        0, "pixels per side of a lattice cell; 1: the field gives colour at every pixel (the paper); 0: 4 for lip images up "
        "to 96 pixels wide, 8 beyond", choices=(0, 1, 2, 4, 8),
    )  # fmt: skip
    features: int = key(32, "channels of that lattice", 1, 1024)
    exemplars: int = key(
        96, "real mouths of the training part; the nearest is shown, with a change that networks draw", 2, 1000
    )
    ensemble: str = key(
        "center", "center: one sample per pixel; corners: the mean of four (LIIF)", choices=("center", "corners")
    )


@dataclass(frozen=True)
class BlendConfig:
    widths: tuple[int, ...] = key((32, 48, 48), "channels per level; the paper has [64, 128, 128]", 1, 4096)
    unshuffle: int = key(
        0, "pixels per side that become channels before the first layer; 0: 2 for lip images up to 160 pixels wide, 4 beyond",
        choices=(0, 1, 2, 4),
    )  # fmt: skip
    residual: bool = key(True, "predict a change of the merged picture")
    norm: bool = key(True, "batch norm")


@dataclass(frozen=True)
class ModelConfig:
    kind: str = key(
        "speech2lip", "speech2lip; published: the authors' networks, of fixed sizes, on the whole face crop",
        choices=("speech2lip", "published"),
    )  # fmt: skip
    compat: bool = key(False, "published: sample correspondences half a pixel off, as the authors do")
    prior: str = key(
        "", "file of `speech2lip prior`, with which the speech encoder starts; nothing: it starts from chance"
    )
    lip: LipConfig = section(LipConfig, "speech encoder and implicit lip model")
    blend: BlendConfig = section(BlendConfig, "Blend-Net")


@dataclass(frozen=True)
class LossConfig:
    photometric: float = key(10.0, "squared error of canonical lips", 0, 1e6)
    fused: float = key(10.0, "squared error of the finished region", 0, 1e6)
    perceptual: str = key(
        "structure", "on both: structure: multi-scale SSIM and image gradients; lpips: LPIPS-Alex v0.1",
        choices=("structure", "lpips"),
    )  # fmt: skip
    perceptual_weight: float = key(0.1, "of the perceptual loss", 0, 1e6)
    lips: float = key(3.0, "how much more the lips count in lip images than the skin around them; 0: alike", 0, 1e6)
    shape: float = key(0.5, "mouth shape predicted from speech", 0, 1e6)
    depth: float = key(0.1, "head warped by the learnable depth", 0, 1e6)
    depth_smoothness: float = key(0.1, "of the learnable depth, within the depth term", 0, 1e6)
    depth_points: int = key(512, "pixels of the head at which the depth term is measured in each step", 1, 100_000)
    sync: float = key(0.01, "loss of the frozen sync expert, where there is one (sync.expert)", 0, 1e6)
    black_hole: float = key(
        0.0, "share of samples with swapped pixels before blending (the paper's augmentation)", 0, 1
    )
    swap: float = key(
        0.5, "share of samples painted on another frame with a like pose and judged on the lips, so that no mouth is read off "
        "the cheeks", 0, 1,
    )  # fmt: skip

    def weight(self, term: str) -> float:
        """Weight of a term of the total loss."""
        return float(self.perceptual_weight if term == "perceptual" else getattr(self, term))


@dataclass(frozen=True)
class SyncConfig:
    expert: str = key(
        "none", "none: nothing is gained by one, measured; own: trained on the subject's real windows before anything else; "
        "wav2lip: lipsync_expert.pth", choices=("none", "own", "wav2lip"),
    )  # fmt: skip
    share: float = key(0.08, "of the budget, for training the own expert, but at most `epochs`", 0, 0.9)
    epochs: int = key(150, "passes of the own expert over the training frames", 1, 100_000)
    batch: int = key(64, "windows per step of the own expert", 2, 4096)
    rate: float = key(1e-3, "learning rate of the own expert", 1e-9, 10)
    weight_decay: float = key(1e-2, "of the own expert", 0, 10)
    temperature: float = key(0.1, "of its contrastive loss", 1e-3, 10)
    width: int = key(32, "channels of the own expert", 1, 4096)
    start: float = key(0.75, "share of the budget after which the loss acts", 0, 1)
    start_step: int = key(0, "or the step, where that is not 0", 0, _EVER)
    freeze_blend: bool = key(False, "keep Blend-Net as it is from then on")
    window: int = key(5, "frames per window", 1, 25)
    negative_offset: int = key(5, "frames by which other moments must differ", 1, 10_000)
    mel_offset: int = key(2, "wav2lip: frames from a window's first frame to its mel", -100, 100)
    mel_fmin: float = key(55.0, "wav2lip: lowest frequency in Hz, 55 for a male and 95 for a female voice", 0, 4000)


@dataclass(frozen=True)
class TrainConfig:
    minutes: float = key(0.0, "budget in minutes of wall-clock time; 0: use steps", 0, 1e6)
    steps: int = key(40_000, "budget in steps", 1, _EVER)
    batch: int = key(8, "frames per step", 1, 4096)
    parts: int = key(
        0,
        "equal parts of a batch that threads and processes compute side by side; 0: two on a processor, else one for each process",
        0,
        4096,
    )
    speech_share: float = key(0.1, "of the budget, for the speech encoder alone, but at most `speech_epochs`", 0, 1)
    speech_epochs: int = key(60, "passes of the speech encoder over the training frames", 1, 100_000)
    speech_batch: int = key(128, "audio windows per step of the speech encoder", 2, 65_536)
    speech_rate: float = key(0.1, "factor on the rate for the speech encoder after its own phase", 0, 10)
    speech_warmup_steps: int = key(100, "steps over which the rate of that phase rises", 1, _EVER)
    speech_phase_rate: float = key(2.0, "factor on the rate for the speech encoder in its own phase", 0, 100)
    augment: float = key(
        1.0, "strength of disturbances of audio windows (level, tilt, noise, missing bands); 0: none", 0, 10
    )
    early: float = key(
        0.12,
        "seconds at a window's end, at most, that half of the windows lack, as they do live (render.early)",
        0,
        0.5,
    )
    mixup: float = key(0.4, "blends pairs of windows and their mouths while the speech encoder learns; 0: none", 0, 10)
    silent_share: float = key(0.03125, "of the speech batch: windows of silence, which rest the mouth", 0, 0.5)
    articulate: float = key(
        1.6, "largest factor on the predicted mouth, where it moves too little on unheard speech; 1: none", 1, 3
    )
    folds: int = key(3, "parts of the training frames that take turns as unheard speech, to measure that", 2, 20)
    code_noise: float = key(
        0.1, "standard deviations of noise on the mouth shapes from which pictures are learned", 0, 10
    )
    pose_noise: float = key(0.1, "noise on the head's turn that pictures see, in units of 0.15 rad", 0, 10)
    rate: float = key(1e-3, "peak learning rate", 1e-9, 10)
    warmup_steps: int = key(200, "steps over which the rate rises", 1, _EVER)
    final_rate: float = key(0.02, "share of the rate that is left at the end", 0, 1)
    weight_decay: float = key(1e-2, "of the speech encoder", 0, 10)
    clip_gradient: float = key(1.0, "largest norm of the gradient", 1e-6, 1e6)
    max_skipped: int = key(
        20, "steps with a loss that is not a number, which are skipped, before training gives up", 0, _EVER
    )
    ema: float = key(0.999, "decay of the averaged weights, which are what is kept", 0, 0.99999)
    seed: int = key(0, "of all random choices", 0, 2**31 - 1)
    device: str = key("auto", DEVICES)
    amp: bool = key(True, "bfloat16 where the device computes in it")
    validate_every: float = key(0.1, "of the budget", 0.001, 1)
    validation_frames: int = key(64, "test frames that are drawn for the curves", 1, 100_000)
    save_every_minutes: float = key(5.0, "minutes between savings of the state", 0.01, 1e5)
    log_every: int = key(50, "steps between entries of the curves", 1, _EVER)
    output: str = key("log", "folder of log/NAME/{model.pt, last.pt, tensorboard}")


@dataclass(frozen=True)
class RenderConfig:
    crf: int = key(15, "quality of H.264, lower is better", 0, 51)
    preset: str = key("veryfast", "of x264: how long it searches", choices=X264_PRESETS)
    hdr: str = key("sdr", "HDR sources: tone-mapped to sdr, or kept in 10 bit with their tags", choices=("sdr", "keep"))
    batch: int = key(8, "frames at once, shared by the threads that paint", 1, 256)
    fade: int = key(
        4,
        "frames over which the mouth is left to the source where something comes in front of it, or the face is lost",
        0,
        100,
    )
    ease: int = key(4, "frames at the ends of a dubbed span over which the mouth leaves the source's own shape", 0, 100)
    voice: str = key("en-us", "espeak-ng's name of the built-in voice, for spans with text and no sound of their own")
    keep_length: bool = key(
        False, "as many frames as the source: silence follows sound that is shorter, and longer sound is refused"
    )
    lossless_sound: bool = key(
        False, "write sound without loss (FLAC in .mp4 and .mkv, ALAC in .mov), so that outside of dubbed spans no sample changes; "
        "render.crf=0 does that to the picture",
    )  # fmt: skip
    clear_seconds: float = key(
        4.0,
        "stretch without such frames, or others without this person's face, that is long enough for the walk to stay in it",
        0,
        1e5,
    )
    early: float = key(
        0.12,
        "live: seconds at the end of a frame's sound that are not waited for; the last sound stands for them",
        0,
        0.4,
    )
    articulation: float = key(1.0, "factor on the predicted mouth shape", 0, 3)
    silence: str = key(
        "close", "where nobody speaks, music and noise included: close: the mouth goes to the person's own rest; natural: it keeps "
        "small, slow movement around that; off: it does what the model makes of the sound", choices=SILENCES,
    )  # fmt: skip
    loop: tuple[int, ...] = key(
        (),
        "first and last source frame of the stretch that is walked forth and back; nothing: the whole clip",
        0,
        _EVER,
    )
    steady: float = key(0.0, "how much lips are smoothed over time; live, 1 makes them about 40 ms late", 0, 1)
    pose: str = key(
        "source", "the head's motion: source: the clip's own; hold: one pose; or a file whose motion it follows: JSON (docs/pose.md), "
        "or another subject's folder",
    )  # fmt: skip
    pose_scale: float = key(1.0, "factor on that motion: below 1 it is calmer, above 1 stronger", 0, 3)
    pose_limit: float = key(15.0, "degrees that a head is turned from how its source frame shows it, at most", 0, 30)
    amp: bool = key(True, "bfloat16 where the device computes in it")
    output: str = key("rendering_result", "folder of rendered frames")
    label: str = key("", "text of a visible mark in a corner of every frame, such as AI-generated; empty: none")
    credentials: bool = key(True, "rendered files carry C2PA content credentials, which say that they were generated")
    signing_key: str = key(
        "", "PEM file with your own private key that signs them; empty: one that is made on this computer, once"
    )
    certificate: str = key("", "PEM file with that key's certificate and those of its issuers, in this order")


@dataclass(frozen=True)
class Config:
    name: str = key("subject", "of the subject; names log/NAME and rendering_result/NAME")
    rasterizer: str = key("cpu", "cpu: built in; pytorch3d: that package", choices=("cpu", "pytorch3d"))
    data: DataConfig = section(DataConfig, "the subject's folder and how it is read")
    learnable: LearnableConfig = section(LearnableConfig, "least that a clip must offer; what offers less is refused")
    face: FaceConfig = section(FaceConfig, "preprocessing of the face")
    bundle: BundleConfig = section(BundleConfig, "the built-in tracker (face.tracker=bundle)")
    fit: FitConfig = section(FitConfig, "morphable models (face.tracker=bfm or gnm)")
    photometric: PhotometricConfig = section(PhotometricConfig, "refinement of every tracker by colours")
    audio: AudioConfig = section(AudioConfig, "features of speech")
    model: ModelConfig = section(ModelConfig, "networks")
    loss: LossConfig = section(LossConfig, "weights of the loss; 0 switches a term off")
    sync: SyncConfig = section(SyncConfig, "sync expert")
    train: TrainConfig = section(TrainConfig, "training")
    render: RenderConfig = section(RenderConfig, "rendering")


_RENAMED = {"model.blend.pack": "model.blend.unshuffle"}  # keys of version 0.1, which its checkpoints and files hold
_RENAMED_OF_BUNDLE = {"face.align": "photometric.weight"}  # read by the built-in tracker alone
_RENAMED_OF_MODELS = {
    "fit.photometric": "photometric.weight",
    "fit.laplacian": "photometric.laplacian",
}  # by bfm and gnm


# ---------------------------------------------------------------- reading


Settings = Mapping[str, Any]  # entries by dotted key: Python values, or text as on the command line
_SIGNING = ("render.credentials", "render.signing_key", "render.certificate")


def signing_settings(config: Config) -> dict[str, Any]:
    """How a render is signed: asked of whoever renders, never of a checkpoint, which somebody else may have made."""
    return {name: value for name, _, value in entries(config) if name in _SIGNING}


def preset_names() -> list[str]:
    """Configurations that travel with the package and are known by name."""
    return sorted(p.stem for p in PRESETS.glob("*.yaml"))


def find_config(name: str | Path, beside: Path = Path()) -> Path:
    """A preset by its name, else a path (relative to `beside`)."""
    return PRESETS / f"{name}.yaml" if str(name) in preset_names() else beside / name


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file or a preset, its parents (`inherit_from`: a preset, or a path relative to the
    file) and `key=value` overrides.

    Later wins: defaults, parents, the file, overrides. Raises UserError naming the file
    and the key for unknown keys, wrong types, unreadable YAML and inheritance cycles.
    """
    return load_settings(path, {}, overrides)


def default_config(overrides: Sequence[str] = ()) -> Config:
    """The defaults, changed by `key=value` overrides."""
    return load_settings(None, {}, overrides)


def load_settings(path: str | Path | None, given: Mapping[str, Any], overrides: Sequence[str] = ()) -> Config:
    """Defaults, a YAML file or preset, values by dotted key, `key=value` overrides; later wins.

    given: Python values, or text as on the command line. Raises UserError, which names the key and the
    file (or "command line", or "settings" for `given`) that its value came from.
    """
    layers = _chain(find_config(path), ()) if path is not None else []
    layers += [_Layer("settings", given), _Layer("command line", dict(parse_setting(text) for text in overrides))]
    return _merged(layers)


def config_from_dict(values: Mapping[str, Any], origin: str) -> Config:
    """Rebuild a configuration that a checkpoint carries, in sections or by dotted keys."""
    return _merged([_Layer(origin, _flat(values, origin))])


def config_to_dict(config: Config) -> dict[str, Any]:
    """Plain containers, for YAML and checkpoints."""
    return asdict(config)


def with_changes(config: Config, section: str, given: Mapping[str, Any]) -> Config:
    """A configuration that a checkpoint carries, with entries of one section changed; UserError for others.

    given: Python values, or text as on the command line, by dotted key.
    """
    for name in given:
        if not name.startswith(f"{section}."):
            raise UserError(
                f"{shown(name)} belongs to the trained model: only keys of the section {section} change here"
            )
    return changed(config, given)


def changed(config: Config, given: Mapping[str, Any]) -> Config:
    """A configuration that a checkpoint carries, with other entries, by dotted key."""
    kept = _Layer("checkpoint", _flat(config_to_dict(config), "checkpoint"))
    return _merged([kept, _Layer("settings", given)])


def parse_setting(text: str) -> tuple[str, str]:
    """ "key=value" -> (key, value)."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"{shown(text)} is not a setting: write key=value, for example train.batch=4")
    return name, value


def entries(config: Any = Config(), prefix: str = "") -> Iterator[tuple[str, Field[Any], Any]]:
    """(dotted key, its declaration, its value) of every entry, in order; sections themselves come first."""
    for item in fields(config):
        value, name = getattr(config, item.name), prefix + item.name
        yield name, item, value
        if is_dataclass(value):
            yield from entries(value, f"{name}.")


@dataclass(frozen=True)
class _Layer:
    """Values by dotted key, and where they come from."""

    origin: str
    values: Mapping[str, Any]


def _chain(path: Path, seen: tuple[Path, ...]) -> list[_Layer]:
    """A file and its parents, the farthest first."""
    origin = f"configuration {path}"
    raw = read_yaml(path, origin, f"give the path of a YAML file, or a preset ({', '.join(preset_names())})")
    if path.resolve() in seen:
        raise UserError(f"{path} inherits from itself: remove the cycle of inherit_from")
    if len(seen) > _MOST_PARENTS:
        raise UserError(
            f"{origin} is the parent of over {_MOST_PARENTS} files in a row: shorten the chain of inherit_from"
        )
    parent = raw.pop("inherit_from", "")
    if not isinstance(parent, str):
        raise UserError(f"{origin}: inherit_from is {shown(parent)}, needed is a preset's name or a path")
    alone = parent in ("", "~", "null")
    above = [] if alone else _chain(find_config(parent, path.parent), (*seen, path.resolve()))
    return [*above, _Layer(origin, _flat(raw, origin))]


def _flat(raw: Mapping[Any, Any], origin: str, prefix: str = "") -> dict[str, Any]:
    """Nested sections -> values by dotted key."""
    out: dict[str, Any] = {}
    for name, value in raw.items():
        dotted = f"{prefix}{name}"
        deeper = isinstance(value, Mapping) and prefix.count(".") < 8
        found = _flat(value, origin, f"{dotted}.") if deeper else {dotted: value}
        for twice in out.keys() & found.keys():
            raise UserError(f"{origin}: {twice} is given twice, as a section's entry and with a dot: keep one")
        out |= found
    return out


def _merged(layers: Sequence[_Layer]) -> Config:
    """The defaults, changed by each layer in turn, and checked."""
    tracker = next((x.values["face.tracker"] for x in reversed(layers) if "face.tracker" in x.values), "bundle")
    config = Config()
    origins: dict[str, str] = {}
    for layer in layers:
        for name, value in _renamed(layer, tracker).items():
            config = _replaced(config, name, value, layer.origin)
            origins.pop(name, None)  # so that the last one given comes last
            origins[name] = layer.origin
    check(config, origins)
    return config


def _renamed(layer: _Layer, tracker: Any) -> dict[str, Any]:
    """Values by the keys of today; old ones of trackers that are not in use had no effect, and have none."""
    used, unused = _RENAMED_OF_BUNDLE, _RENAMED_OF_MODELS
    if tracker in MORPHABLE:
        used, unused = unused, used
    new = {**_RENAMED, **used}
    for old in new.keys() & layer.values.keys():
        if new[old] in layer.values:
            raise UserError(f"{layer.origin}: {old} is the old name of {new[old]}, which is given too: keep one")
    return {new.get(name, name): value for name, value in layer.values.items() if name not in unused}


def _replaced(config: Config, name: str, value: Any, origin: str) -> Config:
    """`config` with one entry changed."""
    known = {k: (item, v) for k, item, v in entries(config)}
    if name not in known:
        guess = suggestion(name, known) or "; `speech2lip config` lists every key"
        raise UserError(f"{origin}: there is no key {shown(name)}{guess}")
    item, current = known[name]
    if is_dataclass(current):
        raise UserError(f"{origin}: {name} is a section, needed are its keys, such as {name}.{fields(current)[0].name}")
    left_open = item.metadata["auto"] and value == AUTO
    converted = 0.0 if left_open else _converted(name, type(current), value, origin)
    *sections, last = name.split(".")
    return _nested(config, sections, last, converted)


def suggestion(name: str, known: Iterable[str]) -> str:
    """ "; did you mean ...?", or nothing where no known name is like this one."""
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else ""


def _nested(config: Any, sections: list[str], last: str, value: Any) -> Any:
    if not sections:
        return replace(config, **{last: value})
    inner = _nested(getattr(config, sections[0]), sections[1:], last, value)
    return replace(config, **{sections[0]: inner})


# ---------------------------------------------------------------- text and values


def _converted(name: str, kind: type, value: Any, origin: str) -> Any:
    """`value`, or the text of it, in the type of the entry's default."""
    needed, read = _KINDS[kind]
    try:
        return read(value)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{origin}: {name} is {shown(value)}, needed is {needed}") from None


def _text(value: Any) -> str:
    """Numbers are accepted from checkpoints, whose names could look like numbers."""
    if not isinstance(value, (str, Path, int, float)) or isinstance(value, bool):
        raise TypeError
    return str(value)


def switch(value: Any) -> bool:
    """true, yes and on, or false, no and off, in any case. ValueError for anything else."""
    if isinstance(value, str) and value.strip().lower() in _SWITCHES:
        return _SWITCHES[value.strip().lower()]
    if not isinstance(value, bool):
        raise ValueError
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _whole(value: Any) -> int:
    """An integer; 40_000 and 4e4 are as good."""
    if isinstance(value, str):
        try:
            return int(value)  # exact, however large
        except ValueError:
            value = float(value)
    if isinstance(value, bool) or value != int(value):
        raise ValueError
    return int(value)


def _wholes(value: Any) -> tuple[int, ...]:
    """A list, or the text of one: [8, 16]."""
    if isinstance(value, str):
        inside = re.fullmatch(r"\[([^][]*)\]", value.strip())
        if inside is None:
            raise ValueError
        value = inside[1].split(",") if inside[1].strip() else []
    if not isinstance(value, (list, tuple)):
        raise TypeError
    return tuple(_whole(v) for v in value)


_SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_KINDS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    bool: ("true or false", switch),
    int: ("a whole number", _whole),
    float: ("a number", _number),
    str: ("text", _text),
    tuple: ("a list of whole numbers", _wholes),
}


def shown(value: Any) -> str:
    """A value in a message: as Python writes it, in about 60 characters."""
    short = reprlib.Repr()
    short.maxlevel = 3
    short.maxstring = short.maxother = short.maxlong = _SHOWN
    try:
        text = short.repr(value)
    except ValueError:  # Python writes no whole number of over 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def number_text(number: float) -> str:
    """Whole numbers in full, others with every digit that tells them from their neighbours."""
    whole = isinstance(number, float) and number.is_integer() and abs(number) <= 1e15
    return shown(int(number) if whole else number)


# ---------------------------------------------------------------- checks


def check(config: Config, origins: Mapping[str, str]) -> None:
    """Ranges and choices of every entry, then what must fit together.

    origins: where each changed entry came from, the last one given last; UserError blames that place.
    """
    for name, item, value in entries(config):
        if not is_dataclass(value):
            _check_entry(name, item, value, _origin(origins, name))
    _check_name(config.name, _origin(origins, "name"))
    _check_backends(config.audio.backend, _origin(origins, "audio.backend"))
    _check_device(config.train.device, _origin(origins, "train.device"))
    _check_label(config.render.label, _origin(origins, "render.label"))
    _check_signing(config.render, _origin(origins, "render.signing_key", "render.certificate"))
    lip, sync = config.model.lip, config.sync
    levels = len(config.model.blend.widths)
    if not 2 <= levels <= _MOST_LEVELS:
        where = _origin(origins, "model.blend.widths")
        raise UserError(f"{where}: model.blend.widths has {levels} entries, allowed are 2 to {_MOST_LEVELS}")
    if sync.expert == "wav2lip" and sync.window != 5:
        where = _origin(origins, "sync.expert", "sync.window")
        raise UserError(f"{where}: sync.window is {sync.window}, the Wav2Lip expert needs 5")
    _check_loop(config.render.loop, _origin(origins, "render.loop"))
    if lip.skip_after >= lip.layers - 1:
        where = _origin(origins, "model.lip.skip_after", "model.lip.layers")
        raise UserError(
            f"{where}: model.lip.skip_after is {lip.skip_after}, it must be below model.lip.layers - 1, which is {lip.layers - 1}"
        )


def _origin(origins: Mapping[str, str], *names: str) -> str:
    """Where the last given of these entries came from."""
    return next((origin for name, origin in reversed(list(origins.items())) if name in names), "defaults")


def _check_entry(name: str, item: Field[Any], value: Any, origin: str) -> None:
    low, high, choices = (item.metadata[k] for k in ("low", "high", "choices"))
    if choices and value not in choices:
        guess = suggestion(str(value), map(str, choices)) if isinstance(value, str) else ""
        raise UserError(f"{origin}: {name} is {shown(value)}, allowed is one of {', '.join(map(str, choices))}{guess}")
    if isinstance(value, str) and "\0" in value:
        raise UserError(f"{origin}: {name} is {shown(value)}, which has a NUL character: no file can be called so")
    if item.metadata["auto"] and value == 0:
        return
    for number in value if isinstance(value, tuple) else (value,):
        if low is not None and not low <= number <= high:
            found = number_text(number)
            raise UserError(f"{origin}: {name} is {found}, allowed is {number_text(low)} to {number_text(high)}")


def _check_name(name: str, origin: str) -> None:
    """A subject's name becomes the name of folders."""
    bad = [c for c in name if c in "/\\\0" or not c.isprintable()]
    if bad or name.strip() in ("", ".", ".."):
        found = f"has the character {bad[0]!r}" if bad else "names no folder"
        raise UserError(f"{origin}: name is {shown(name)}, which {found}: give a plain name")
    size = len(name.encode("utf-8"))
    if size > LONGEST:
        raise UserError(f"{origin}: name is {shown(name)}, which has {size} bytes, allowed are {LONGEST}: shorten it")


def _check_label(label: str, origin: str) -> None:
    """What is drawn into frames: the letters that OpenCV has, and no more than fit."""
    odd = next((c for c in label if not " " <= c <= "~"), "")
    if odd:
        raise UserError(
            f"{origin}: render.label is {shown(label)}, and {odd!r} cannot be drawn: needed are letters, digits and signs of ASCII"
        )
    if len(label) > LONGEST_LABEL:
        raise UserError(
            f"{origin}: render.label is {shown(label)}, which has {len(label)} characters, allowed are {LONGEST_LABEL}: shorten it"
        )


def _check_signing(render: RenderConfig, origin: str) -> None:
    given = {"render.signing_key": render.signing_key, "render.certificate": render.certificate}
    lacking = [name for name, value in given.items() if not value]
    if len(lacking) == 1:
        other = next(name for name in given if name != lacking[0])
        raise UserError(
            f"{origin}: {other} is given without {lacking[0]}: give both, or neither for a key of this computer"
        )


def _check_loop(loop: tuple[int, ...], origin: str) -> None:
    """render.loop: nothing, or the first and the last frame."""
    if loop and (len(loop) != 2 or loop[0] > loop[1]):
        raise UserError(
            f"{origin}: render.loop is {shown(list(loop))}, needed are its first and last frame, such as [100, 349]"
        )


def _check_backends(backend: str, origin: str) -> None:
    """audio.backend: one name, or several that are joined by "+"."""
    names = backend.split("+")
    if not set(names) <= set(BACKENDS):
        raise UserError(
            f"{origin}: audio.backend is {shown(backend)}, allowed is one of {', '.join(BACKENDS)}, or several joined by +"
        )
    several = len(names) > 1 and ("deepspeech" in names or {"hubert", "wav2vec2"} <= set(names))
    if several or len(set(names)) < len(names):
        raise UserError(
            f"{origin}: audio.backend {shown(backend)} cannot be joined: each name once, hubert or wav2vec2, and deepspeech alone "
            "(its windows are the published ones)"
        )


def is_device(name: str) -> bool:
    """Whether a device may be asked for by this name, here or on another machine."""
    return re.fullmatch(r"auto|cpu|mps|cuda(:(0|[1-9][0-9]{0,2}))?", name) is not None


def _check_device(device: str, origin: str) -> None:
    if not is_device(device):
        raise UserError(f"{origin}: train.device is {shown(device)}, allowed is {DEVICES}")
