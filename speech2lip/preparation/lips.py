"""Stage: canonical space, exposure and canonical lip images."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np

from ..audio.features import make_backend
from ..background import bounded_map
from ..canonical import exposure, space
from ..canonical.exposure import sample_colours, smoothed, steady
from ..config import Config
from ..detection.parsing import parse_head
from ..facemesh import LIPS, MOUTH, NOSE_BASE
from ..files import atomic_path
from ..geometry.camera import project, relative_transforms, unproject
from ..geometry.rasterizer import make_rasterizer
from ..media.images import read_image, write_image
from ..progress import track as progress
from ..subject.layout import SubjectLayout
from ..subject.records import Box, Crop, Subject, Track
from ..tracking.result import HeadTrack
from .head import load_head
from .source import keep_source


def make_canonical(config: Config, video: Path, layout: SubjectLayout) -> None:
    head, landmarks, valid, segments = load_head(layout)
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
        name=config.name, source=keep_source(video, layout), fps=config.data.fps, frames=len(valid),
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
    from ..tracking.morphable.tracker import load_model

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
    spots = space.project_canonical(hull, space.sample_bilinear(depth, hull), head.poses[valid], pose, head.camera)
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
    points = unproject(flat, space.sample_bilinear(depth, flat), head.camera)
    transform = relative_transforms(head.poses, pose)
    skin = exposure.colour_samples(head.mesh, pixels, covered)
    skin_points = unproject(skin, space.sample_bilinear(depth, skin), head.camera)
    reference = sample_colours(smoothed(canonical), skin)
    colour = np.tile(np.stack([np.ones(3), np.zeros(3)]), (len(valid), 1, 1))
    frames = np.flatnonzero(valid)

    def place(points: np.ndarray, index: int) -> np.ndarray:
        """Pixels [N, 2] at which a frame shows points [N, 3] of the canonical camera."""
        return project(points @ transform[index, :3, :3].T + transform[index, :3, 3], head.camera)

    def measure(index: int) -> tuple[int, np.ndarray]:
        image = read_image(layout.face_image(index))
        gain = exposure.match_colour(reference, sample_colours(smoothed(image), place(skin_points, index)))
        grid = place(points, index).astype(np.float32).reshape(*lattice.shape)
        lip = cv2.remap(image, grid[..., 0], grid[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        write_image(layout.lip_image(index), lip, 97)
        return index, gain

    for index, gain in progress(bounded_map(measure, frames), "canonical lips", len(frames)):
        colour[index] = gain
    return steady(colour, segments)
