"""The preprocessing pipeline: a video becomes a subject folder, stage by stage.

Every stage names the facts it depends on; a stage whose facts are unchanged since it last
finished is skipped, so an interrupted or repeated run continues where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..audio.features import extract_windows, make_backend, save_features
from ..audio.waveform import load_audio, save_wav
from ..config import Config
from ..errors import UserError
from ..geometry import Intrinsics, Poses, project, relative_transforms, unproject
from ..layout import Box, Crop, Subject, SubjectLayout, Track, atomic_path
from ..pipeline import prefetch
from ..progress import track as progress
from ..rasterizer import make_rasterizer
from ..video import check_video, frame_files, read_frames, read_image, write_image
from . import canonical as space
from .alignment import align
from .crop import extract, head_crop
from .detect import FaceMesh
from .parsing import parse_head
from .photometric import PhotometricOptions
from .survey import MIN_FRAMES, survey_clip
from .topology import LIPS, MOUTH, NOSE_BASE
from .tracker import HeadTrack, TrackerConfig, bridge, fill_landmarks, track_head

_AHEAD = 8  # frames that decoding and writing may be away from the one whose landmarks are found


def preprocess(config: Config, video: Path, audio: Path | None = None) -> Subject:
    """Turn `video` (a file, or a folder of frames at `data.fps`) into the folder `data.root`.

    audio: sound to use instead of the video's own track (needed for a folder of frames
    unless `audio/audio.wav` already lies in the subject's folder).
    """
    layout = SubjectLayout(config.data.root)
    _make_folder(layout.root)
    info = check_video(video)
    sound = _sound_source(video, audio, info.has_audio, layout)
    stages = _Stages(layout.stages)
    source = _fingerprint(video)
    face = {"fps": config.data.fps, **asdict(config.face)}
    for name in ("lip_margin", "lip_feather", "lip_max_width", "smooth", "align", "exposure", "tracker", "parsing"):
        face.pop(name)
    stages.run("frames", [source, face], lambda: _frames_stage(config, video, layout), [layout.landmarks])
    tracker = [config.face.smooth, config.face.tracker]
    tracker += [config.face.align] if config.face.tracker == "bundle" else [asdict(config.fit)]
    stages.run("track", tracker, lambda: _track_stage(config, layout), [layout.root / "head.npz"])
    wave = [_fingerprint(sound), config.data.fps, asdict(config.audio)]
    stages.run("audio", wave, lambda: _audio_stage(config, sound, layout), [layout.features])
    lips = [
        config.face.lip_margin,
        config.face.lip_feather,
        config.face.lip_max_width,
        config.name,
        config.face.parsing,
        config.face.exposure,
    ]
    stages.run("canonical", lips, lambda: _canonical_stage(config, video, layout), [layout.subject, layout.track])
    return layout.load_subject()


def _make_folder(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        (root / ".write-test").touch()
        (root / ".write-test").unlink()
    except OSError as error:
        raise UserError(f"cannot write into {root} ({error.strerror}): choose another data.root") from error


def _sound_source(video: Path, audio: Path | None, own: bool, layout: SubjectLayout) -> Path:
    if audio is not None:
        if not audio.is_file():
            raise UserError(f"{audio} does not exist: give the path of an audio file")
        return audio
    if own and video.is_file():
        return video
    if layout.audio.is_file():
        return layout.audio
    raise UserError(f"{video} has no audio track: give the speech with --audio, or put it at {layout.audio}")


def _fingerprint(path: Path) -> list[Any]:
    """Cheap identity of a file or folder: name, size, modification time (and count)."""
    if path.is_dir():
        files = frame_files(path)
        return [str(path.resolve()), len(files), files[0].stat().st_mtime_ns, files[-1].stat().st_mtime_ns]
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


class _Stages:
    """Remembers what each finished stage was made from, and its seconds; a stage depends on those before it."""

    def __init__(self, path: Path):
        self._path = path
        self._chain = ""
        try:
            content = json.loads(path.read_text())
            self._done: dict[str, str] = content["done"]
            self._seconds: dict[str, float] = content["seconds"]
        except (OSError, ValueError, KeyError):
            self._done, self._seconds = {}, {}

    def run(self, name: str, facts: list[Any], work: Callable[[], None], outputs: list[Path]) -> None:
        key = hashlib.sha256(json.dumps([self._chain, name, facts], default=str).encode()).hexdigest()
        self._chain = key
        if self._done.get(name) == key and all(p.exists() for p in outputs):
            print(f"{name}: unchanged, kept")
            return
        start = time.monotonic()
        work()
        self._done[name], self._seconds[name] = key, round(time.monotonic() - start, 3)
        with atomic_path(self._path) as path:
            path.write_text(json.dumps({"done": self._done, "seconds": self._seconds}))


# ---------------------------------------------------------------- frames and landmarks


def _frames_stage(config: Config, video: Path, layout: SubjectLayout) -> None:
    """Decode once more at full size; keep the head's square as JPEG, and landmarks of every frame."""
    survey = survey_clip(video, config.data.fps)
    crop = head_crop(survey.boxes, survey.width, survey.height, config.face.max_crop)
    layout.subject.unlink(missing_ok=True)
    shutil.rmtree(layout.face_images, ignore_errors=True)
    layout.face_images.mkdir(parents=True)
    starts = {start for start, _ in survey.shots}
    mesh = FaceMesh()
    points: list[np.ndarray | None] = []

    def keep(index: int, patch: np.ndarray, found: np.ndarray | None) -> float:
        write_image(layout.face_image(index), patch, config.face.jpeg_quality)
        return _sharpness(patch, found)

    writer = _Background(2)
    cut = (np.ascontiguousarray(extract(frame, crop)) for frame in read_frames(video, config.data.fps))
    patches = prefetch(cut, _AHEAD)
    with closing(patches):
        for index, patch in enumerate(progress(patches, "landmarks", survey.frames)):
            if index in starts and index > 0:
                mesh.reset()
            points.append(mesh(patch))
            writer.submit(keep, index, patch, points[-1])
    sharpness = writer.close()
    mesh.close()
    seen = np.array([p is not None for p in points])
    if seen.sum() < MIN_FRAMES:
        raise UserError(
            f"{video} shows a face in only {int(seen.sum())} of {len(seen)} frames: give a clip in which one "
            f"person's face is well visible for at least {MIN_FRAMES / config.data.fps:.0f} s"
        )
    empty = np.zeros((478, 3), np.float32)
    shots = [(a, min(b, len(seen))) for a, b in survey.shots if a < len(seen)]
    with atomic_path(layout.landmarks) as path, open(path, "wb") as stream:
        np.savez(
            stream, landmarks=np.stack([empty if p is None else p for p in points]), seen=seen,
            sharpness=np.array(sharpness), shots=np.array(shots),
            crop=np.array([crop.x, crop.y, crop.side, crop.size]), size=np.array([survey.width, survey.height]),
        )  # fmt: skip


