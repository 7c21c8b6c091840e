"""Stage: canonical space, exposure and canonical lip images."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from ..audio.features import make_backend
from ..background import AHEAD, ordered_map, prefetch
from ..canonical import space
from ..canonical.exposure import NEUTRAL, colour_samples, match_colour, smoothed_colours, steady, tempered
from ..canonical.occlusion import WIDTH, foreign_share, hidden_frames, seen_skin, shrunk
from ..config import Config
from ..detection.parsing import parse_head
from ..facemesh import LIPS, MOUTH, NOSE_BASE
from ..files import atomic_path
from ..geometry.camera import Intrinsics, Poses, project, relative_transforms, unproject
from ..geometry.rasterizer import make_rasterizer
from ..geometry.sampling import sample_bilinear
from ..media.decode import read_frames
from ..media.images import read_image, write_image
from ..progress import track as progress
from ..subject.dataset import cut_region
from ..subject.index import region_origins
from ..subject.layout import SubjectLayout
from ..subject.records import Box, ClipLandmarks, Crop, Subject, Track, extract
from .head import TrackedClip, load_tracked
from .source import Clip, keep_source, selection

REGION_MARGIN = 8  # drawn pixels around the mask that the Blend-Net sees
_LIP_QUALITY, _MOUTH_QUALITY = 97, 95  # of JPEG
_ENOUGH = 1.25  # mouths that are larger than wanted by no more than this keep the source's pixels as they are


@dataclass(frozen=True)
class CanonicalView:
    """The canonical frame: its index, pose [4, 4] (head -> camera) and picture [S, S, 3]; pixels: [468, 2] of the
    tracker's mesh in it; depth: [S, S] mm; covered: [S, S] bool, where that is the face's own."""

    index: int
    pose: np.ndarray
    camera: Intrinsics
    image: np.ndarray
    pixels: np.ndarray
    depth: np.ndarray
    covered: np.ndarray

    def lift(self, pixels: np.ndarray) -> np.ndarray:
        """Camera-space points [N, 3] of canonical pixels [N, 2]."""
        return unproject(pixels, sample_bilinear(self.depth, pixels), self.camera)


@dataclass(frozen=True)
class _Canonical:
    """What lies in canonical space: the view, the mouth's landmarks [T, K, 2] and region in it, the subject's facts (but for
    its source), exposure [T, 2, 3] and lip images [T, H, W, 4] uint8, small, with the skin that they show in the fourth
    channel, of all frames (of invalid ones neutral and black)."""

    view: CanonicalView
    mouth: np.ndarray
    region: space.LipRegion
    subject: Subject
    exposure: np.ndarray
    small: np.ndarray


def make_canonical(config: Config, source: Clip, layout: SubjectLayout) -> None:
    """Choose the canonical frame, write everything that lies in its space, and complete the folder."""
    from threadpoolctl import threadpool_limits  # here, so that training starts where it is missing

    clip, tracked = layout.load_landmarks(), load_tracked(layout)
    with threadpool_limits(
        1, "blas"
    ):  # frames are measured in threads of our own, which those of BLAS would keep waiting
        made = _canonical(config, layout, source, clip, tracked, tracked.valid)
        hidden = _hidden(config, made, tracked.valid, clip)
        if hidden[made.view.index]:  # what is in front of that mouth must not be the subject's
            made = _canonical(config, layout, source, clip, tracked, tracked.valid & ~hidden)
            hidden = _hidden(config, made, tracked.valid, clip)
    if hidden.any():
        print(
            f"canonical: {hidden.sum()} of {len(hidden)} frames have something in front of the mouth; they are not learned "
            "and stay as they are"
        )
    view, region = made.view, made.region
    _write_view(config.face.parsing, layout, view, region)
    head, exposure = tracked.head, tempered(made.exposure, config.face.exposure)
    layout.save_track(Track(tracked.landmarks, tracked.valid, head.poses, head.mesh, exposure, made.mouth, hidden))
    layout.save_subject(replace(made.subject, source=keep_source(source, layout)))


def _canonical(
    config: Config,
    layout: SubjectLayout,
    source: Clip,
    clip: ClipLandmarks,
    tracked: TrackedClip,
    usable: np.ndarray,
) -> _Canonical:
    """Choose the canonical frame among the usable [T] ones, and write the lips of all valid ones as seen from there."""
    view = _choose_view(config, layout, clip, tracked, usable)
    mouth = _canonical_mouth(view, tracked)
    region = _lip_region(config, view, mouth, usable)
    subject = _facts(config, clip, tracked, view, region)
    origins = region_origins(subject, tracked.head.poses, view.depth, region.mask)
    mouths = _Mouths(layout, subject, origins)
    return _Canonical(
        view, mouth, region, subject, *_write_lips(mouths, _frames(config, source, subject), view, tracked)
    )


def _frames(config: Config, source: Clip, subject: Subject) -> Iterator[np.ndarray]:
    """What the crop is made of in every frame of the clip, as it was read for its landmarks."""
    part = subject.crop.seen(subject.size)
    frames = read_frames(source.video, config.data.fps, select=selection(config), part=part)
    with closing(prefetch(frames, AHEAD)) as ahead:
        yield from ahead


def _facts(
    config: Config, clip: ClipLandmarks, tracked: TrackedClip, view: CanonicalView, region: space.LipRegion
) -> Subject:
    """Everything about the subject, but where its source is kept."""
    head, most = tracked.head, config.face.lip_max_width
    fine = _fine_size(clip.crop, region.box, most)
    scale = fine / clip.crop.size
    coarse = _coarse(region.box.width * scale, config.face.drawn_width)
    return Subject(
        name=config.name, source="", fps=config.data.fps, frames=len(tracked.valid), size=clip.size, crop=clip.crop,
        shots=clip.shots, camera=head.camera, canonical_frame=view.index, lip_box=region.box,
        lip_size=_lip_size(region.box, scale, most, coarse),
        region_size=_region_size(view, region, head.poses[tracked.valid], scale, coarse),
        audio=make_backend(config.audio).params(), stream=config.data.video_stream, fine_size=fine, outline=config.face.outline,
        coarse=coarse, face=clip.face,
    )  # fmt: skip


def _fine_size(crop: Crop, box: Box, most: int) -> int:
    """Pixels of the crop's side at which mouths are kept: the source's own, but for lip boxes much wider than `most`."""
    width = box.width / crop.scale
    return crop.side if width <= _ENOUGH * most else round(crop.side * most / width)


def _hidden(config: Config, made: _Canonical, valid: np.ndarray, clip: ClipLandmarks) -> np.ndarray:
    """Frames [T] bool in which something is in front of the mouth."""
    box, (height, width) = made.region.box, made.small.shape[1:3]
    mask = made.region.mask[box.top : box.top + box.height, box.left : box.left + box.width]
    inside = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA) > 0.5
    share = np.zeros(len(valid))
    lips, skin = made.small[valid, ..., :3], made.small[valid, ..., 3] > 127
    share[valid] = foreign_share(lips, made.exposure[valid], inside, skin, config.face.hidden)
    return hidden_frames(share, config.face.hidden, clip.shots) & valid


def _choose_view(
    config: Config, layout: SubjectLayout, clip: ClipLandmarks, tracked: TrackedClip, usable: np.ndarray
) -> CanonicalView:
    head = tracked.head
    index = space.choose_canonical(tracked.landmarks, usable, head.poses.rotvec, clip.sharpness)
    pose = head.poses.matrices()[index]
    surface, triangles = _surface(config, tracked, index)
    depth, covered = space.canonical_depth(
        surface, pose, head.camera, clip.crop.size, triangles, make_rasterizer(config.rasterizer)
    )
    pixels = project(head.mesh @ pose[:3, :3].T + pose[:3, 3], head.camera)
    return CanonicalView(index, pose, head.camera, read_image(layout.face_image(index)), pixels, depth, covered)


def _surface(config: Config, tracked: TrackedClip, index: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Vertices and triangles whose depth is the canonical one: the fitted model in that frame's
    expression, or, of a tracker without a model, its own 468 points (None: triangulated in the picture)."""
    if not tracked.coefficients:
        return tracked.head.mesh, None
    from ..tracking.morphable.tracker import load_model

    model, known = load_model(config.face.tracker, config.fit), tracked.coefficients
    return model.geometry(known["identity"], known["expression"][index])[0], model.triangles


