"""Pictures of a head that is posed and projected already: deferred shading over our own rasterizer.

What a frame costs is what its visible pixels cost: faces that look away are left out, the
skin's colour is read from a texture that is computed once, and only eyes are painted anew.
Imports no PyTorch, so that processes that only draw start at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np

from ..geometry.mesh import vertex_normals
from ..geometry.rasterizer_cpu import Visible, visible
from . import head as h
from .skin import Skin, near_eyes, paint_eyes, remap

SUPERSAMPLE = 1.5
_LIGHT = np.array([-0.30, -0.60, -0.74], np.float32)
_HALF = (_LIGHT + np.array([0, 0, -1], np.float32)) / np.linalg.norm(_LIGHT + np.array([0, 0, -1]))
_COLOURS = {
    h.CAVITY: (0.13, 0.04, 0.04), h.UPPER_TEETH: (0.90, 0.87, 0.80), h.LOWER_TEETH: (0.80, 0.77, 0.70),
    h.TONGUE: (0.62, 0.27, 0.27), h.EAR: (0.80, 0.56, 0.46), h.NECK: (0.78, 0.57, 0.46), h.TORSO: (0.17, 0.24, 0.38),
}  # fmt: skip
_ROWS, _COLUMNS = 24, 16  # texels of the skin's texture per ring and per segment
_WHITE = 1.5  # albedo that the texture's largest level stands for
_THIN = (h.CAVITY, h.UPPER_TEETH, h.LOWER_TEETH, h.TONGUE)  # sheets inside the mouth


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


@dataclass(frozen=True)
class Posed:
    """A frame's state with the vertices [V, 3] in camera space and their pixels [V, 2] in the working size."""

    state: FrameState
    vertices: np.ndarray
    pixels: np.ndarray


def paint(size: int, seed: int, posed: Posed) -> np.ndarray:
    """`Painter.paint`, for processes that do nothing else: the painter is kept, and no thread is started."""
    cv2.setNumThreads(1)
    return _painter(size, seed).paint(posed)


@cache
def _painter(size: int, seed: int) -> Painter:
    return Painter(size, seed)


def working_size(size: int) -> int:
    """Side of the picture that is drawn and then shrunk to `size`."""
    return round(size * SUPERSAMPLE)


