"""Geometry of the synthetic head: one mesh of named parts and its mouth rig.

Head space: millimetres, x right, y down, z forward as in the camera (the face looks
along -z), origin between the ears. The skin is a polar grid whose pole is the mouth:
ring 0 is the inner lip line, the last ring meets at the back of the skull, so opening
the mouth is a displacement of rings and never tears the mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SKIN, CAVITY, UPPER_TEETH, LOWER_TEETH, TONGUE, EAR, NECK, TORSO = range(8)
MOUTH = np.array([0.0, 62.0])  # x, y of the mouth's centre
EYE = np.array([31.5, -3.0])  # x, y of the left-of-image eye is (-31.5, -3)
LIP_WIDTH = 24.0  # half width of the closed inner lip line
_POLE_RADIUS = 92.0  # mm of surface per radian from the pole
SEGMENTS = 96  # of every ring
VERMILION = 5  # rings from the inner lip line to the lips' outer border
_LAST_RING = 29.5


@dataclass(frozen=True)
class Head:
    """vertices: [V, 3] neutral mm; triangles: [F, 3]; part: [F] ids above;
    ring: [V] 0 at the inner lips, 1 at the vermilion border, growing outwards (skin only);
    angle: [V] polar angle, positive sine below the lips; rigid: [V] 1 where the vertex
    follows the head's rotation, 0 for the torso."""

    vertices: np.ndarray
    triangles: np.ndarray
    part: np.ndarray
    ring: np.ndarray
    angle: np.ndarray
    rigid: np.ndarray
    vertex_part: np.ndarray

    def pose_mouth(self, opening: float, width: float, protrusion: float) -> np.ndarray:
        """Vertices [V, 3] with the inner lips `opening` mm apart at the centre."""
        out = self.vertices.copy()
        skin = self.vertex_part == SKIN
        x, y = self.vertices[skin, 0], self.vertices[skin, 1]
        ring, sine = self.ring[skin], np.sin(self.angle[skin])
        away = np.hypot(x / 1.15, y - MOUTH[1])
        front = 1 / (1 + np.exp((self.vertices[skin, 2] + 25) / 8))
        jaw = np.exp(-((np.abs(x) / 46) ** 4)) / (1 + np.exp((y - 120) / 4)) * front
        lower = np.where(sine > 0, np.clip(sine, 0, 1) ** 0.8, 0)
        below = np.where(ring > 1, np.clip((y - MOUTH[1]) / 10, 0, 1), lower)
        lip = np.where(ring <= 1, 1.0, np.exp(-(np.maximum(ring - 1, 0) * 9 / 8)))
        upper = np.where(sine < 0, np.clip(-sine, 0, 1) ** 0.8, 0) * lip
        out[skin, 1] += 0.78 * opening * (lip * lower + (1 - lip) * 0.85 * below * jaw) - 0.22 * opening * upper
        out[skin, 0] += x * width * np.exp(-((away / 42) ** 2)) * front
        out[skin, 2] -= protrusion * np.exp(-((away / 20) ** 2)) * front
        for part in (LOWER_TEETH, TONGUE):
            out[self.vertex_part == part, 1] += 0.74 * opening
        cavity = self.vertex_part == CAVITY
        out[cavity, 1] += 0.74 * opening * np.clip((self.vertices[cavity, 1] - MOUTH[1]) / 13, 0, 1)
        return out


