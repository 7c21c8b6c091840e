"""Pictures of the synthetic head: deferred shading over our own rasterizer."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..geometry.camera import Intrinsics, project
from ..geometry.fragments import Fragments
from ..geometry.mesh import vertex_normals
from ..geometry.rasterizer_cpu import rasterize
from . import head as h

SUPERSAMPLE = 1.5


_LIGHT = np.array([-0.30, -0.60, -0.74], np.float32)


_SKIN = np.array([0.86, 0.64, 0.52], np.float32)


_LIP = np.array([0.70, 0.34, 0.33], np.float32)


_HAIR = np.array([0.23, 0.15, 0.10], np.float32)


_COLOURS = {
    h.CAVITY: (0.13, 0.04, 0.04), h.UPPER_TEETH: (0.90, 0.87, 0.80), h.LOWER_TEETH: (0.80, 0.77, 0.70),
    h.TONGUE: (0.62, 0.27, 0.27), h.EAR: (0.80, 0.56, 0.46), h.NECK: (0.78, 0.57, 0.46), h.TORSO: (0.17, 0.24, 0.38),
}  # fmt: skip


@dataclass(frozen=True)
class FrameState:
    """Everything that changes between frames.

    rotation: [3, 3] and trans: [3] (mm) head -> camera; mouth: opening (mm), width,
    protrusion; blink: 0 open .. 1 closed; gaze: (x, y) shift of the irises in mm.
    """

    rotation: np.ndarray
    trans: np.ndarray
    mouth: tuple[float, float, float]
    blink: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)


class HeadRenderer:
    """Renders `FrameState`s of one head in front of a textured background."""

    def __init__(self, size: int = 384, focal: float = 700.0, seed: int = 0):
        self.size = size
        self.camera = Intrinsics(focal, (size - 1) / 2, (size - 1) / 2)
        self.head = h.build_head()
        rng = np.random.default_rng(seed)
        self._noise = _fractal_noise(rng, 512)
        self._background = _background(rng, self._working_size)
        front = self.head.vertex_part == h.SKIN
        self._hair = np.where(front, h.hair_mask(self.head.vertices), 0)

    @property
    def _working_size(self) -> int:
        return round(self.size * SUPERSAMPLE)

    def fragments(self, state: FrameState, size: int | None = None) -> tuple[Fragments, np.ndarray]:
        """Rasterize the posed head at `size` pixels (default: the output size);
        returns the fragments and the camera-space vertices [V, 3]."""
        size = size or self.size
        vertices = self.camera_vertices(state)
        ratio = (size - 1) / (self.size - 1)
        pixels = project(vertices, self.camera) * ratio
        return rasterize(pixels, vertices[:, 2], self.head.triangles, size, size), vertices

    def camera_vertices(self, state: FrameState) -> np.ndarray:
        """Posed vertices [V, 3] in camera space; the torso keeps upright."""
        vertices = self.head.pose_mouth(*state.mouth)
        upright = vertices + state.trans * np.array([0.6, 0.6, 1])
        turned = vertices @ state.rotation.T + state.trans
        return upright + self.head.rigid[:, None] * (turned - upright)

    def lip_points(self, state: FrameState) -> np.ndarray:
        """Pixels [4, 2] of the inner lips: upper centre, lower centre, two corners."""
        ring = np.flatnonzero((self.head.ring == 0) & (self.head.vertex_part == h.SKIN))
        angle = self.head.angle[ring]
        wanted = [3 * np.pi / 2, np.pi / 2, np.pi, 0.0]
        index = [ring[np.abs(angle - a).argmin()] for a in wanted]
        return project(self.camera_vertices(state)[index], self.camera)

    def render(self, state: FrameState) -> np.ndarray:
        """RGB uint8 [size, size, 3]."""
        size = self._working_size
        fragments, vertices = self.fragments(state, size)
        mask = fragments.mask
        face = fragments.face[mask]
        weights = fragments.barycentric[mask]
        corners = self.head.triangles[face]
        normals = vertex_normals(vertices, self.head.triangles)
        attributes = np.concatenate(
            [self.head.vertices, self.head.ring[:, None], self._hair[:, None], normals], 1
        ).astype(np.float32)
        pixel = np.einsum("nk,nkc->nc", weights, attributes[corners])
        colour = self._albedo(pixel[:, :3], pixel[:, 3], pixel[:, 4], self.head.part[face], state)
        image = self._background.copy()
        image[mask] = colour * self._shade(pixel[:, 5:], pixel[:, :3], self.head.part[face], pixel[:, 3], state)
        image = cv2.GaussianBlur(image, (0, 0), 0.45)
        image = cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return (image.clip(0, 1) * 255 + 0.5).astype(np.uint8)

    def _albedo(
        self, neutral: np.ndarray, ring: np.ndarray, hair: np.ndarray, part: np.ndarray, state: FrameState
    ) -> np.ndarray:
        out = np.empty((len(part), 3), np.float32)
        for name, value in _COLOURS.items():
            out[part == name] = value
        skin = part == h.SKIN
        out[skin] = self.skin_colour(neutral[skin], ring[skin], hair[skin], state)
        teeth = (part == h.UPPER_TEETH) | (part == h.LOWER_TEETH)
        out[teeth] *= (1 - 0.35 * np.exp(-((np.mod(neutral[teeth, 0], 7.0) - 3.5) ** 2) / 0.18))[:, None]
        torso = part == h.TORSO
        out[torso] *= (1 + 0.18 * np.sign(np.sin(neutral[torso, 0] / 5)))[:, None]
        return out

    def skin_colour(self, p: np.ndarray, ring: np.ndarray, hair: np.ndarray, state: FrameState) -> np.ndarray:
        x, y = p[:, 0], p[:, 1]
        grain = self._texture(x * 2.1, y * 2.1)
        blotch = self._texture(x * 0.5 + 77, y * 0.5 + 31)
        colour = _SKIN * (1 + 0.16 * grain + 0.12 * blotch)[:, None]
        cheeks = np.exp(-(((np.abs(x) - 42) / 18) ** 2) - ((y - 30) / 16) ** 2)
        colour *= 1 - cheeks[:, None] * np.array([0.0, 0.10, 0.10], np.float32)
        shadow = 0.30 * np.exp(-((x / 13) ** 2) - ((y - 39) / 4) ** 2)
        for side in (-1, 1):
            shadow += 0.75 * np.exp(-(((x - side * 6.5) / 3.2) ** 2) - ((y - 35.5) / 2.2) ** 2)
        colour *= (1 - shadow.clip(0, 0.85))[:, None]
        lips = _step(1.0 - ring, 0.10)[:, None]
        colour += lips * (_LIP * (1 + 0.25 * self._texture(x * 6, y * 0.8))[:, None] - colour)
        arch = -20.5 + 0.011 * (np.abs(x) - 29) ** 2 - 0.04 * (np.abs(x) - 20)
        brow = _step(3.3 - np.abs(y - arch) - 0.06 * np.abs(np.abs(x) - 24), 0.7) * _step(
            19 - np.abs(np.abs(x) - 32), 2
        )
        hairy = np.maximum(hair, 0.85 * brow * (p[:, 2] < 0))[:, None]
        strands = (1 + 0.45 * self._texture(x * 7, y * 1.2))[:, None]
        colour += hairy * (_HAIR * strands - colour)
        return self._paint_eyes(colour, x, y, state)

    def _paint_eyes(self, colour: np.ndarray, x: np.ndarray, y: np.ndarray, state: FrameState) -> np.ndarray:
        near = np.flatnonzero((np.abs(np.abs(x) - h.EYE[0]) < 22) & (np.abs(y - h.EYE[1]) < 14))
        dx, dy = np.abs(x[near]) - h.EYE[0], y[near] - h.EYE[1]
        span = (1 - (dx / 14.5) ** 2).clip(0)
        upper, lower = -6.0 * span * (1 - state.blink) + 3.5 * span * state.blink, 4.6 * span
        inside = _step(dy - upper, 0.35) * _step(lower - dy, 0.35) * (span > 0)
        gx, gy = x[near] - np.sign(x[near]) * h.EYE[0] - state.gaze[0], dy + 0.8 - state.gaze[1]
        radius = np.hypot(gx, gy)
        eye = np.empty((len(near), 3), np.float32)
        eye[:] = 0.90 - 0.16 * (dx / 14.5)[:, None] ** 2
        iris = np.array([0.30, 0.22, 0.14], np.float32) * (1 + 0.5 * np.cos(np.arctan2(gy, gx) * 18) * 0.3)[:, None]
        eye += _step(6.2 - radius, 0.5)[:, None] * (iris - eye)
        eye += _step(2.7 - radius, 0.4)[:, None] * (0.03 - eye)
        eye += _step(1.2 - np.hypot(gx + 1.8, gy + 1.8), 0.4)[:, None] * (1.0 - eye)
        eye *= (1 - 0.35 * np.exp(-(((dy - upper) / 2.0) ** 2)))[:, None]
        lash = np.exp(-(((dy - upper) / 0.9) ** 2)) * (span > 0.02)
        crease = 0.35 * np.exp(-(((dy + 9.0 - 3 * state.blink) / 1.0) ** 2)) * (span > 0.2)
        rim = 0.25 * np.exp(-(((dy - lower) / 0.8) ** 2)) * (span > 0.05)
        patch = colour[near] * (1 - crease - rim)[:, None]
        patch += inside[:, None] * (eye - patch)
        patch += 0.85 * lash[:, None] * (0.08 - patch)
        colour[near] = np.where((dx**2 < 22**2)[:, None], patch, colour[near])
        return colour

    def _shade(
        self, normal: np.ndarray, neutral: np.ndarray, part: np.ndarray, ring: np.ndarray, state: FrameState
    ) -> np.ndarray:
        normal = normal / np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-6)
        normal *= np.where(normal[:, 2:] > 0, -1, 1)
        diffuse = (normal @ _LIGHT).clip(0)
        shade = 0.46 + 0.70 * diffuse
        half = (_LIGHT + np.array([0, 0, -1])) / np.linalg.norm(_LIGHT + np.array([0, 0, -1]))
        shade = np.where((part == h.SKIN) & (ring < 1), 0.35 + 0.65 * shade, shade)  # lips scatter light
        gloss = np.where(part == h.SKIN, np.where(ring < 1, 0.10, 0.05), 0)
        shade = shade + gloss * (normal @ half).clip(0) ** 24
        inner = np.isin(part, (h.CAVITY, h.UPPER_TEETH, h.LOWER_TEETH, h.TONGUE))
        # Little light falls through a narrow gap, and less of it reaches the corners.
        light = (1.0 - 0.45 * np.abs(neutral[:, 0]) / 24) * (0.12 + state.mouth[0] / (state.mouth[0] + 5))
        return np.where(inner, light.clip(0.08), shade)[:, None]

    def _texture(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        size = len(self._noise)
        u, v = (np.abs(np.mod(c, 2 * size - 2) - (size - 1)).astype(np.float32) for c in (x, y))  # mirrored tiles
        step = 30000  # cv2.remap takes no more than 32767 columns
        parts = [
            cv2.remap(self._noise, u[None, i : i + step], v[None, i : i + step], cv2.INTER_LINEAR)[0]
            for i in range(0, len(u), step)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _step(value: np.ndarray, softness: float) -> np.ndarray:
    """Smooth 0..1 edge around value = 0."""
    return 1 / (1 + np.exp(np.clip(-value / softness * 2, -60, 60)))


def _fractal_noise(rng: np.random.Generator, size: int) -> np.ndarray:
    total = np.zeros((size, size), np.float32)
    for octave in range(2, 9):
        cells = min(2**octave, size)
        grid = rng.standard_normal((cells, cells)).astype(np.float32)
        total += cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC) / octave
    return total / np.abs(total).max() * 1.5


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    noise = cv2.resize(_fractal_noise(rng, 512), (size, size))[..., None]
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    wall = np.stack([0.45 + 0.1 * x, 0.53 + 0.05 * y, 0.56 - 0.1 * x], -1)
    shelf = 0.12 * ((np.mod(y * 5.3, 1) < 0.06) & (x > 0.7))[..., None]
    return (wall * (1 + 0.10 * noise) - shelf).astype(np.float32)
