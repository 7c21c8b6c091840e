"""Measures of one stream of frames: mouth, picture, sharpness and seams, frame by frame."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

from ..background import OrderedPool
from ..detection.detect import FaceMesh
from ..facemesh import LANDMARKS, LIPS, LIPS_INNER, MOUTH, face_box, interocular, mouth_opening, mouth_width
from ..media.images import write_image
from ..metrics.image import frame_psnr, seam_gradient, ssim_map
from ..metrics.lse import crop_for_syncnet
from ..metrics.texture import polygon_area
from ..nets.pretrained.lpips import Lpips
from .mouth import Mouth, Sight, bounded, mouth_measures, see, sharpness
from .view import View

PSNR_LIMIT = 100.0  # dB, given for equal pictures


@dataclass(frozen=True)
class Recording:
    """What was measured on T frames. NaN where a measure is undefined (no face, no mask).

    landmarks: [T, 478, 2] crop pixels; opening, width: [T] of the mouth over the interocular
    distance `scale` [T] (pixels); shots: [T] number of each frame's shot; values: name -> [T]; energies: [T, 36] of the mouth's
    picture (`octave_energies`); faces: [T, 224, 224, 3] for SyncNet;
    frames: folder in which the frames are kept as %05d.jpg, while the evaluation lasts.
    """

    landmarks: np.ndarray
    opening: np.ndarray
    width: np.ndarray
    scale: np.ndarray
    shots: np.ndarray
    values: dict[str, np.ndarray] = field(default_factory=dict)
    energies: np.ndarray | None = None
    faces: np.ndarray | None = None
    frames: Path | None = None

    @property
    def found(self) -> float:
        """Share of frames in which a face was found."""
        return float(np.isfinite(self.opening).mean())

    @property
    def open_area(self) -> np.ndarray:
        """Area [T] of the inner-lip polygon over the square of the interocular distance."""
        return np.asarray(polygon_area(self.landmarks[:, LIPS_INNER]) / self.scale**2)


class Recorder:
    """Measures frames one at a time; `finish` gives the Recording.

    keep: folder in which the frames are kept as %05d.jpg; faces: keep what SyncNet looks at;
    lpips: the network, where its weights are there.
    """

    def __init__(self, keep: Path | None = None, faces: bool = False, lpips: Lpips | None = None):
        self._keep, self._wants_faces, self._lpips = keep, faces, lpips
        self._mesh = FaceMesh()
        self._landmarks: list[np.ndarray] = []
        self._faces: list[np.ndarray] = []
        self._cuts: list[bool] = []
        self._recent: list[Sight] = []
        self._pool = OrderedPool(ahead=2 * (os.cpu_count() or 1))
        self._values: defaultdict[str, list[float]] = defaultdict(list)
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)

    def add(
        self, view: View, mask: View | None = None, truth: View | None = None, cut: bool = False, **more: float
    ) -> None:
        """One face crop, RGB uint8 [S, S, 3].

        mask: soft region that was painted, for sharpness and seams; truth: the picture it should
        be, for PSNR, SSIM and LPIPS over the whole crop and over the region; cut: a new shot
        begins, so tracking starts anew; more: values measured elsewhere. Textures, flicker and
        sharpness of the mouth are measured at the source's resolution, all else at the crop's.
        """
        image = view.image
        number = len(self._landmarks)
        self._cuts.append(cut)
        if cut:
            self._mesh.reset()
            self._recent.clear()
        points = self._mesh(image)
        self._landmarks.append(points[:, :2] if points is not None else np.full((LANDMARKS, 2), np.nan))
        mouth = self._mouth(view, mask)
        small, right = mask and mask.image, truth and truth.image
        self._pool.submit(_all_measures, image, small, right, self._lpips, mouth)
        for name, value in more.items():
            self._values[name].append(value)
        if self._wants_faces:
            box = face_box(points) if points is not None else np.array([0.0, 0.0, *image.shape[1::-1]])
            self._faces.append(crop_for_syncnet(image, box))
        if self._keep is not None:
            write_image(self._keep / f"{number:05d}.jpg", image, 97)

    def _mouth(self, view: View, mask: View | None) -> Mouth:
        """What is kept of the newest frame's own pixels."""
        before = self._recent[-1] if self._recent else None
        sight = see(view.native, view.to_native(self._landmarks[-1]), before)
        self._recent = [*self._recent[-2:], sight]
        if mask is None:
            return Mouth(tuple(self._recent), None, np.zeros((0, 0, 3), np.uint8))
        painted = bounded(view.native, mask.native > 0)
        return Mouth(tuple(self._recent), mask.native[sight.window].copy(), painted)

    def finish(self) -> Recording:
        energies = []
        for measures, energy in self._pool.results():
            energies.append(energy)
            for name, value in measures.items():
                self._values[name].append(value)
        if "flicker" in self._values:  # was measured when the next frame came
            self._values["flicker"] = [*self._values["flicker"][1:], np.nan]
        self._pool.close()
        self._mesh.close()
        landmarks = np.stack(self._landmarks)
        scale = interocular(landmarks)
        return Recording(
            landmarks, mouth_opening(landmarks) / scale, mouth_width(landmarks) / scale, scale, np.cumsum(self._cuts),
            {name: np.array(values) for name, values in self._values.items()}, np.stack(energies),
            np.stack(self._faces) if self._faces else None, self._keep,
        )  # fmt: skip