def build_head() -> Head:
    """The fixed head of the demo (about 9,000 triangles)."""
    skin = skin_grid(
        np.concatenate([np.linspace(0, 1, VERMILION + 1), 1 + np.geomspace(0.15, _LAST_RING, 44)]), SEGMENTS
    )
    y, z = skin[0][:SEGMENTS, 1:].mean(0)  # the inner lip line
    parts = [
        (SKIN, *skin[:2]),
        (CAVITY, *_sheet(21, y - 9, y + 13, z + 16, curve=0.012)),
        (UPPER_TEETH, *_sheet(21, y - 10, y + 0.8, z + 7.0, curve=0.012)),
        (LOWER_TEETH, *_sheet(18, y + 2.6, y + 10.5, z + 9.0, curve=0.012)),
        (TONGUE, *_sheet(15, y + 1.5, y + 11, z + 12, curve=0.012)),
        (EAR, *_ellipsoid((-76, 2, 8), (7, 28, 15))),
        (EAR, *_ellipsoid((76, 2, 8), (7, 28, 15))),
        (NECK, *_ellipsoid((0, 120, 18), (54, 120, 54))),
        (TORSO, *_ellipsoid((0, 330, 45), (215, 165, 90))),
    ]
    vertices, triangles, ids, vertex_ids, offset = [], [], [], [], 0
    for part, v, t in parts:
        vertices.append(v)
        triangles.append(t + offset)
        ids.append(np.full(len(t), part))
        vertex_ids.append(np.full(len(v), part))
        offset += len(v)
    vertex_part = np.concatenate(vertex_ids)
    pad = np.zeros(offset - len(skin[2]))
    rigid = np.where(vertex_part == TORSO, 0.0, 1.0)
    every = np.concatenate(vertices)
    neck = vertex_part == NECK
    rigid[neck] = np.clip((170 - every[neck, 1]) / 110, 0, 1)
    return Head(
        every, np.concatenate(triangles), np.concatenate(ids), np.append(skin[2], pad + 99),
        np.append(skin[3], pad), rigid, vertex_part,
    )  # fmt: skip