def _sharpness(patch: np.ndarray, points: np.ndarray | None) -> float:
    """Variance of the Laplacian over the face, every second pixel."""
    if points is None:
        return 0.0
    low = points[:, :2].min(0).astype(int).clip(0)
    high = points[:, :2].max(0).astype(int) + 1
    grey = cv2.cvtColor(patch[low[1] : high[1], low[0] : high[0]], cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var()) if grey.size else 0.0


class _Background:
    """Threads with a bounded queue, and what their work returned, in order; errors surface at the next call."""

    def __init__(self, threads: int):
        self._pool = ThreadPoolExecutor(threads)
        self._pending: list[Future[Any]] = []
        self._results: list[Any] = []

    def submit(self, work: Callable[..., Any], *arguments: Any) -> None:
        self._pending.append(self._pool.submit(work, *arguments))
        while len(self._pending) > _AHEAD:
            self._results.append(self._pending.pop(0).result())

    def close(self) -> list[Any]:
        self._results += [future.result() for future in self._pending]
        self._pool.shutdown()
        return self._results


# ---------------------------------------------------------------- rigid tracking


def _track_stage(config: Config, layout: SubjectLayout) -> None:
    with np.load(layout.landmarks, allow_pickle=False) as data:
        landmarks, seen, shots = data["landmarks"], data["seen"], data["shots"]
        crop, (width, height) = Crop(*map(int, data["crop"])), data["size"]
    gap = round(config.face.max_gap * config.data.fps)
    segments = bridge(seen, [(int(a), int(b)) for a, b in shots], gap)
    centre = crop.to_crop(np.array([(width - 1) / 2, (height - 1) / 2]))
    side = max(width, height) * crop.scale
    from threadpoolctl import threadpool_limits  # here, so that training starts where it is missing

    with threadpool_limits(1, "blas"):  # systems are small, and BLAS threads would wait for cores that load pictures
        head = _track(config, layout, landmarks, seen, segments, (float(centre[0]), float(centre[1])), float(side))
    print(
        f"track: {int(seen.sum())} of {len(seen)} frames, {len(shots)} shots, focal length {head.camera.focal:.0f} px, "
        f"landmark residual {head.residual:.2f} px"
    )
    valid = np.zeros(len(seen), bool)
    for start, end in segments:
        valid[start:end] = True
    filled = fill_landmarks(landmarks, seen, segments)
    coefficients = {} if head.surface is None else {k: getattr(head.surface, k) for k in ("identity", "expression")}
    with atomic_path(layout.root / "head.npz") as path, open(path, "wb") as stream:
        np.savez(
            stream, rotvec=head.poses.rotvec, trans=head.poses.trans, mesh=head.mesh, noise=head.noise, valid=valid,
            camera=np.array([head.camera.focal, head.camera.cx, head.camera.cy]), landmarks=filled[..., :2],
            segments=np.array(segments), residual=head.residual, **coefficients,
        )  # fmt: skip