def _all_measures(
    image: np.ndarray, mask: np.ndarray | None, truth: np.ndarray | None, lpips: Lpips | None, mouth: Mouth
) -> tuple[dict[str, float], np.ndarray]:
    """Figures of one frame by name, and the energies [36] of its mouth."""
    figures, energies = mouth_measures(mouth)
    return picture_measures(image, mask, truth, lpips) | figures, energies


def picture_measures(
    image: np.ndarray, mask: np.ndarray | None, truth: np.ndarray | None, lpips: Lpips | None
) -> dict[str, float]:
    """Sharpness and seams of a face crop (uint8), and its distance from the picture it should be.

    A picture that is its own truth (the same array) has the ideal figures.
    """
    mask = np.zeros(image.shape[:2], np.float32) if mask is None else mask
    region = mask > 0
    out = {"cpbd_face": sharpness(image), "seam": seam_gradient(image, mask)}
    if truth is image:
        inside = 1.0 if region.any() else np.nan
        out |= {"psnr_face": PSNR_LIMIT, "ssim_face": 1.0, "psnr_lip": PSNR_LIMIT * inside, "ssim_lip": inside}
        out |= {"lpips": 0.0} if lpips is not None else {}
    elif truth is not None:
        a, b = image.astype(np.float32) / 255, truth.astype(np.float32) / 255
        mean, similar = ssim_map(a, b)
        out |= {"psnr_face": min(frame_psnr(a, b), PSNR_LIMIT), "ssim_face": mean}
        out["psnr_lip"] = min(frame_psnr(a, b, region), PSNR_LIMIT) if region.any() else np.nan
        out["ssim_lip"] = float(similar[region].mean()) if region.any() else np.nan
        if lpips is not None:
            out["lpips"] = perceptual(lpips, a, b)
    return out


@torch.no_grad()
def perceptual(net: Lpips, a: np.ndarray, b: np.ndarray) -> float:
    """LPIPS of pictures [H, W, 3] in [0, 1]."""
    x, y = (torch.from_numpy(2 * v - 1).permute(2, 0, 1)[None] for v in (a, b))
    return float(net(x, y))


def landmark_mask(
    points: np.ndarray, shape: tuple[int, ...], margin: float = 0.22, feather: float = 0.16
) -> np.ndarray:
    """Soft region [H, W] around the lips and chin of landmarks [478, 2+], where no other mask is known.

    margin, feather: as shares of the lips' width, like `face.lip_margin` and `face.lip_feather`.
    """
    width = np.ptp(points[LIPS, 0])
    hull = cv2.convexHull(points[MOUTH, :2].astype(np.float32)).round().astype(np.int32)
    filled = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(filled, hull, 1)
    outside = cv2.distanceTransform(1 - filled, cv2.DIST_L2, 5)
    return np.asarray(np.clip((margin * width - outside) / max(feather * width, 1.0), 0, 1), np.float32)