class Painter:
    """Draws posed heads in front of a textured background, at one size."""

    def __init__(self, size: int, seed: int):
        self.size, self.head = size, h.build_head()
        rng = np.random.default_rng(seed)
        self.skin = Skin(_fractal_noise(rng, 512))
        self._background = _levels(_background(rng, working_size(size)))
        self._triangles = self.head.triangles
        self._neutral = self.head.vertices.astype(np.float32)

    def paint(self, posed: Posed) -> np.ndarray:
        """RGB uint8 [size, size, 3]."""
        side = working_size(self.size)
        facing = self._facing(posed.pixels)
        seen = visible(posed.pixels, posed.vertices[:, 2], self._triangles[facing], side, side)
        face, weights = facing[seen.face], seen.barycentric.astype(np.float32)
        normal, place = self._attributes(posed, face, weights)
        colour = self._albedo(face, weights, place, posed.state)
        colour *= self._shade(face, normal, place, posed.state)[:, None]
        return self._compose(seen, colour)

    def _compose(self, seen: Visible, colour: np.ndarray) -> np.ndarray:
        image = self._background.copy()
        image.reshape(-1, 3)[seen.index] = _levels(colour)
        image = cv2.GaussianBlur(image, (0, 0), 0.45)
        return np.asarray(cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_AREA))

    # -------------------------------------------------------------- geometry

    @cached_property
    def _turn(self) -> np.ndarray:
        """[F] sign of a triangle's area on the screen when it faces the camera; 0 where both sides may be seen."""
        corners = self.head.vertices[self._triangles]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        out = np.zeros(len(corners))
        for part in np.setdiff1d(self.head.part, _THIN):
            own = np.flatnonzero(self.head.part == part)
            ends = np.flatnonzero(np.diff(own) > 1) + 1  # both ears
            for piece in np.split(own, ends):
                outward = corners[piece].mean(1) - corners[piece].mean((0, 1))
                out[piece] = -np.sign(np.einsum("nk,nk->n", normal[piece], outward).mean())
        lips = self.head.ring[self._triangles].max(1) < 2
        out[lips] = 0
        return out

    def _facing(self, pixels: np.ndarray) -> np.ndarray:
        """Indices of the triangles that may be seen: all other sides are hidden by the closed surface they belong to."""
        x, y = pixels[self._triangles].transpose(2, 1, 0)
        area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0])
        return np.flatnonzero(area * self._turn >= 0)

    @cached_property
    def _places(self) -> np.ndarray:
        """[F, 3, 2] float32 of triangles' corners: texture row and column of the skin; neutral x, and 0, of all else."""
        out = np.zeros((len(self._triangles), 3, 2), np.float32)
        out[..., 0] = self._neutral[self._triangles, 0]
        skin = self.head.part == h.SKIN
        row, column = np.divmod(self._triangles[skin], h.SEGMENTS)
        around = (column == 0) & (column.max(1, keepdims=True) == h.SEGMENTS - 1)
        column = np.where(around, h.SEGMENTS, column)
        out[skin] = np.stack([row * _ROWS, column * _COLUMNS], -1)
        return out

    def _attributes(self, posed: Posed, face: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Normal [3, N], not of unit length, and place [2, N] as of `_places` of every visible pixel."""
        normals = vertex_normals(posed.vertices, self._triangles).astype(np.float32)
        corners = np.concatenate([normals.take(self._triangles, 0), self._places], 2)
        first, second, third = (corners[:, k].take(face, 0) * weights[:, k, None] for k in range(3))
        first += second
        first += third
        pixel = np.ascontiguousarray(first.T)
        return pixel[:3], pixel[3:]

    # -------------------------------------------------------------- colour and light

    @cached_property
    def _texture(self) -> np.ndarray:
        """The skin's colour, uint8, over the polar grid of its vertices: rows along rings, columns along segments."""
        rings = int(self.head.vertex_part.tolist().count(h.SKIN)) // h.SEGMENTS
        hair = h.hair_mask(self.head.vertices)
        values = np.column_stack([self.head.vertices, self.head.ring, hair])[: rings * h.SEGMENTS]
        grid = values.reshape(rings, h.SEGMENTS, -1)
        grid = np.concatenate([grid, grid[:, :1]], 1).astype(np.float32)
        strips = [_subdivide(grid[i : i + 2]) for i in range(rings - 1)]
        strips = [strip[: _ROWS + (i == rings - 2)] for i, strip in enumerate(strips)]
        colours = [self.skin.colour(s[:, :3], s[:, 3], s[:, 4]) for s in (t.reshape(-1, t.shape[-1]) for t in strips)]
        return _levels(np.concatenate(colours) / _WHITE).reshape(-1, h.SEGMENTS * _COLUMNS + 1, 3)

    @cached_property
    def _eye_faces(self) -> np.ndarray:
        x, y = self._neutral[self._triangles, 0], self._neutral[self._triangles, 1]
        box = [v.min(1) for v in (x, y)] + [v.max(1) for v in (x, y)]
        middle = [np.clip(np.sign(x.mean(1)) * h.EYE[0], box[0], box[2]), np.clip(h.EYE[1], box[1], box[3])]
        return near_eyes(*middle) & (self.head.part == h.SKIN)

    def _albedo(self, face: np.ndarray, weights: np.ndarray, place: np.ndarray, state: FrameState) -> np.ndarray:
        part = self.head.part[face]
        out = remap(self._texture, place[1], place[0]) * np.float32(_WHITE / 255)  # of no meaning off the skin
        other = np.flatnonzero(part != h.SKIN)
        out[other] = self._plain(part[other], place[0, other])
        eyes = np.flatnonzero(self._eye_faces[face])
        points = np.einsum("nk,nkc->nc", weights[eyes], self._neutral[self._triangles[face[eyes]]])
        near = near_eyes(points[:, 0], points[:, 1])
        eyes, points = eyes[near], points[near]
        out[eyes] = paint_eyes(out[eyes], points[:, 0], points[:, 1], state.blink, state.gaze)
        return out

    def _plain(self, part: np.ndarray, x: np.ndarray) -> np.ndarray:
        """RGB [N, 3] of parts [N] without a texture; x: [N] neutral x in mm, which gaps of teeth and stripes follow."""
        table = np.zeros((max(_COLOURS) + 1, 3), np.float32)
        table[list(_COLOURS)] = list(_COLOURS.values())
        out = table[part]
        teeth = (part == h.UPPER_TEETH) | (part == h.LOWER_TEETH)
        out[teeth] *= (1 - 0.35 * np.exp(-((np.mod(x[teeth], 7.0) - 3.5) ** 2) / 0.18))[:, None]
        torso = part == h.TORSO
        out[torso] *= (1 + 0.18 * np.sign(np.sin(x[torso] / 5)))[:, None]
        return out

    def _shade(self, face: np.ndarray, normal: np.ndarray, place: np.ndarray, state: FrameState) -> np.ndarray:
        part = self.head.part[face]
        length = np.sqrt((normal * normal).sum(0)).clip(1e-6)
        length *= np.where(normal[2] > 0, -1, 1).astype(np.float32)
        shade = 0.46 + 0.70 * (_dot(_LIGHT, normal) / length).clip(0)
        gloss = (_dot(_HALF, normal) / length).clip(0)
        gloss = gloss * gloss * gloss
        gloss *= gloss  # 6
        gloss *= gloss  # 12
        gloss *= gloss  # 24
        lips = np.flatnonzero((place[0] < _ROWS * h.VERMILION) & (part == h.SKIN))
        shade[lips] = 0.35 + 0.65 * shade[lips] + 0.05 * gloss[lips]  # lips scatter light
        shade += np.where(part == h.SKIN, np.float32(0.05), np.float32(0)) * gloss
        inner = np.flatnonzero(np.isin(part, _THIN))
        # Little light falls through a narrow gap, and less of it reaches the corners.
        light = (1.0 - 0.45 * np.abs(place[0, inner]) / 24) * (0.12 + state.mouth[0] / (state.mouth[0] + 5))
        shade[inner] = light.clip(0.08)
        return shade


def _dot(direction: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Scalar products [N] with vectors [3, N]; no BLAS, whose threads would only wait for each other."""
    return direction[0] * vectors[0] + direction[1] * vectors[1] + direction[2] * vectors[2]


def _subdivide(strip: np.ndarray) -> np.ndarray:
    """A strip of quads between two rings [2, C + 1, A] -> [_ROWS + 1, _COLUMNS C + 1, A], flat on each quad's triangles."""
    right = (np.arange((strip.shape[1] - 1) * _COLUMNS + 1) / _COLUMNS).astype(np.float32)
    column = np.minimum(right.astype(int), strip.shape[1] - 2)
    right = (right - column)[None, :, None]
    down = (np.arange(_ROWS + 1) / _ROWS).astype(np.float32)[:, None, None]
    (a, c), (b, d) = strip[:, column], strip[:, column + 1]
    upper = a + right * (b - a) + down * (c - a)
    lower = d + (1 - right) * (c - d) + (1 - down) * (b - d)
    return np.where(right + down <= 1, upper, lower)


def _levels(colour: np.ndarray) -> np.ndarray:
    """0..1 -> uint8."""
    return (colour.clip(0, 1) * 255 + 0.5).astype(np.uint8)


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