def _track(
    config: Config, layout: SubjectLayout, landmarks: np.ndarray, seen: np.ndarray, segments: list[tuple[int, int]],
    centre: tuple[float, float], side: float,
) -> HeadTrack:  # fmt: skip
    """The tracker that `face.tracker` names."""

    def images(frame: int) -> np.ndarray:
        return read_image(layout.face_image(frame))

    if config.face.tracker == "bundle":
        head = track_head(landmarks, seen, segments, centre, side, TrackerConfig(smooth=config.face.smooth))
        options = PhotometricOptions(config.face.align)
        return align(head, landmarks, seen, segments, images, options) if config.face.align > 0 else head
    from .morphable_tracker import load_model, track_morphable

    return track_morphable(
        load_model(config.face.tracker, config.fit), landmarks, seen, segments, centre, side,
        images, config.fit, config.face.smooth, make_rasterizer(config.rasterizer),
    )  # fmt: skip


def _load_head(layout: SubjectLayout) -> tuple[HeadTrack, np.ndarray, np.ndarray, np.ndarray]:
    with np.load(layout.root / "head.npz", allow_pickle=False) as data:
        camera = Intrinsics(*(float(v) for v in data["camera"]))
        head = HeadTrack(
            Poses(data["rotvec"], data["trans"]), data["mesh"], camera, float(data["residual"]), data["noise"]
        )
        return head, data["landmarks"], data["valid"], data["segments"]


# ---------------------------------------------------------------- audio


def _audio_stage(config: Config, sound: Path, layout: SubjectLayout) -> None:
    wav = load_audio(sound)
    backend = make_backend(config.audio)
    windows = extract_windows([wav], config.data.fps, backend, sound)[:]
    if sound.resolve() != layout.audio.resolve():
        with atomic_path(layout.audio) as path:
            save_wav(path, wav)
    save_features(layout.features, windows, backend.params())


# ---------------------------------------------------------------- canonical space and lips


