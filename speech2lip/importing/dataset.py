"""The authors' dataset folder -> a subject of ours.

Frames are numbered from 1 there and from 0 here; the canonical frame is their first unless
stored correspondences tell otherwise (those of the canonical frame are the identity).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation

from ..arrays import Unsound, read_any_npy
from ..audio.features import DeepSpeech
from ..canonical.exposure import NEUTRAL
from ..canonical.space import project_canonical, region_size, to_canonical
from ..detection.detect import FaceMesh
from ..errors import UserError
from ..facemesh import MESH_POINTS, MOUTH
from ..files import atomic_path, writing
from ..geometry import published as compat
from ..geometry.camera import Intrinsics, Poses, unproject
from ..geometry.sampling import sample_bilinear
from ..media.images import frame_files, read_image, write_image
from ..progress import track as progress
from ..subject.claim import check_free
from ..subject.layout import SubjectLayout
from ..subject.records import Box, Crop, Subject, Track
from ..tracking.smoothing import fill_landmarks
from ..weights.safeload import check_finite, load_torch

_REGION_MARGIN = 8  # crop pixels around the lip box
_REMEDY = "give a folder that the authors' preprocessing made"


def import_dataset(source: Path, out: Path, name: str, fps: float = 25.0) -> Subject:
    """Read the authors' folder `source` and write ours, `out`; the source stays as it is."""
    if out.resolve() == source.resolve():
        raise UserError(f"{out} is the authors' folder itself: give another folder with --out")
    _check_inside(source)
    faces = frame_files(source / "ori_images_face") if (source / "ori_images_face").is_dir() else []
    if not faces:
        raise UserError(f"{source} has no pictures in ori_images_face: {_REMEDY}")
    first = read_image(faces[0])
    if first.shape[0] != first.shape[1]:
        raise UserError(f"{faces[0]} is {first.shape[1]} x {first.shape[0]}, needed are square crops: {_REMEDY}")
    size, count = len(first), len(faces)
    poses, focal = _poses(source / "track_params.pt", count)
    camera = Intrinsics(focal, size / 2, size / 2)
    layout = SubjectLayout(out)
    _claim(layout)
    _copy_numbered(faces, layout.face_images, ".jpg")
    lips = frame_files(source / "images") if (source / "images").is_dir() else []
    if len(lips) != count:
        raise UserError(f"{source}/images has {len(lips)} lip pictures, ori_images_face has {count} frames: {_REMEDY}")
    _copy_numbered(lips, layout.lip_images, ".jpg")
    index = _copy_grids(source / "coords", layout, count, size)
    lip_height, lip_width = read_image(lips[0]).shape[:2]
    box = lip_box(source, index, lip_width, lip_height)
    depth = _depth(source / "depth_face_canonical.npy", size)
    _write_canonical(source, layout, faces[index], depth, box, size)
    pose = poses.matrices()[index]
    landmarks, seen = _landmarks(faces)
    mesh = _lift(landmarks[index if seen[index] else int(np.flatnonzero(seen)[0]), :MESH_POINTS], depth, pose, camera)
    filled = fill_landmarks(landmarks[..., :2], seen, [(int(seen.argmax()), int(count - seen[::-1].argmax()))])
    mouth = to_canonical(filled[:, MOUTH], poses, mesh[MOUTH], pose, camera)
    colour = np.tile(NEUTRAL, (count, 1, 1))
    layout.save_track(Track(filled, np.ones(count, bool), poses, mesh, colour, mouth, np.zeros(count, bool)))
    params = _copy_audio(source, layout)
    subject = Subject(
        name, str((layout.root / "ori_images_face").relative_to(layout.root)), fps, count, (size, size), Crop(0, 0, size, size),
        ((0, count),), camera, index, box, (lip_width, lip_height), _region_size(box, depth, poses, index, camera), params,
    )  # fmt: skip
    layout.save_subject(subject)
    return subject


def _claim(layout: SubjectLayout) -> None:
    """Refuse a folder of the user's own; mark it as ours, and what lies in it as unfinished."""
    test = (layout.test_features, layout.test_features.with_suffix(".json"))
    check_free(layout, (*layout.written, *test, layout.grids), (), "give another folder with --out")
    layout.subject.unlink(missing_ok=True)
    with atomic_path(layout.stages) as path:
        path.write_text("{}", encoding="utf-8")