def skin_head(rings: int, segments: int) -> Head:
    """The skin alone, as a grid of `rings` x `segments` vertices (for models of any size)."""
    inside = max(rings // 9, 3)
    ring = np.concatenate([np.linspace(0, 1, inside), 1 + np.geomspace(0.15, _LAST_RING, rings - inside)])
    vertices, triangles, s, angle = skin_grid(ring, segments)
    part = np.full(len(vertices), SKIN)
    return Head(vertices, triangles, np.full(len(triangles), SKIN), s, angle, np.ones(len(vertices)), part)


def skin_grid(ring: np.ndarray, segments: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles, ring and angle of the mouth-centred polar grid with rings [R]."""
    angle = np.arange(segments) * 2 * np.pi / segments
    s, phi = np.meshgrid(ring, angle, indexing="ij")
    beyond = np.maximum(s - 1, 0) * 9.0
    across = LIP_WIDTH + 3.0 * np.minimum(s, 1) + beyond * 0.98 - LIP_WIDTH * 0.92 * (1 - np.exp(-beyond / 60))
    height = np.where(np.sin(phi) > 0, 10.5, 8.0) * np.minimum(s, 1) + beyond
    u, v = across * np.cos(phi), height * np.sin(phi)
    cupid = 1.6 * np.exp(-((u / 5) ** 2)) * (np.sin(phi) < 0) * np.clip(s, 0, 1) * np.exp(-beyond / 4)
    v = v + cupid
    points = _wrap(u.ravel(), v.ravel())
    lips = np.sin(np.clip(s, 0, 1.25).ravel() / 1.25 * np.pi) ** 0.8
    taper = np.sqrt(np.clip(1 - (u.ravel() / 27) ** 2, 0, 1))
    points[:, 2] -= 5.0 * lips * (0.35 + 0.65 * taper)
    rows, cols = s.shape
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(cols), indexing="ij")
    a, b = (i * cols + j).ravel(), (i * cols + (j + 1) % cols).ravel()
    c, d = a + cols, b + cols
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    return points, triangles, s.ravel(), phi.ravel()


def _wrap(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Lay the plane around the mouth onto the skull (azimuthal equidistant), with features."""
    distance = np.hypot(u, v)
    polar = np.minimum(distance / _POLE_RADIUS, np.pi)
    direction = np.stack([u, v], 1) / np.maximum(distance, 1e-9)[:, None]
    local = np.stack([np.sin(polar) * direction[:, 0], np.sin(polar) * direction[:, 1], -np.cos(polar)], 1)
    tilt = np.arctan2(MOUTH[1] / 110, np.sqrt(1 - (MOUTH[1] / 110) ** 2))
    cosine, sine = np.cos(tilt), np.sin(tilt)
    d = np.stack([local[:, 0], local[:, 1] * cosine - local[:, 2] * sine, local[:, 1] * sine + local[:, 2] * cosine], 1)
    around = np.hypot(d[:, 0], d[:, 2])
    flat_front = around / (np.abs(d[:, 0]) ** 2.7 + np.abs(d[:, 2]) ** 2.7).clip(1e-12) ** (1 / 2.7)
    d[:, [0, 2]] *= flat_front[:, None]
    points = d * np.array([73.0, 110.0, 92.0])
    chin = np.clip((points[:, 1] - 5) / 105, 0, 1)
    points[:, 0] *= 1 - 0.20 * chin**1.5
    points[:, 1] += 7 * chin**2
    points[:, 2] -= _relief(points[:, 0], points[:, 1]) / (1 + np.exp((points[:, 2] + 30) / 10))
    hair = hair_mask(points)
    return points * (1 + 0.06 * hair[:, None])


def _relief(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height of facial features over the skull in mm, as a function of the front view."""

    def bump(cx: float, cy: float, sx: float, sy: float) -> np.ndarray:
        return np.exp(-(((x - cx) / sx) ** 2) - ((y - cy) / sy) ** 2)

    along = np.clip((y + 14) / 44, 0, 1)
    nose = (5 + 19 * along**1.3) * np.exp(-((x / (8 + 4 * along)) ** 2))
    nose *= 1 / (1 + np.exp(-(y + 16) / 4)) / (1 + np.exp((y - 35) / 1.8))
    height = nose + 9 * (bump(-11, 30, 6, 6) + bump(11, 30, 6, 6))
    for side in (-1, 1):
        height += 5 * bump(side * 27, -21, 19, 8) - 9 * bump(side * 30, -3, 15, 10)
        height += 5 * bump(side * 31.5, -3, 11, 7) + 5 * bump(side * 42, 24, 20, 17)
        height += 2.5 * bump(side * 17, 48, 7, 9) - 3 * bump(side * 40, 62, 14, 16)
    return (
        height
        + 8 * bump(0, 100, 19, 13)
        - 3.5 * bump(0, 79, 20, 5)
        - 1.5 * bump(0, 48, 3.5, 6)
        + 4 * bump(0, 62, 30, 18)
    )


def hair_mask(points: np.ndarray) -> np.ndarray:
    """[N] in 0..1: 1 where hair grows on neutral head points [N, 3]."""
    x, y, z = points[:, 0], points[:, 1], points[:, 2]
    line = -66 + 0.012 * x**2 + np.clip(z + 30, 0, None) * 1.1
    return 1 / (1 + np.exp(np.clip((y - line) / 1.5, -50, 50)))


def _sheet(half: float, top: float, bottom: float, z: float, curve: float) -> tuple[np.ndarray, np.ndarray]:
    """A curved upright strip behind the lips: x in +-half, y from top to bottom."""
    x, y = np.meshgrid(np.linspace(-half, half, 25), np.linspace(top, bottom, 5))
    points = np.stack([x.ravel(), y.ravel(), z + curve * x.ravel() ** 2], 1)
    return points, _grid_triangles(5, 25)


def _ellipsoid(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    lat, lon = np.meshgrid(np.linspace(-np.pi / 2, np.pi / 2, 17), np.linspace(0, 2 * np.pi, 33), indexing="ij")
    unit = np.stack([np.cos(lat) * np.cos(lon), np.sin(lat), np.cos(lat) * np.sin(lon)], -1).reshape(-1, 3)
    return unit * np.array(radii) + np.array(centre), _grid_triangles(17, 33)


def _grid_triangles(rows: int, cols: int) -> np.ndarray:
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(cols - 1), indexing="ij")
    a = (i * cols + j).ravel()
    return np.concatenate([np.stack([a, a + 1, a + cols], 1), np.stack([a + 1, a + cols + 1, a + cols], 1)])
