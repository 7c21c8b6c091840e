"""The name of every file of a subject, in one place, and its `subject.json`."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from .errors import UserError
from .geometry import Intrinsics, Poses

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Crop:
    """Square of the source image that preprocessing keeps.

    x, y: top-left corner in source pixels (may be negative: what lies outside the image
    is padded); side: its size in source pixels; size: the size it is stored at.
    """

    x: int
    y: int
    side: int
    size: int

    @property
    def scale(self) -> float:
        """Stored pixels per source pixel."""
        return self.size / self.side

    def to_crop(self, pixels: np.ndarray) -> np.ndarray:
        """Source pixels [..., 2] -> stored crop pixels (pixel areas, not centres, scale)."""
        return (pixels - np.array([self.x, self.y]) + 0.5) * self.scale - 0.5


@dataclass(frozen=True)
class Box:
    """Rectangle of pixels: left, top, width, height."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Subject:
    """Facts of one preprocessed subject, stored as `subject.json`.

    frames: number of frames at `fps`; size: source (width, height);
    shots: [start, end) frame ranges between cuts; canonical_frame: its index;
    lip_box: in canonical crop pixels; lip_size: (width, height) of a lip image;
    region_size: side of the square the compositor works on, in crop pixels;
    audio: name and parameters of the feature backend; source: the video, absolute or
    relative to the subject's folder.
    """

    name: str
    source: str
    fps: float
    frames: int
    size: tuple[int, int]
    crop: Crop
    shots: tuple[tuple[int, int], ...]
    camera: Intrinsics
    canonical_frame: int
    lip_box: Box
    lip_size: tuple[int, int]
    region_size: int
    audio: dict[str, Any]
    version: int = FORMAT_VERSION


@dataclass(frozen=True)
class Track:
    """Per-frame results of face tracking, in crop pixels.

    landmarks: [T, 478, 2] float32, interpolated where bridged; valid: [T] bool, a face was seen or bridged;
    poses: T rigid poses; mesh: [468, 3] neutral head mesh in mm;
    colour: [T, 2, 3] per-channel gain and offset, observed = gain * canonical + offset;
    mouth: [T, K, 2] lip and chin landmarks in canonical crop pixels.
    """

    landmarks: np.ndarray
    valid: np.ndarray
    poses: Poses
    mesh: np.ndarray
    colour: np.ndarray
    mouth: np.ndarray


class SubjectLayout:
    """Paths below one subject's folder. Frames are numbered from 0."""

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self.subject = self.root / "subject.json"
        self.track = self.root / "track.npz"
        self.landmarks = self.root / "landmarks.npz"
        self.stages = self.root / "stages.json"
        self.audio = self.root / "audio" / "audio.wav"
        self.features = self.root / "audio" / "audio.npy"
        self.test_features = self.root / "audio_test" / "audio.npy"
        self.test_audio = self.root / "audio_test" / "audio.wav"
        self.face_images = self.root / "ori_images_face"
        self.grids = self.root / "coords"
        self.lip_images = self.root / "images"
        self.lip_mask = self.root / "canonical_lip_mask.png"
        self.face_mask = self.root / "canonical_face_mask.png"
        self.head_mask = self.root / "canonical_head_mask.png"
        self.parsing = self.root / "canonical_face_parsing.png"
        self.canonical = self.root / "canonical_face.png"
        self.depth = self.root / "depth_face_canonical.npy"

    def face_image(self, index: int) -> Path:
        return self.face_images / f"{index:05d}.jpg"

    def grid(self, index: int) -> Path:
        """Correspondences that an imported dataset stores."""
        return self.grids / f"{index:05d}.npy"

    def lip_image(self, index: int) -> Path:
        return self.lip_images / f"{index:05d}.jpg"

    def load_subject(self) -> Subject:
        if not self.subject.is_file():
            raise UserError(
                f"no preprocessed subject in {self.root} ({self.subject.name} is missing): "
                f"run `speech2lip preprocess --video VIDEO --out {self.root}` first"
            )
        try:
            raw = json.loads(self.subject.read_text(encoding="utf-8"))
            return _subject_from_json(raw)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.subject} is not a subject file of this version ({error}): preprocess the video again"
            ) from error

    def save_subject(self, subject: Subject) -> None:
        with atomic_path(self.subject) as path:
            path.write_text(json.dumps(asdict(subject), indent=1), encoding="utf-8")

    def load_track(self) -> Track:
        with np.load(_existing(self.track, "preprocess the video again"), allow_pickle=False) as data:
            poses = Poses(data["rotvec"], data["trans"])
            names = ("landmarks", "valid", "mesh", "colour", "mouth")
            return Track(poses=poses, **{name: data[name] for name in names})

    def save_track(self, track: Track) -> None:
        with atomic_path(self.track) as path, open(path, "wb") as stream:
            np.savez_compressed(
                stream,
                landmarks=track.landmarks.astype(np.float32),
                valid=track.valid,
                rotvec=track.poses.rotvec,
                trans=track.poses.trans,
                mesh=track.mesh,
                colour=track.colour,
                mouth=track.mouth.astype(np.float32),
            )

    def source_path(self, subject: Subject) -> Path:
        """The source video or image folder, checked to exist."""
        path = Path(subject.source)
        path = path if path.is_absolute() else self.root / path
        return _existing(path, f"put the source video of subject {subject.name} back there")


def _existing(path: Path, remedy: str) -> Path:
    if not path.exists():
        raise UserError(f"{path} is missing: {remedy}")
    return path


def _subject_from_json(raw: dict[str, Any]) -> Subject:
    if raw.get("version") != FORMAT_VERSION:
        raise ValueError(f"format version {raw.get('version')}, this program reads {FORMAT_VERSION}")
    unknown = set(raw) - {f.name for f in fields(Subject)}
    if unknown:
        raise ValueError(f"unknown entries {sorted(unknown)}")
    raw = dict(raw)
    raw["crop"] = Crop(**raw["crop"])
    raw["camera"] = Intrinsics(**raw["camera"])
    raw["lip_box"] = Box(**raw["lip_box"])
    raw["size"] = tuple(raw["size"])
    raw["lip_size"] = tuple(raw["lip_size"])
    raw["shots"] = tuple((a, b) for a, b in raw["shots"])
    return Subject(**raw)


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` that replaces it when the block ends well.

    A block that raises leaves neither the temporary file nor a changed target. The
    temporary name keeps the suffix, which encoders look at.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
    except OSError as error:
        raise UserError(f"cannot write {target} ({error.strerror}): choose a writable place") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