def _region_size(box: Box, depth: np.ndarray, poses: Poses, index: int, camera: Intrinsics) -> int:
    """Side of the square that holds the warped lip box in every frame, a multiple of 16."""
    xs, ys = box.left + np.array([0, box.width - 1]), box.top + np.array([0, box.height - 1])
    corners = np.array([(x, y) for x in xs for y in ys], np.float64)
    spots = project_canonical(corners, sample_bilinear(depth, corners), poses, poses.matrices()[index], camera)
    return region_size(spots, _REGION_MARGIN)


def _poses(path: Path, count: int) -> tuple[Poses, float]:
    content = load_torch(path, _REMEDY)
    missing = [k for k in ("euler", "trans", "focal") if not isinstance(content, dict) or k not in content]
    if missing:
        raise UserError(f"{path} has no entry {missing[0]}: {_REMEDY}")
    try:
        check_finite(content)
        euler, trans, focal = (np.asarray(torch.as_tensor(content[k]).float()) for k in ("euler", "trans", "focal"))
    except (Unsound, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is not sound ({error}): {_REMEDY}") from error
    if focal.size < 1:
        raise UserError(f"{path} has an empty focal: {_REMEDY}")
    if euler.shape != (count, 3) or trans.shape != (count, 3):
        raise UserError(f"{path} has poses of shape {euler.shape} and {trans.shape} for {count} frames: {_REMEDY}")
    matrices = compat.pose_matrices(euler, trans)
    return Poses(Rotation.from_matrix(matrices[:, :3, :3]).as_rotvec(), matrices[:, :3, 3]), float(focal.ravel()[0])


def _check_inside(source: Path) -> None:
    """Refuse links that lead out of the folder: what is imported is what the folder holds."""
    inside = source.resolve()
    for path in source.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise UserError(f"{path} leads out of {source}, to {path.resolve()}: copy what is meant into the folder")


def _copy_numbered(files: Sequence[Path], folder: Path, suffix: str) -> None:
    """Copy files in order as 00000, 00001, ..."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        _copy(file, folder / f"{number:05d}{suffix}")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)


def _copy_grids(folder: Path, layout: SubjectLayout, count: int, size: int) -> int:
    """Take over stored correspondences, if any; returns the canonical frame's index."""
    shutil.rmtree(layout.grids, ignore_errors=True)
    files = sorted(folder.glob("*.npy")) if folder.is_dir() else []
    if not files:
        return 0
    if len(files) != count:
        raise UserError(f"{folder} has {len(files)} files for {count} frames: {_REMEDY}")
    x = np.linspace(-1, 1, size, dtype=np.float32)
    identity = np.stack(np.meshgrid(x, x), -1)
    layout.grids.mkdir(parents=True)
    away = []
    for number, file in enumerate(progress(files, "correspondences")):
        try:
            grid = read_any_npy(file, _REMEDY).astype(np.float32).reshape(size, size, 2)
        except ValueError as error:
            raise UserError(f"{file} is no grid of {size} x {size} x 2 ({error}): {_REMEDY}") from error
        with writing(layout.grid(number)):
            np.save(layout.grid(number), grid)
        away.append(float(np.abs(grid - identity).mean()))
    return int(np.argmin(away)) if min(away) < 0.01 else 0


def lip_box(source: Path, index: int, width: int, height: int) -> Box:
    """Where the authors paste the lip image: around the canonical frame's mouth landmarks (48 to 67), the
    centre's y times 1.02; from the lip mask where landmarks are missing."""
    path = source / "landmarks" / f"{index + 1:05d}.lms"
    if path.is_file():
        try:
            points = np.loadtxt(path, dtype=np.float32)[48:, :2]
        except (ValueError, IndexError) as error:
            raise UserError(f"{path} holds no 68 landmarks ({error}): {_REMEDY}") from error
        left, top, w, h = cv2.boundingRect(points)
        return Box(int(left + w / 2 - width / 2), int((top + h / 2) * 1.02 - height / 2), width, height)
    mask = read_image(source / "canonical_lip_mask.jpg")[..., 0] > 127
    if not mask.any():
        raise UserError(f"{source} has neither landmarks nor a lip mask: {_REMEDY}")
    ys, xs = np.nonzero(mask)
    return Box(int(xs.min()), int(ys.min()), width, height)


def _depth(path: Path, size: int) -> np.ndarray:
    """Canonical depth [size, size] in mm, continued where the file has none."""
    depth = read_any_npy(path, _REMEDY).squeeze()
    if depth.shape != (size, size):
        raise UserError(f"{path} has shape {depth.shape}, needed is ({size}, {size}): {_REMEDY}")
    depth = np.abs(depth.astype(np.float32)) * compat.UNIT
    known = np.isfinite(depth) & (depth > 1)
    if not known.any():
        raise UserError(f"{path} holds no depth: {_REMEDY}")
    rows, columns = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.asarray(depth[rows, columns])


def _write_canonical(source: Path, layout: SubjectLayout, face: Path, depth: np.ndarray, box: Box, size: int) -> None:
    """Canonical frame, masks (their JPEG ones cut at one half) and depth."""
    write_image(layout.canonical, read_image(face))
    for name, target in (("canonical_face_mask.jpg", layout.face_mask), ("canonical_head_mask.jpg", layout.head_mask)):
        mask = read_image(source / name)[..., 0]
        if mask.shape != (size, size):
            raise UserError(
                f"{source / name} is {mask.shape[1]} x {mask.shape[0]}, needed is {size} x {size}: {_REMEDY}"
            )
        write_image(target, np.where(mask > 127, 255, 0).astype(np.uint8))
    soft = np.zeros((size, size), np.float32)
    y, x = np.mgrid[: box.height, : box.width]
    edge = np.minimum(np.minimum(x, box.width - 1 - x), np.minimum(y, box.height - 1 - y)) / max(0.16 * box.width, 2)
    ramp = np.clip(edge, 0, 1)
    soft[box.top : box.top + box.height, box.left : box.left + box.width] = ramp * ramp * (3 - 2 * ramp)
    write_image(layout.lip_mask, (soft * 255).round().astype(np.uint8))
    with atomic_path(layout.depth) as path, open(path, "wb") as stream:
        np.save(stream, depth)


def _landmarks(faces: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """FaceMesh over the crops: [T, 478, 3] and where a face was found [T]."""
    mesh = FaceMesh()
    found = [mesh(read_image(file)) for file in progress(faces, "landmarks")]
    mesh.close()
    seen = np.array([f is not None for f in found])
    if not seen.any():
        raise UserError(f"{faces[0].parent} shows no face: {_REMEDY}")
    return np.stack([np.zeros((478, 3), np.float32) if f is None else f for f in found]), seen


def _lift(pixels: np.ndarray, depth: np.ndarray, pose: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """Head-space points [K, 3] of canonical pixels [K, 2+] at their depth."""
    points = unproject(pixels[:, :2].astype(np.float64), sample_bilinear(depth, pixels[:, :2]), camera)
    back = np.linalg.inv(pose)
    return np.asarray(points @ back[:3, :3].T + back[:3, 3])


def _copy_audio(source: Path, layout: SubjectLayout) -> dict[str, object]:
    """Sound and DeepSpeech windows, as they are; returns the features' parameters."""
    params = DeepSpeech(16, 0.02).params()
    wav, windows = source / "audio" / "audio.wav", source / "audio" / "audio.npy"
    if not wav.is_file():
        raise UserError(f"{wav} is missing: {_REMEDY}")
    _copy(wav, layout.audio)
    for file, target in ((windows, layout.features), (source / "audio_test" / "audio.npy", layout.test_features)):
        if not file.is_file():
            if file == windows:
                raise UserError(f"{file} is missing: {_REMEDY}")
            continue
        shape = read_any_npy(file, _REMEDY).shape
        if len(shape) != 3 or shape[1:] != (16, 29):
            raise UserError(f"{file} has shape {shape}, needed are windows of 16 x 29: {_REMEDY}")
        _copy(file, target)
        target.with_suffix(".json").write_text(json.dumps(params))
    return dict(params)
