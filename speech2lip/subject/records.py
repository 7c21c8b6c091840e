"""Records of one preprocessed subject: crop, boxes, facts and per-frame track."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np

from ..arrays import LONGEST_CLIP, Unsound
from ..geometry.camera import Intrinsics, Poses
from . import schema

FORMAT_VERSION = 2


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

    def seen(self, size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of a frame (width, height) that the crop is made of: where it lies outside, the nearest."""
        left, top = (min(max(a, 0), b - 1) for a, b in zip((self.x, self.y), size, strict=True))
        right, bottom = (max(min(a + self.side, b), 1) for a, b in zip((self.x, self.y), size, strict=True))
        return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))

    def within(self, part: tuple[slice, slice]) -> Crop:
        """The same square in a picture that is these rows and columns of the frame."""
        return replace(self, x=self.x - part[1].start, y=self.y - part[0].start)

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
class Consent:
    """Whether the person agreed to be learned. date: of the answer, YYYY-MM-DD in UTC; how: it was given, of `schema.CONSENT`."""

    given: bool
    date: str
    how: str


@dataclass(frozen=True)
class Subject:
    """Facts of one preprocessed subject, stored as `subject.json`.

    frames: number of frames at `fps`; size: source (width, height);
    shots: [start, end) frame ranges between cuts; canonical_frame: its index;
    lip_box: in canonical crop pixels; lip_size: (width, height) of a lip image;
    region_size: side of the square around the mouth that the compositor works on, in pixels of `fine`;
    audio: name and parameters of the feature backend; source: the video, absolute or
    relative to the subject's folder; stream: number of its picture (-1: the main one);
    fine_size: pixels of the crop's side at which mouths are kept and drawn (0: they are cut from the stored crops);
    outline: how far, as a share of the lips' width, the region reaches beyond the face's outline (0: it is not cut there);
    coarse: fine pixels from which on networks draw; finer detail is that of real mouths (1: networks draw everything);
    consent: None in folders of a time when nobody was asked; face: number of the person among those in the clip.
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
    stream: int = -1
    fine_size: int = 0
    outline: float = 0.0
    coarse: int = 1
    consent: Consent | None = None
    face: int = 1
    version: int = FORMAT_VERSION

    @property
    def fine(self) -> Crop:
        """The crop's square at the resolution of mouths."""
        return replace(self.crop, size=self.fine_size or self.crop.size)

    @property
    def fine_scale(self) -> float:
        """Pixels of `fine` per crop pixel."""
        return self.fine.size / self.crop.size

    @property
    def drawn_size(self) -> tuple[int, int]:
        """(width, height) of a lip image as networks draw it."""
        return self.lip_size[0] // self.coarse, self.lip_size[1] // self.coarse


@dataclass(frozen=True)
class ClipLandmarks:
    """What is found in every frame of a clip.

    landmarks: [T, 478, 3] float32 FaceMesh's, in crop pixels (0 where no face was found); seen: [T]
    bool; sharpness: [T], any unit; shots: [start, end) between cuts; crop: the stored square; size:
    source (width, height); person: [T] int, who is seen (0: the one who is learned; 1, 2, ...: others; -1: nobody, or the one who is
    learned behind or before another face); face: number of the one who is learned, among the people of the clip.
    """

    landmarks: np.ndarray
    seen: np.ndarray
    sharpness: np.ndarray
    shots: tuple[tuple[int, int], ...]
    crop: Crop
    size: tuple[int, int]
    person: np.ndarray
    face: int = 1


@dataclass(frozen=True)
class Track:
    """Per-frame results of face tracking, in crop pixels.

    landmarks: [T, 478, 2] float32, interpolated where bridged; valid: [T] bool, a face was seen or bridged;
    poses: T rigid poses; mesh: [468, 3] neutral head mesh in mm;
    exposure: [T, 2, 3] per-channel gain and offset, observed = gain * canonical + offset;
    mouth: [T, K, 2] lip and chin landmarks in canonical crop pixels; hidden: [T] bool, something is in front of the mouth.
    """

    landmarks: np.ndarray
    valid: np.ndarray
    poses: Poses
    mesh: np.ndarray
    exposure: np.ndarray
    mouth: np.ndarray
    hidden: np.ndarray

    @property
    def clear(self) -> np.ndarray:
        """Frames [T] bool whose mouth is seen: those that are learned and painted."""
        return self.valid & ~self.hidden