def _canonical_stage(config: Config, video: Path, layout: SubjectLayout) -> None:
    head, landmarks, valid, segments = _load_head(layout)
    with np.load(layout.landmarks, allow_pickle=False) as data:
        sharpness, shots = data["sharpness"], data["shots"]
        crop, size = Crop(*map(int, data["crop"])), data["size"]
    index = space.choose_canonical(landmarks, valid, head.poses.rotvec, sharpness)
    pose = head.poses.matrices()[index]
    points = head.mesh @ pose[:3, :3].T + pose[:3, 3]
    pixels = project(points, head.camera)
    surface, triangles = _surface(config, layout, head.mesh, index)
    depth, covered = space.canonical_depth(
        surface, pose, head.camera, crop.size, triangles, make_rasterizer(config.rasterizer)
    )
    mouth = np.zeros((len(valid), len(MOUTH), 2))
    mouth[valid] = space.to_canonical(
        landmarks[valid][:, MOUTH], head.poses[valid], head.mesh[MOUTH], pose, head.camera
    )
    nose_y = 0.55 * pixels[NOSE_BASE, 1] + 0.45 * mouth[index, : len(LIPS), 1].min()
    region = space.lip_region(mouth[valid], nose_y, crop.size, config.face.lip_margin, config.face.lip_feather)
    lip_size = _lip_size(region.box, config.face.lip_max_width)
    canonical = read_image(layout.face_image(index))
    _write_masks(config.face.parsing, layout, region, covered, canonical, pixels, depth)
    colour = _colour_and_lips(
        layout, head, depth, pose, region.box, lip_size, canonical, pixels, covered, valid, segments
    )
    none = np.stack([np.ones(3), np.zeros(3)])
    colour = none + config.face.exposure * (colour - none)
    layout.save_track(Track(landmarks, valid, head.poses, head.mesh, colour, mouth))
    subject = Subject(
        name=config.name, source=_keep_source(video, layout), fps=config.data.fps, frames=len(valid),
        size=(int(size[0]), int(size[1])), crop=crop, shots=tuple((int(a), int(b)) for a, b in shots),
        camera=head.camera, canonical_frame=index, lip_box=region.box, lip_size=lip_size,
        region_size=_region_size(head, depth, pose, region, valid), audio=make_backend(config.audio).params(),
    )  # fmt: skip
    layout.save_subject(subject)


