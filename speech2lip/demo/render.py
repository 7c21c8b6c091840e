"""The synthetic head before a camera: posed, projected and drawn."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ..geometry.camera import Intrinsics, project
from ..geometry.fragments import Fragments
from ..geometry.rasterizer_cpu import rasterize
from . import head as h
from .picture import FrameState, Painter, Posed, working_size
from .skin import near_eyes, paint_eyes

__all__ = ["FrameState", "HeadRenderer"]


class HeadRenderer:
    """Renders `FrameState`s of one head in front of a textured background."""

    def __init__(self, size: int = 384, focal: float = 700.0, seed: int = 0):
        self.size, self.seed = size, seed
        self.camera = Intrinsics(focal, (size - 1) / 2, (size - 1) / 2)
        self.head = h.build_head()

    def posed(self, state: FrameState, size: int | None = None) -> Posed:
        """The head's vertices in camera space, projected to a picture of `size` pixels (default: the working size)."""
        vertices = self.camera_vertices(state)
        ratio = ((size or working_size(self.size)) - 1) / (self.size - 1)
        return Posed(state, vertices, project(vertices, self.camera) * ratio)

    def fragments(self, state: FrameState, size: int | None = None) -> tuple[Fragments, np.ndarray]:
        """Rasterize the posed head at `size` pixels (default: the output size);
        returns the fragments and the camera-space vertices [V, 3]."""
        size = size or self.size
        posed = self.posed(state, size)
        found = rasterize(posed.pixels, posed.vertices[:, 2], self.head.triangles, size, size)
        return found, posed.vertices

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
        return self._painter.paint(self.posed(state))

    def skin_colour(self, p: np.ndarray, ring: np.ndarray, hair: np.ndarray, state: FrameState) -> np.ndarray:
        """RGB [N, 3] of neutral points [N, 3] of the skin, eyes included; ring, hair: as of `Skin.colour`."""
        colour = self._painter.skin.colour(p, ring, hair)
        near = near_eyes(p[:, 0], p[:, 1])
        colour[near] = paint_eyes(colour[near], p[near, 0], p[near, 1], state.blink, state.gaze)
        return colour

    @cached_property
    def _painter(self) -> Painter:
        return Painter(self.size, self.seed)
