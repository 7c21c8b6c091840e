"""The name of every file of a subject, in one place, and its `subject.json`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..arrays import Unsound, read_json, read_npz
from ..errors import UserError
from ..files import atomic_path, save_arrays
from ..geometry.camera import Poses
from ..media.facts import Selection
from .people import PEOPLE, ClipPeople, people_from_arrays, people_to_arrays
from .records import ClipLandmarks, Crop, Subject, Track, subject_from_json
from .schema import AGAIN, CLIP_LANDMARKS, TRACK
from .source import check_kept, read_record


def source_selection(subject: Subject) -> Selection:
    """How the source is read again: the streams that preprocessing read. How much of it can be decoded was
    settled then."""
    return Selection(video=subject.stream, allow_partial=True)


_LABELS = ("name", "consent")


def facts_of(file: Path) -> bytes:
    """Content of a `subject.json` without its labels, which may change while all that was computed stays; of a damaged
    file all of it."""
    content = file.read_bytes()
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError):
        return content
    if not isinstance(raw, dict):
        return content
    return json.dumps({k: v for k, v in raw.items() if k not in _LABELS}, sort_keys=True).encode()


class SubjectLayout:
    """Paths below one subject's folder. Frames are numbered from 0."""

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self.subject = self.root / "subject.json"
        self.track = self.root / "track.npz"
        self.landmarks = self.root / "landmarks.npz"
        self.people = self.root / "people.npz"
        self.sheet = self.root / "people.jpg"
        self.head = self.root / "head.npz"
        self.stages = self.root / "stages.json"
        self.source_record = self.root / "source.json"
        self.audio = self.root / "audio" / "audio.wav"
        self.features = self.root / "audio" / "audio.npy"
        self.test_features = self.root / "audio_test" / "audio.npy"
        self.test_audio = self.root / "audio_test" / "audio.wav"
        self.face_images = self.root / "ori_images_face"
        self.grids = self.root / "coords"
        self.lip_images = self.root / "images"
        self.mouth_images = self.root / "mouth_images"
        self.lip_mask = self.root / "canonical_lip_mask.png"
        self.face_mask = self.root / "canonical_face_mask.png"
        self.head_mask = self.root / "canonical_head_mask.png"
        self.parsing = self.root / "canonical_face_parsing.png"
        self.canonical = self.root / "canonical_face.png"
        self.depth = self.root / "depth_face_canonical.npy"

    @property
    def canonical_files(self) -> tuple[Path, ...]:
        """Everything but pictures that lies in the canonical space, and what completes the folder."""
        masks = (self.lip_mask, self.face_mask, self.head_mask)
        return (self.subject, self.track, self.depth, self.canonical, *masks)

    @property
    def written(self) -> tuple[Path, ...]:
        """Everything that preprocessing writes, but for the copy of the source; folders are emptied first."""
        files = (self.people, self.sheet, self.landmarks, self.head, self.stages, self.source_record, self.parsing)
        sound = (self.audio, self.features, self.features.with_suffix(".json"))
        return (*self.canonical_files, *files, *sound, self.face_images, self.lip_images, self.mouth_images)

    def face_image(self, index: int) -> Path:
        return self.face_images / f"{index:05d}.jpg"

    def grid(self, index: int) -> Path:
        """Correspondences that an imported dataset stores."""
        return self.grids / f"{index:05d}.npy"

    def mouth_image(self, index: int) -> Path:
        """The compositor's region of a frame, at the resolution of mouths."""
        return self.mouth_images / f"{index:05d}.jpg"

    def lip_image(self, index: int) -> Path:
        return self.lip_images / f"{index:05d}.jpg"

    def load_subject(self) -> Subject:
        if not self.subject.is_file():
            raise UserError(
                f"no preprocessed subject in {self.root} ({self.subject.name} is missing): "
                f"run `speech2lip preprocess --video VIDEO --out {self.root}` first"
            )
        try:
            return subject_from_json(read_json(self.subject, AGAIN))
        except Unsound as error:
            raise UserError(f"{self.subject} is not a sound subject file of this version ({error}): {AGAIN}") from error

    def save_subject(self, subject: Subject) -> None:
        with atomic_path(self.subject) as path:
            path.write_text(json.dumps(asdict(subject), indent=1), encoding="utf-8")

    def load_track(self, subject: Subject | None = None) -> Track:
        """Of `subject`, whose number of frames it must have; of any clip where that is not given."""
        known = {"T": subject.frames} if subject is not None else {}
        data = read_npz(self.track, TRACK, known, AGAIN)
        poses = Poses(data.pop("rotvec"), data.pop("trans"))
        if not (data["exposure"][:, 0] > 0).all():
            raise UserError(f"{self.track} is damaged (exposure has a gain that is not above 0): {AGAIN}")
        if subject is not None and not data["valid"][subject.canonical_frame]:
            raise UserError(f"{self.track} has no face in the canonical frame {subject.canonical_frame}: {AGAIN}")
        data.setdefault("hidden", np.zeros(len(data["valid"]), bool))  # older folders, and imported ones, have none
        return Track(poses=poses, **data)

    def save_track(self, track: Track) -> None:
        save_arrays(
            self.track, compressed=True, landmarks=track.landmarks.astype(np.float32), valid=track.valid,
            rotvec=track.poses.rotvec, trans=track.poses.trans, mesh=track.mesh, exposure=track.exposure,
            mouth=track.mouth.astype(np.float32), hidden=track.hidden,
        )  # fmt: skip

    def load_people(self) -> ClipPeople:
        """Everybody who was found in the clip."""
        data = read_npz(self.people, PEOPLE, {}, AGAIN)
        try:
            return people_from_arrays(data)
        except ValueError as error:
            raise UserError(f"{self.people} is damaged ({error}): {AGAIN}") from error

    def save_people(self, found: ClipPeople) -> None:
        save_arrays(self.people, **people_to_arrays(found))

    def load_landmarks(self) -> ClipLandmarks:
        data = read_npz(self.landmarks, CLIP_LANDMARKS, {}, AGAIN)
        width, height = map(int, data["size"])
        shots = tuple((int(a), int(b)) for a, b in data["shots"])
        crop = Crop(*map(int, data["crop"]))
        return ClipLandmarks(
            data["landmarks"], data["seen"], data["sharpness"], shots, crop, (width, height), data["person"],
            int(data.get("face", 1)),
        )  # fmt: skip

    def save_landmarks(self, clip: ClipLandmarks) -> None:
        crop = clip.crop
        save_arrays(
            self.landmarks, landmarks=clip.landmarks, seen=clip.seen, sharpness=clip.sharpness, shots=np.array(clip.shots),
            crop=np.array([crop.x, crop.y, crop.side, crop.size]), size=np.array(clip.size), person=clip.person, face=np.array(clip.face),
        )  # fmt: skip

    def source_path(self, subject: Subject) -> Path:
        """The source video or image folder, checked to be what the subject was made from."""
        record = read_record(self.source_record)
        path = self.root / (record.kept if record is not None else subject.source)
        if path.is_file() and not path.resolve().is_relative_to(self.root.resolve()):
            named = self.subject if record is None else self.source_record
            raise UserError(f"{named} names the source {path}, outside its folder: preprocess the video again")
        _existing(path, f"put the source video of subject {subject.name} back there")
        if record is not None:
            check_kept(path, self.source_record, record)
        return path


def _existing(path: Path, remedy: str) -> Path:
    if not path.exists():
        raise UserError(f"{path} is missing: {remedy}")
    return path