def _surface(
    config: Config, layout: SubjectLayout, mesh: np.ndarray, index: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Vertices and triangles whose depth is the canonical one: the fitted model in that frame's
    expression, or the tracker's own 468 points (None: triangulated in the picture)."""
    if config.face.tracker == "bundle":
        return mesh, None
    from .morphable_tracker import load_model

    model = load_model(config.face.tracker, config.fit)
    with np.load(layout.root / "head.npz", allow_pickle=False) as data:
        return model.geometry(data["identity"], data["expression"][index])[0], model.triangles


def _lip_size(box: Box, max_width: int) -> tuple[int, int]:
    """Lip image (width, height): the box's own pixels up to `max_width`, in multiples of 8."""
    width = max(16, min(round(box.width / 8) * 8, max_width // 8 * 8))
    return width, max(16, round(box.height / box.width * width / 8) * 8)


def _write_masks(
    parsing: str, layout: SubjectLayout, region: space.LipRegion, covered: np.ndarray, canonical: np.ndarray, pixels: np.ndarray,
    depth: np.ndarray,
) -> None:  # fmt: skip
    write_image(layout.canonical, canonical)
    write_image(layout.lip_mask, (region.mask * 255).round().astype(np.uint8))
    write_image(layout.face_mask, covered.astype(np.uint8) * 255)
    mask, labels = parse_head(parsing, canonical, pixels)
    write_image(layout.head_mask, mask)
    if labels is not None:
        write_image(layout.parsing, labels)
    with atomic_path(layout.depth) as path, open(path, "wb") as stream:
        np.save(stream, depth)


def _region_size(
    head: HeadTrack, depth: np.ndarray, pose: np.ndarray, region: space.LipRegion, valid: np.ndarray
) -> int:
    """Side of the square (crop pixels, multiple of 16) that holds the warped mask in every frame."""
    ys, xs = np.nonzero(region.mask > 1 / 512)
    hull = cv2.convexHull(np.stack([xs, ys], 1).astype(np.float32))[:, 0].astype(np.float64)
    spots = space.project_canonical(hull, space.lookup(depth, hull), head.poses[valid], pose, head.camera)
    extent = np.ptp(spots, axis=1).max() + 2 * REGION_MARGIN
    return int(np.ceil(extent / 16) * 16)


REGION_MARGIN = 8  # crop pixels around the mask that the Blend-Net sees


def _colour_and_lips(
    layout: SubjectLayout, head: HeadTrack, depth: np.ndarray, pose: np.ndarray, box: Box, lip_size: tuple[int, int],
    canonical: np.ndarray, pixels: np.ndarray, covered: np.ndarray, valid: np.ndarray, segments: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Write the canonical lip image of every valid frame, in the frame's own exposure; returns
    colour [T, 2, 3], with which readers even it out: (lip - offset) / gain."""
    shutil.rmtree(layout.lip_images, ignore_errors=True)
    layout.lip_images.mkdir(parents=True)
    lattice = space.lip_lattice(box, lip_size)
    flat = lattice.reshape(-1, 2)
    points = unproject(flat, space.lookup(depth, flat), head.camera)
    transform = relative_transforms(head.poses, pose)
    skin = space.colour_samples(head.mesh, pixels, covered)
    skin_points = unproject(skin, space.lookup(depth, skin), head.camera)
    reference = _sample(_smoothed(canonical), skin)
    colour = np.tile(np.stack([np.ones(3), np.zeros(3)]), (len(valid), 1, 1))
    frames = np.flatnonzero(valid)

    def place(points: np.ndarray, index: int) -> np.ndarray:
        """Pixels [N, 2] at which a frame shows points [N, 3] of the canonical camera."""
        return project(points @ transform[index, :3, :3].T + transform[index, :3, 3], head.camera)

    def measure(index: int) -> tuple[int, np.ndarray]:
        image = read_image(layout.face_image(index))
        gain = space.match_colour(reference, _sample(_smoothed(image), place(skin_points, index)))
        grid = place(points, index).astype(np.float32).reshape(*lattice.shape)
        lip = cv2.remap(image, grid[..., 0], grid[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        write_image(layout.lip_image(index), lip, 97)
        return index, gain

    for index, gain in progress(_parallel(measure, frames), "canonical lips", len(frames)):
        colour[index] = gain
    return _steady(colour, segments)


def _smoothed(image: np.ndarray) -> np.ndarray:
    return cv2.blur(image, (5, 5))


def _sample(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Bilinear colours [N, 3] at pixels [N, 2]."""
    x, y = pixels[:, 0].astype(np.float32), pixels[:, 1].astype(np.float32)
    return cv2.remap(image, x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]


def _steady(colour: np.ndarray, segments: np.ndarray, reach: int = 12) -> np.ndarray:
    """Average exposure over about a second, never across a cut or gap."""
    out = colour.copy()
    for start, end in segments:
        part = colour[start:end].reshape(end - start, 6)
        padded = np.pad(part, ((reach, reach), (0, 0)), mode="edge")
        kernel = np.hanning(2 * reach + 3)[1:-1]
        smooth = np.stack([np.convolve(padded[:, c], kernel / kernel.sum(), "valid") for c in range(6)], 1)
        out[start:end] = smooth.reshape(-1, 2, 3)
    return out


def _parallel(work: Callable[[int], Any], indices: np.ndarray) -> Iterator[Any]:
    """Results in order from one thread per core, with a bounded number in flight."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        pending: list[Future[Any]] = []
        for index in indices:
            pending.append(pool.submit(work, int(index)))
            if len(pending) > 16:
                yield pending.pop(0).result()
        while pending:
            yield pending.pop(0).result()


def _keep_source(video: Path, layout: SubjectLayout) -> str:
    """Keep the source beside the subject (a link where the file system allows, else a copy)."""
    if video.is_dir() or video.resolve().parent == layout.root.resolve():
        return os.path.relpath(video.resolve(), layout.root.resolve())
    target = layout.root / f"source{video.suffix.lower()}"
    with atomic_path(target) as path:
        path.unlink()
        try:
            os.link(video.resolve(), path)
        except OSError:
            shutil.copyfile(video, path)
    return target.name
