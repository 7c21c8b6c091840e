"""Z-buffer rasterizer on the CPU: mesh + camera -> face index, barycentrics, depth.

Vectorised over all triangles at once; exact up to float rounding. Perspective-correct
barycentrics, no back-face culling, no clipping (points must lie in front of the camera,
which heads do).

On a pixel row, each of a triangle's three edge functions is affine in x, so the pixels
that all three let in form one span, whose ends are known without looking at any pixel. Only what decides
a pixel, its nearness, is computed for all triangles over it; the rest for the nearest one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .fragments import Fragments

_TOLERANCE = 1e-9  # an edge belongs to both of its triangles, whatever rounding says


def rasterize(pixels: np.ndarray, depth: np.ndarray, triangles: np.ndarray, width: int, height: int) -> Fragments:
    """Rasterize projected triangles; a pixel belongs to a triangle that covers its centre.

    pixels: [V, 2] projected vertices (x, y); depth: [V] camera z > 0;
    triangles: [F, 3] int vertex indices.
    """
    seen = visible(pixels, depth, triangles, width, height)
    face = np.full(height * width, -1, np.int32)
    weights = np.zeros((height * width, 3), np.float32)
    zbuffer = np.zeros(height * width, np.float32)
    face[seen.index], weights[seen.index], zbuffer[seen.index] = seen.face, seen.barycentric, seen.depth
    return Fragments(face.reshape(height, width), weights.reshape(height, width, 3), zbuffer.reshape(height, width))


@dataclass(frozen=True)
class Visible:
    """The pixels that a mesh covers, in the order of their numbers.

    index: [N] pixel numbers, y * width + x; face: [N] triangle indices; barycentric: [N, 3]
    perspective-correct weights of their corners; depth: [N] camera z.
    """

    index: np.ndarray
    face: np.ndarray
    barycentric: np.ndarray
    depth: np.ndarray


def visible(pixels: np.ndarray, depth: np.ndarray, triangles: np.ndarray, width: int, height: int) -> Visible:
    """`rasterize` without the pixels in which nothing is hit."""
    ends = np.ascontiguousarray(triangles.T)
    spans = _spans(pixels.T.take(ends, 1), width, height)
    near = (1 / depth).take(ends.take(spans.face, 1))
    start, slope = spans.start * near, spans.slope * near  # affine over the screen, and so is their sum, 1 / z
    number = np.arange(spans.length.sum())
    span = np.repeat(np.arange(len(spans.face)), spans.length)
    step = number - (np.cumsum(spans.length) - spans.length)[span]
    index = spans.pixel[span] + step
    step = step.astype(np.float64)
    winner = _nearest(index, start.sum(0)[span] + step * slope.sum(0)[span], width * height)
    span, step = span[winner], step[winner]
    first, second, third = (a[span] + step * b[span] for a, b in zip(start, slope, strict=True))
    z = 1 / (first + second + third)
    return Visible(index[winner], spans.face[span], np.stack([first * z, second * z, third * z], 1), z)


@dataclass(frozen=True)
class _Spans:
    """Runs of pixels on one row inside one triangle.

    face, length, pixel: [S] triangle, pixels and number of the first pixel; start, slope:
    [3, S] screen-space barycentrics at the first pixel and their change per pixel.
    """

    face: np.ndarray
    length: np.ndarray
    pixel: np.ndarray
    start: np.ndarray
    slope: np.ndarray


def _spans(corners: np.ndarray, width: int, height: int) -> _Spans:
    """All spans of triangles [2, 3, F] that hold a pixel."""
    across, down = _edge_functions(corners)
    limit = np.array([[width - 1.0], [height - 1.0]])
    low = np.maximum(np.ceil(corners.min(1)), 0)
    high = np.minimum(np.floor(corners.max(1)), limit)
    rows = np.where((across != 0).any(0) & (high >= low).all(0), high[1] - low[1] + 1, 0).astype(np.int64)
    face = np.repeat(np.arange(len(rows)), rows)
    y = low[1][face] + np.arange(len(face)) - (np.cumsum(rows) - rows)[face]
    x0, y0 = corners[:, 0]
    below = y - y0[face]
    left, right = (x + x0[face] for x in _between(across, down, face, below))
    left, right = np.maximum(np.ceil(left), low[0][face]), np.minimum(np.floor(right), high[0][face])
    some = np.flatnonzero(right >= left)
    face, left = face[some], left[some]
    slope = across.take(face, 1)
    start = below[some] * down.take(face, 1) + (left - x0[face]) * slope
    start[0] += 1
    return _Spans(
        face, (right[some] - left + 1).astype(np.int64), (y[some] * width + left).astype(np.int64), start, slope
    )


def _between(
    across: np.ndarray, down: np.ndarray, face: np.ndarray, below: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First and last x [S], from the first corner, at which no edge function of `face` [S] is negative on rows
    `below` [S] that corner. (A function that does not change along a row is not negative on any of the triangle's rows.)"""
    inverse = -1 / np.where(across == 0, 1, across)
    at = inverse * (np.array([[1.0], [0], [0]]) + _TOLERANCE)  # where a function becomes 0 on the corner's row,
    shift = np.where(across == 0, 0, inverse * down)  # and how much further on each row below
    left, right = np.where(across > 0, at, -np.inf), np.where(across < 0, at, np.inf)
    first = [left[k][face] + below * shift[k][face] for k in range(3)]
    last = [right[k][face] + below * shift[k][face] for k in range(3)]
    return np.maximum(np.maximum(first[0], first[1]), first[2]), np.minimum(np.minimum(last[0], last[1]), last[2])


def _edge_functions(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Screen-space barycentrics of triangles [2, 3, F] as functions of the offset from their first corner.

    Returns their change per pixel to the right and down, [3, F] each, 0 for triangles without
    an area. At the first corner they are 1, 0, 0.
    """
    b, c = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = b[0] * c[1] - b[1] * c[0]
    flat = np.abs(area) <= 1e-12
    inverse = np.where(flat, 0, 1 / np.where(flat, 1, area))
    across = np.stack([b[1] - c[1], c[1], -b[1]]) * inverse
    return across, np.stack([c[0] - b[0], -c[0], b[0]]) * inverse


def _nearest(index: np.ndarray, nearness: np.ndarray, size: int) -> np.ndarray:
    """Positions of the largest nearness per index, by rising index (the first of equals).

    All write their position, then those that are nearer than what stands there, until none
    is. Of several writers the last one stays, so they write from last to first.
    """
    best = np.full(size, -1)
    pending = np.arange(len(index))[::-1]
    while len(pending):
        best[index[pending]] = pending
        pending = pending[nearness[pending] > nearness[best[index[pending]]]]
    return best[best >= 0]
