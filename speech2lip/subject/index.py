"""Subject folder -> index: which frames train, which test, and where the compositor works."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..arrays import read_npy
from ..audio.features import backend_from_params, load_features, mask_cuts
from ..errors import UserError
from ..geometry.camera import Poses, relative_transforms, warp_to_observed
from ..media.images import read_sized
from ..nets.interface import Region
from .layout import SubjectLayout
from .records import Subject, Track
from .schema import AGAIN, DEPTH

_OUTSIDE = 1 / 512  # of a mask: less than any picture of 8 bits holds


@dataclass(frozen=True)
class CanonicalImages:
    """Canonical depth [S, S] (mm), face, head and lip masks [S, S] float32 in 0..1, frame [S, S, 3] uint8."""

    depth: np.ndarray
    face: np.ndarray
    head: np.ndarray
    lip: np.ndarray
    frame: np.ndarray


@dataclass(frozen=True)
class SubjectIndex:
    """Everything about a subject but its pictures.

    train, test: frame indices; windows: [T, rows, channels] audio features of the
    subject's own sound, cut at shot boundaries; transforms: [T, 4, 4] canonical ->
    observed; origins: [T, 2] fine pixel of the compositor's region; offsets: [rows] seconds
    from a frame to the rows of its window; region: what the compositor works on.
    """

    layout: SubjectLayout
    subject: Subject
    track: Track
    canonical: CanonicalImages
    windows: np.ndarray
    train: np.ndarray
    test: np.ndarray
    transforms: np.ndarray
    origins: np.ndarray
    offsets: np.ndarray
    region: Region


def parse_subject(layout: SubjectLayout, test_fraction: float, region: Region = "mouth") -> SubjectIndex:
    """Read a subject's folder; the last `test_fraction` of the clip is for testing.

    Frames whose audio window would reach across the split are left out of training, and frames whose mouth
    is not seen of both. region:
    what the compositor works on.
    """
    subject = layout.load_subject()
    track = layout.load_track(subject)
    backend = backend_from_params(subject.audio)
    windows = load_features(layout.features, subject.audio)
    windows = mask_cuts(windows, list(subject.shots), subject.fps, backend.offsets, backend.silence)
    count = min(len(windows), subject.frames)
    split = round(subject.frames * (1 - test_fraction))
    guard = int(np.ceil(float(np.abs(backend.offsets).max()) * subject.fps)) if test_fraction > 0 else 0
    frames = np.flatnonzero(track.clear[:count])
    train, test = frames[frames < split - guard], frames[frames >= split]
    if len(train) < 50:
        raise UserError(
            f"{layout.root} has {len(train)} frames with a face and sound for training, needed are 50: "
            "give a longer clip or a smaller data.test_fraction"
        )
    canonical = load_canonical(layout, subject)
    transforms = relative_transforms(track.poses, track.poses.matrices()[subject.canonical_frame])
    subject, origins = region_of(subject, track.poses, canonical, region)
    return SubjectIndex(
        layout, subject, track, canonical, windows, train, test, transforms, origins, backend.offsets, region
    )


def load_canonical(layout: SubjectLayout, subject: Subject) -> CanonicalImages:
    """Read the canonical depth, masks and frame, all of the crop's size."""
    size = (subject.crop.size, subject.crop.size)
    depth = np.array(read_npy(layout.depth, DEPTH, {"S": subject.crop.size}, AGAIN))
    files = (layout.face_mask, layout.head_mask, layout.lip_mask)
    face, head, lip = (read_sized(p, size, AGAIN)[..., 0].astype(np.float32) / 255 for p in files)
    for path, mask in ((layout.face_mask, face), (layout.lip_mask, lip)):
        if mask.max() <= _OUTSIDE:
            raise UserError(f"{path} is black, needed is a mask: {AGAIN}")
    return CanonicalImages(depth, face, head, lip, read_sized(layout.canonical, size, AGAIN))


def region_of(subject: Subject, poses: Poses, canonical: CanonicalImages, region: Region) -> tuple[Subject, np.ndarray]:
    """The subject with the region's size, and where the region starts in every frame, [T, 2] in fine pixels."""
    if region == "crop":
        whole = replace(subject, region_size=subject.crop.size, fine_size=0, outline=0.0, coarse=1)
        return whole, np.zeros((len(poses), 2), np.int64)
    return subject, region_origins(subject, poses, canonical.depth, canonical.lip)


def region_origins(
    subject: Subject, poses: Poses, depth: np.ndarray, lip_mask: np.ndarray, canonical: np.ndarray | None = None
) -> np.ndarray:
    """[T, 2] int: fine pixel where the region must start so that the warped lip mask lies in its middle.

    canonical: [4, 4] pose of the canonical frame, where the poses are not those of the whole clip.
    """
    spots = _corners_in_frames(subject, poses, depth, lip_mask, canonical)
    middle = ((spots.min(1) + spots.max(1)) / 2 + 0.5) * subject.fine_scale - 0.5
    return np.asarray(np.round(middle - (subject.region_size - 1) / 2).astype(np.int64))


def frames_alike(index: SubjectIndex, count: int = 8, apart: float = 1.0) -> np.ndarray:
    """[N, count] for every training frame: training frames in which the head stands most alike.

    They are at least `apart` seconds away, so that the mouth says something else. Alike is
    measured by where the corners of mouth and face lie in the crop. A frame that has too few
    such others is named itself.
    """
    subject, poses, train = index.subject, index.track.poses, index.train
    masks = (index.canonical.lip, index.canonical.face)
    spots = [_corners_in_frames(subject, poses, index.canonical.depth, m)[train].reshape(len(train), -1) for m in masks]
    places, number = torch.from_numpy(np.concatenate(spots, 1)), torch.from_numpy(train)
    alike = []
    for frame, place in zip(number.split(1024), places.split(1024), strict=True):
        distance = torch.cdist(place, places, compute_mode="donot_use_mm_for_euclid_dist")
        distance[(number - frame[:, None]).abs() <= apart * subject.fps] = torch.inf
        least, row = distance.topk(min(count, len(train)), largest=False)
        alike.append(torch.where(least.isinf(), frame[:, None], number[row]))
    return torch.cat(alike).numpy()


def _corners_in_frames(
    subject: Subject, poses: Poses, depth: np.ndarray, mask: np.ndarray, canonical: np.ndarray | None = None
) -> np.ndarray:
    """[T, 4, 2] crop pixels at which every frame shows the corners of a canonical mask."""
    ys, xs = np.nonzero(mask > _OUTSIDE)
    corners = np.array([(x, y) for x in (xs.min(), xs.max()) for y in (ys.min(), ys.max())], np.float32)
    depth = depth[corners[:, 1].astype(int), corners[:, 0].astype(int)]
    pose = poses.matrices()[subject.canonical_frame] if canonical is None else canonical
    transform = relative_transforms(poses, pose)
    return warp_to_observed(
        torch.from_numpy(corners).expand(len(poses), -1, -1), torch.from_numpy(depth).expand(len(poses), -1),
        torch.from_numpy(transform).float(), subject.camera,
    ).numpy()  # fmt: skip