def subject_from_json(raw: Mapping[str, Any]) -> Subject:
    """The record of checked entries; Unsound for any that does not fit."""
    version = raw.get("version")
    if isinstance(version, bool) or version != FORMAT_VERSION:
        raise Unsound(f"its format is version {str(version)[:20]}, this program reads {FORMAT_VERSION}")
    raw = {
        "fine_size": 0,
        "outline": 0.0,
        "coarse": 1,
        "consent": None,
        "face": 1,
        **raw,
    }  # older folders, and imported ones, have none
    known = {f.name for f in fields(Subject)}
    if set(raw) != known:
        different = sorted(set(raw) ^ known)[0]
        raise Unsound(f"the entry {different[:40]} is {'unknown' if different in raw else 'missing'}")
    frames = schema.whole("frames", raw["frames"], 1, LONGEST_CLIP)
    crop = Crop(**schema.record("crop", raw["crop"], schema.CROP))
    fine_size = schema.whole("fine_size", raw["fine_size"], 0, schema.CROP["side"][1])
    width, height = schema.row("size", raw["size"], schema.SIZE)
    lip_width, lip_height = schema.row("lip_size", raw["lip_size"], schema.LIP_SIZE)
    return Subject(
        name=schema.text("name", raw["name"], 1024), source=schema.text("source", raw["source"], 4096),
        fps=schema.number("fps", raw["fps"], *schema.FPS), frames=frames, size=(width, height), crop=crop,
        shots=schema.shots(raw["shots"], frames), camera=Intrinsics(**schema.camera(raw["camera"])),
        canonical_frame=schema.whole("canonical_frame", raw["canonical_frame"], 0, frames - 1),
        lip_box=Box(**schema.record("lip_box", raw["lip_box"], schema.BOX)), lip_size=(lip_width, lip_height),
        region_size=schema.region(raw["region_size"], max(crop.size, fine_size)), audio=schema.audio(raw["audio"]),
        stream=schema.whole("stream", raw["stream"], -1, 10_000), fine_size=fine_size,
        outline=schema.number("outline", raw["outline"], 0, 10), coarse=schema.whole("coarse", raw["coarse"], 1, 64),
        consent=None if raw["consent"] is None else Consent(**schema.consent(raw["consent"])),
        face=schema.whole("face", raw["face"], 1, LONGEST_CLIP),
    )  # fmt: skip


def extract(frame: np.ndarray, crop: Crop) -> np.ndarray:
    """Cut a crop out of a frame [H, W, 3]; outside the image the border is repeated."""
    height, width = frame.shape[:2]
    x0, y0 = max(crop.x, 0), max(crop.y, 0)
    x1, y1 = min(crop.x + crop.side, width), min(crop.y + crop.side, height)
    patch = frame[y0:y1, x0:x1]
    margins = (y0 - crop.y, crop.y + crop.side - y1, x0 - crop.x, crop.x + crop.side - x1)
    if any(margins):
        patch = cv2.copyMakeBorder(patch, *margins, cv2.BORDER_REPLICATE)
    return patch if crop.size == crop.side else _resized(patch, crop.size)


def _resized(patch: np.ndarray, size: int) -> np.ndarray:
    """A square picture at another size: halved (means of 2 x 2) while it is twice as large, then bilinear.

    OpenCV's area means of any other ratio take eight times as long, and below two differ little from this.
    """
    while len(patch) >= 2 * size:
        half = len(patch) // 2
        patch = cv2.resize(patch[: 2 * half, : 2 * half], (half, half), interpolation=cv2.INTER_AREA)
    return patch if len(patch) == size else cv2.resize(patch, (size, size), interpolation=cv2.INTER_LINEAR)