def _canonical_mouth(view: CanonicalView, tracked: TrackedClip) -> np.ndarray:
    """Lip and chin landmarks of every frame in the canonical view, [T, K, 2]; 0 where there is no face."""
    head, valid = tracked.head, tracked.valid
    mouth = np.zeros((len(valid), len(MOUTH), 2))
    seen = tracked.landmarks[valid][:, MOUTH]
    mouth[valid] = space.to_canonical(seen, head.poses[valid], head.mesh[MOUTH], view.pose, view.camera)
    return mouth


def _lip_region(config: Config, view: CanonicalView, mouth: np.ndarray, usable: np.ndarray) -> space.LipRegion:
    """What lips and chin sweep, below a line between nose and upper lip."""
    nose_y = 0.55 * view.pixels[NOSE_BASE, 1] + 0.45 * mouth[view.index, : len(LIPS), 1].min()
    face, size = config.face, len(view.depth)
    return space.lip_region(mouth[usable], nose_y, size, face.lip_margin, face.lip_feather)


def _coarse(width: float, drawn: int) -> int:
    """Fine pixels from which on networks draw lips that are `width` of them wide, at most `drawn` pixels wide; 1: all of them."""
    return max(2, int(np.ceil(width / drawn))) if drawn else 1


def _lip_size(box: Box, scale: float, max_width: int, coarse: int) -> tuple[int, int]:
    """Lip image (width, height): the box's fine pixels, `scale` per crop pixel, up to `max_width`, in multiples of 8 coarse."""
    step = 8 * coarse
    width = max(2 * step, min(round(box.width * scale / step) * step, max_width // step * step))
    return width, max(2 * step, round(box.height / box.width * width / step) * step)


def _write_view(parsing: str, layout: SubjectLayout, view: CanonicalView, region: space.LipRegion) -> None:
    """The canonical frame, its masks and its depth."""
    write_image(layout.canonical, view.image)
    write_image(layout.lip_mask, (region.mask * 255).round().astype(np.uint8))
    write_image(layout.face_mask, view.covered.astype(np.uint8) * 255)
    mask, labels = parse_head(parsing, view.image, view.pixels)
    write_image(layout.head_mask, mask)
    if labels is not None:
        write_image(layout.parsing, labels)
    with atomic_path(layout.depth) as path, open(path, "wb") as stream:
        np.save(stream, view.depth)


def _region_size(view: CanonicalView, region: space.LipRegion, poses: Poses, scale: float, coarse: int) -> int:
    """Side, in fine pixels, of the square that holds the warped mask in every frame; scale: fine pixels per crop pixel."""
    ys, xs = np.nonzero(region.mask > 1 / 512)
    hull = cv2.convexHull(np.stack([xs, ys], 1).astype(np.float32))[:, 0].astype(np.float64)
    depth = sample_bilinear(view.depth, hull)
    spots = space.project_canonical(hull, depth, poses, view.pose, view.camera)
    return coarse * space.region_size(spots * scale / coarse, REGION_MARGIN)


@dataclass(frozen=True)
class _Mouths:
    """Where mouths are kept, and how: origins [T, 2] fine pixel of every frame's region."""

    layout: SubjectLayout
    subject: Subject
    origins: np.ndarray

    @cached_property
    def crop(self) -> Crop:
        """The crop in what is read of a frame."""
        return self.subject.crop.within(self.subject.crop.seen(self.subject.size))

    def begin(self) -> None:
        for folder in (self.layout.lip_images, self.layout.mouth_images):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)

    def keep(self, index: int, frame: np.ndarray, grid: np.ndarray) -> np.ndarray:
        """Write the region and the canonical lip image, which is returned; frame: what is read of it; grid: crop pixels [h, w, 2]."""
        subject = self.subject
        fine = replace(self.crop, size=subject.fine.size)
        mouth = cut_region(frame, fine, self.origins[index], subject.region_size)
        write_image(self.layout.mouth_image(index), np.ascontiguousarray(mouth), _MOUTH_QUALITY)
        spots = ((grid + 0.5) * subject.fine_scale - 0.5 - self.origins[index]).astype(np.float32)
        lip = cv2.remap(mouth, spots[..., 0], spots[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        write_image(self.layout.lip_image(index), lip, _LIP_QUALITY)
        return lip


def _homogeneous(points: np.ndarray) -> np.ndarray:
    """Points [N, 3] -> [4, N] float32, whose pixels are then exact to a thousandth."""
    return np.vstack([points.T, np.ones(len(points))]).astype(np.float32)


def _write_lips(
    mouths: _Mouths, pictures: Iterator[np.ndarray], view: CanonicalView, tracked: TrackedClip
) -> tuple[np.ndarray, np.ndarray]:
    """Write mouth and canonical lip image of every valid frame, in the frame's own exposure; returns
    exposure [T, 2, 3], with which readers even it out: (lip - offset) / gain; and all lip images, small, as in `_Canonical`."""
    mouths.begin()
    subject = mouths.subject
    lattice = space.lip_lattice(subject.lip_box, subject.lip_size)
    lip_points = _homogeneous(view.lift(lattice.reshape(-1, 2)))
    skin = colour_samples(tracked.head.mesh, view.pixels, view.covered)
    skin_points, reference = _homogeneous(view.lift(skin)), smoothed_colours(view.image, skin)
    projections = (view.camera.matrix() @ relative_transforms(tracked.head.poses, view.pose)[:, :3]).astype(np.float32)
    frames = np.flatnonzero(tracked.valid)
    exposure = np.tile(NEUTRAL, (len(tracked.valid), 1, 1))

    def place(points: np.ndarray, index: int) -> np.ndarray:
        """Pixels [N, 2] at which a frame shows points [4, N] of the canonical camera."""
        x, y, z = projections[index] @ points
        return np.stack([x / z, y / z], 1)

    def measure(item: tuple[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        index, frame = item
        image = extract(frame, mouths.crop)
        grid = place(lip_points, index).reshape(lattice.shape)
        lip = mouths.keep(index, frame, grid)
        skin = 255 * seen_skin(tracked.landmarks[index], len(image), max(1, round(subject.lip_box.width / WIDTH)))
        skin = cv2.remap(skin, grid[..., 0], grid[..., 1], cv2.INTER_NEAREST)
        small = np.dstack([shrunk(lip), shrunk(skin)])
        return match_colour(reference, smoothed_colours(image, place(skin_points, index))), small

    seen = ((k, frame) for k, frame in enumerate(pictures) if k < len(tracked.valid) and tracked.valid[k])
    found = ordered_map(measure, seen)
    small = np.zeros((len(tracked.valid), *shrunk(np.zeros(subject.lip_size[::-1], np.uint8)).shape, 4), np.uint8)
    for index, (gain, lip) in zip(frames, progress(found, "canonical lips", len(frames)), strict=True):
        exposure[index], small[index] = gain, lip
    return steady(exposure, tracked.segments, reference.mean(0)), small
